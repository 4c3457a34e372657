"""The little of protocol buffers that TensorFlow's checkpoint index needs: fields of one message, checked.

Not a general parser: groups are refused, unknown fields are skipped by whoever reads the result.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from electra_common.weights.errors import CheckpointError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | bytes


def read_varint(data: bytes, position: int, *, limit: int = 10) -> tuple[int, int]:
    """Return an unsigned varint and the position behind it; at most ``limit`` bytes (10 hold 64 bits)."""
    result = 0
    for index in range(limit):
        if position >= len(data):
            raise CheckpointError("truncated: a number ends behind the data")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return result, position
    raise CheckpointError(f"damaged: a number of more than {limit} bytes")


def signed64(value: int) -> int:
    """Read a varint as int64: negative numbers are stored as ten bytes."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes) -> Iterator[tuple[int, int, Value]]:
    """Yield ``(field number, wire type, value)`` of one message; raises CheckpointError on damage."""
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        number, wire_type = key >> 3, key & 7
        value: Value
        if wire_type == VARINT:
            value, position = read_varint(data, position)
        elif wire_type == BYTES:
            size, position = read_varint(data, position)
            value, position = _take(data, position, size), position + size
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
            value = struct.unpack("<I" if size == 4 else "<Q", _take(data, position, size))[0]
            position += size
        else:
            raise CheckpointError(f"damaged: wire type {wire_type} in a protocol buffer")
        yield number, wire_type, value


def _take(data: bytes, position: int, size: int) -> bytes:
    if position + size > len(data):
        raise CheckpointError(f"truncated: a field of {size} bytes ends behind the message")
    return data[position : position + size]


def expect_integer(value: Value, what: str) -> int:
    """Return a field's value as int64; raises CheckpointError if the file stored bytes there."""
    if not isinstance(value, int):
        raise CheckpointError(f"damaged: {what} must be a number")
    return signed64(value)


def expect_bytes(value: Value, what: str) -> bytes:
    """Return a field's value as bytes; raises CheckpointError if the file stored a number there."""
    if not isinstance(value, bytes):
        raise CheckpointError(f"damaged: {what} must be a message")
    return value


# Writing: proto3 leaves out numbers that are zero ---------------------------------------------------------------------


def write_varint(value: int) -> bytes:
    """Return a varint; a negative number becomes the ten bytes of its 64-bit two's complement."""
    value &= (1 << 64) - 1
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def integer_field(number: int, value: int) -> bytes:
    """Return an integer field, or nothing if it is zero."""
    return _key(number, VARINT) + write_varint(value) if value else b""


def fixed32_field(number: int, value: int) -> bytes:
    """Return a field of an unsigned number in four bytes, or nothing if it is zero."""
    return _key(number, FIXED32) + struct.pack("<I", value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field of bytes or of a message, which is there even when it is empty."""
    return _key(number, BYTES) + write_varint(len(value)) + value


def _key(number: int, wire_type: int) -> bytes:
    return write_varint(number << 3 | wire_type)
