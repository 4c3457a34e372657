"""Keys of partitioned variables: TensorFlow's order-preserving encoding of a name and the extents of a slice.

Only encoding is needed: the index says which slices there are, and each one is looked up under its key.
"""

from __future__ import annotations

from typing import Final

# Header bits of a signed number that takes n bytes, n = 1..10.
_SIGNED_HEADERS: Final = tuple(
    bytes.fromhex(text) for text in ("80", "c0", "e0", "f0", "f8", "fc", "fe", "ff", "ff80", "ffc0")
)

Extent = tuple[int, int]  # start, length; a full axis is (0, -1)


def slice_key(name: bytes, extents: tuple[Extent, ...]) -> bytes:
    """Return the key of one slice of a partitioned variable, with its extents exactly as the index lists them."""
    result = _number(0) + _string(name) + _number(len(extents))
    for start, length in extents:
        result += signed_number(start) + signed_number(length)
    return result


def _number(value: int) -> bytes:
    """A non-negative number: its length in bytes, then the bytes, big-endian; zero is the length alone."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _string(value: bytes) -> bytes:
    """A string: 00 becomes 00 ff, ff becomes ff 00, and 00 01 ends it."""
    escaped = b"".join({0x00: b"\x00\xff", 0xFF: b"\xff\x00"}.get(byte, bytes([byte])) for byte in value)
    return escaped + b"\x00\x01"


def signed_number(value: int) -> bytes:
    """A signed number: big-endian two's complement in as few bytes as fit, with a header that keeps the order."""
    magnitude = value if value >= 0 else ~value
    size = magnitude.bit_length() // 7 + 1
    encoded = bytearray((value & ((1 << 8 * size) - 1)).to_bytes(size, "big"))
    for index, bits in enumerate(_SIGNED_HEADERS[size - 1]):
        encoded[index] ^= bits
    return bytes(encoded)
