"""Where the items of a msgpack file lie: kind, size and position of one item at a time, and never its data.

Enough for :mod:`flax_msgpack`; what the items mean is decided there. Containers are not entered and payloads are not
copied, so reading an item costs the same whatever size it claims to have.

Source: the msgpack specification (github.com/msgpack/msgpack, ``spec.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile


class Kind(Enum):
    """What an item is; the value is how error messages call it."""

    MAP = "a map"
    ARRAY = "a list"
    STRING = "text"
    BINARY = "bytes"
    EXTENSION = "an extension"
    INTEGER = "a whole number"
    FLOAT = "a number"
    BOOLEAN = "true or false"
    NIL = "nil"


@dataclass(frozen=True, slots=True)
class Item:
    """One item.

    Attributes:
        kind: what it is.
        value: of a map the number of pairs, of a list the number of items, of text, bytes and extensions the number of
            bytes, of whole numbers and booleans the value itself; 0 for the rest.
        start: where the payload begins (of containers: the first item in them).
        end: where the item ends (of containers: ``start``, since their items are read one by one).
        extension_type: the type that an extension names.
    """

    kind: Kind
    value: int
    start: int
    end: int
    extension_type: int = 0


# The first byte of an item, where it is followed by a size: the kind, and how many bytes the size has.
_SIZED: Final = {
    0xC4: (Kind.BINARY, 1), 0xC5: (Kind.BINARY, 2), 0xC6: (Kind.BINARY, 4),
    0xC7: (Kind.EXTENSION, 1), 0xC8: (Kind.EXTENSION, 2), 0xC9: (Kind.EXTENSION, 4),
    0xD9: (Kind.STRING, 1), 0xDA: (Kind.STRING, 2), 0xDB: (Kind.STRING, 4),
    0xDC: (Kind.ARRAY, 2), 0xDD: (Kind.ARRAY, 4),
    0xDE: (Kind.MAP, 2), 0xDF: (Kind.MAP, 4),
}  # fmt: skip
# The first byte of a number that follows it: how many bytes it has, and whether it has a sign.
_INTEGERS: Final = {
    0xCC: (1, False), 0xCD: (2, False), 0xCE: (4, False), 0xCF: (8, False),
    0xD0: (1, True), 0xD1: (2, True), 0xD2: (4, True), 0xD3: (8, True),
}  # fmt: skip
_FLOATS: Final = {0xCA: 4, 0xCB: 8}
_CONSTANTS: Final = {0xC0: (Kind.NIL, 0), 0xC2: (Kind.BOOLEAN, 0), 0xC3: (Kind.BOOLEAN, 1)}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def read_item(file: MappedFile, position: int, limit: int) -> Item:
    """Return the item at a position; ``limit`` is where whatever it lies in ends.

    Raises:
        CheckpointError: there is no item of the specification, or it reaches beyond the limit.
    """
    first = file.bytes(position, 1)[0]
    item = _read_known(file, first, position + 1)
    if item is None:
        raise CheckpointError(
            f"{file.path}: damaged: byte {position} is {first:#04x}, with which no msgpack item begins"
        )
    if item.end > limit:
        raise CheckpointError(
            f"{file.path}: truncated or damaged: {item.kind.value} at byte {position} ends at {item.end}, past {limit}"
        )
    return item


def _read_known(file: MappedFile, first: int, after: int) -> Item | None:
    if first in _SIZED:
        kind, width = _SIZED[first]
        return _sized(file, kind, _integer(file, after, width), after + width)
    if first in _FIXED_EXTENSIONS:
        return _sized(file, Kind.EXTENSION, _FIXED_EXTENSIONS[first], after)
    if 0x80 <= first <= 0xBF:
        return _read_short(first, after)
    return _read_scalar(file, first, after)


def _read_scalar(file: MappedFile, first: int, after: int) -> Item | None:
    if first <= 0x7F or first >= 0xE0:  # small numbers are their own first byte
        return Item(Kind.INTEGER, first if first <= 0x7F else first - 0x100, after, after)
    if first in _CONSTANTS:
        return Item(*_CONSTANTS[first], after, after)
    if first in _INTEGERS:
        width, signed = _INTEGERS[first]
        return Item(Kind.INTEGER, _integer(file, after, width, signed), after, after + width)
    if first in _FLOATS:
        return Item(Kind.FLOAT, 0, after, after + _FLOATS[first])
    return None


def _read_short(first: int, after: int) -> Item:
    """Containers of under 16 items and text of under 32 bytes keep their size in the first byte."""
    if first <= 0x8F:
        return Item(Kind.MAP, first & 0x0F, after, after)
    if first <= 0x9F:
        return Item(Kind.ARRAY, first & 0x0F, after, after)
    size = first & 0x1F
    return Item(Kind.STRING, size, after, after + size)


def _sized(file: MappedFile, kind: Kind, size: int, after: int) -> Item:
    if kind in (Kind.MAP, Kind.ARRAY):
        return Item(kind, size, after, after)
    if kind is Kind.EXTENSION:
        return Item(kind, size, after + 1, after + 1 + size, _integer(file, after, 1, signed=True))
    return Item(kind, size, after, after + size)


def _integer(file: MappedFile, position: int, width: int, signed: bool = False) -> int:
    return int.from_bytes(file.bytes(position, width), "big", signed=signed)
