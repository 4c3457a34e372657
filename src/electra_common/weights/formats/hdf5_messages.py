"""The messages that describe an object in an HDF5 file, parsed from their bytes.

Only what a file of weights needs: plain numbers and strings, contiguous, compact or chunked data, attributes. All other
kinds (compound, reference, enumeration, committed and variable-length types, virtual and external storage) are refused
by name. Nothing here opens a file or calls the HDF5 library.

Source: HDF5 File Format Specification Version 3.0, section IV.A.2.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from electra_common.weights.errors import CheckpointError

UNDEFINED: Final = (1 << 64) - 1  # the address of what is not stored
MAX_RANK: Final = 8
_CLASSES: Final = (
    "integer", "float", "time", "string", "bit field", "opaque", "compound", "reference", "enumeration",
    "variable-length", "array",
)  # fmt: skip
_STRING: Final = 3
_OPAQUE: Final = 5
_VARIABLE_LENGTH: Final = 9
_ATTRIBUTE: Final = 0x0C  # the type of a message that holds one


class Fields:
    """Little-endian fields of a piece of the file, one after the other; missing bytes are an error."""

    def __init__(self, raw: bytes, what: str) -> None:
        self.raw = raw
        self.what = what
        self.position = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if size > len(self.raw) - self.position:
            raise CheckpointError(f"damaged: {self.what} is cut off: {size} more bytes expected")
        self.position += size
        return self.raw[self.position - size : self.position]

    def number(self, size: int) -> int:
        """Return the next unsigned number."""
        return int.from_bytes(self.take(size), "little")

    def padded(self, size: int, alignment: int) -> bytes:
        """Return the next bytes and skip those that fill up to a multiple of ``alignment``."""
        result = self.take(size)
        self.take(-size % alignment)
        return result

    def expect(self, expected: bytes) -> None:
        """Refuse anything but these bytes."""
        found = self.take(len(expected))
        if found != expected:
            raise CheckpointError(f"damaged: {self.what}: {expected!r} expected, found {found!r}")


# What the elements are ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StringType:
    """Text: ``size`` bytes each in place, or 16 bytes that point into a heap where ``is_variable``."""

    size: int
    is_variable: bool


def _float_layout(size: int, exponent_bits: int, mantissa_bits: int, bias: int) -> bytes:
    """IEEE 754 as HDF5 spells it out: class, implied leading bit, place of the sign, then the other places."""
    start = bytes([1, 0x20, 8 * size - 1, 0])
    return start + struct.pack("<IHHBBBBI", size, 0, 8 * size, mantissa_bits, exponent_bits, 0, mantissa_bits, bias)


def _integer_layout(size: int, *, signed: bool) -> bytes:
    return bytes([0, 0x08 if signed else 0, 0, 0]) + struct.pack("<IHH", size, 0, 8 * size)


_LAYOUTS: Final = {
    _float_layout(2, 5, 10, 15): "float16",
    _float_layout(4, 8, 23, 127): "float32",
    _float_layout(8, 11, 52, 1023): "float64",
    **{_integer_layout(size, signed=True): f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{_integer_layout(size, signed=False): f"uint{8 * size}" for size in (1, 2, 4, 8)},
}


def parse_number_type(raw: bytes) -> str:
    """Return the dtype name of a datatype message; only little-endian numbers of a usual width have one."""
    kind = _class_of(raw)
    layout = bytes([kind]) + raw[1:]
    for known, name in _LAYOUTS.items():
        if layout[: len(known)] == known:
            return name
    described = _CLASSES[kind] if kind < len(_CLASSES) else f"class {kind}"
    raise CheckpointError(f"elements of an unsupported type ({described}; plain little-endian numbers expected)")


def is_opaque(raw: bytes, size: int) -> bool:
    """Whether a datatype message says: so many bytes, of which HDF5 knows nothing."""
    return _class_of(raw) == _OPAQUE and int.from_bytes(raw[4:8], "little") == size


def parse_string_type(raw: bytes) -> StringType:
    """Return the type of a text attribute."""
    kind = _class_of(raw)
    size = int.from_bytes(raw[4:8], "little")
    if kind == _STRING and size > 0:
        return StringType(size, is_variable=False)
    if kind == _VARIABLE_LENGTH and raw[1] & 0x0F == 1 and size == 16:
        return StringType(size, is_variable=True)
    raise CheckpointError("damaged: text expected in an attribute, found another type")


def _class_of(raw: bytes) -> int:
    if len(raw) < 8 or not 1 <= raw[0] >> 4 <= 5:
        raise CheckpointError("damaged: a type that cannot be read")
    return raw[0] & 0x0F


# How many there are, and where --------------------------------------------------------------------------------------


def parse_dataspace(raw: bytes) -> tuple[int, ...]:
    """Return the shape that a dataspace message describes."""
    fields = Fields(raw, "a shape")
    version, rank, flags = fields.number(1), fields.number(1), fields.number(1)
    if version == 1:
        fields.take(5)
    elif version != 2 or fields.number(1) == 2:
        raise CheckpointError(f"a shape of version {version} or an empty one, which is not supported")
    if rank > MAX_RANK or flags & ~0x03:
        raise CheckpointError(f"damaged: a tensor of {rank} axes (at most {MAX_RANK} expected)")
    return tuple(fields.number(8) for _ in range(rank))


@dataclass(frozen=True)
class Contiguous:
    """Data in one piece of the file; ``address`` is UNDEFINED where nothing was ever written."""

    address: int
    size: int


@dataclass(frozen=True)
class Compact:
    """Data inside the message."""

    data: bytes


@dataclass(frozen=True)
class Chunked:
    """Data in blocks found through a tree; the last of ``sizes`` is that of an element in bytes."""

    address: int
    sizes: tuple[int, ...]


Layout = Contiguous | Compact | Chunked


def parse_layout(raw: bytes) -> Layout:
    """Return where the data of a dataset lies."""
    fields = Fields(raw, "a data layout")
    version, kind = fields.number(1), fields.number(1)
    if kind == 3 and version == 4:
        raise CheckpointError("a virtual dataset, whose data lies in other files, is refused")
    if version not in (3, 4):
        raise CheckpointError(f"a data layout of version {version} is not supported")
    if kind == 0:
        return Compact(fields.take(fields.number(2)))
    if kind == 1:
        return Contiguous(fields.number(8), fields.number(8))
    if kind != 2 or version != 3:
        raise CheckpointError(f"a data layout of class {kind}, version {version} is not supported")
    rank = fields.number(1)
    if not 2 <= rank <= MAX_RANK + 1:
        raise CheckpointError(f"damaged: chunks of {rank} axes")
    return Chunked(fields.number(8), tuple(fields.number(4) for _ in range(rank)))


def parse_filters(raw: bytes) -> tuple[int, ...]:
    """Return the numbers of the filters that chunks went through, first applied first."""
    fields = Fields(raw, "a list of filters")
    version, count = fields.number(1), fields.number(1)
    if version not in (1, 2) or count > 8:
        raise CheckpointError(f"damaged: {count} filters, version {version}")
    fields.take(6 if version == 1 else 0)
    result: list[int] = []
    for _ in range(count):
        identifier = fields.number(2)
        name_size = fields.number(2) if version == 1 or identifier >= 256 else 0
        values = (fields.number(2), fields.number(2))[1]
        fields.padded(name_size, 8 if version == 1 else 1)
        fields.take(4 * (values + (values % 2 if version == 1 else 0)))
        result.append(identifier)
    return tuple(result)


# Attributes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attribute:
    """A named value of an object, not interpreted yet."""

    name: str
    datatype: bytes
    shape: tuple[int, ...]
    data: bytes

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


def parse_attribute(raw: bytes) -> Attribute:
    """Return the parts of an attribute message."""
    fields = Fields(raw, "an attribute")
    version, flags = fields.number(1), fields.number(1)
    if version not in (1, 2, 3) or (version > 1 and flags):
        raise CheckpointError(f"an attribute of version {version} or with a committed type is not supported")
    sizes = fields.number(2), fields.number(2), fields.number(2)
    fields.take(1 if version == 3 else 0)  # the character set of the name; ASCII is part of UTF-8
    name, datatype, dataspace = (fields.padded(size, 8 if version == 1 else 1) for size in sizes)
    shape = parse_dataspace(dataspace)
    return Attribute(decode(name.split(b"\0")[0]), datatype, shape, raw[fields.position :])


def parse_attributes(messages: Iterable[tuple[int, bytes]]) -> dict[str, Attribute]:
    """Return the attributes among the messages of an object by name."""
    result: dict[str, Attribute] = {}
    for kind, raw in messages:
        if kind == _ATTRIBUTE:
            attribute = parse_attribute(raw)
            if attribute.name in result:
                raise CheckpointError(f"damaged: the attribute {attribute.name[:80]!r} stands twice")
            result[attribute.name] = attribute
    return result


def decode(raw: bytes) -> str:
    """Return text of the file."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"damaged: the text {raw[:80]!r} is not UTF-8") from None
