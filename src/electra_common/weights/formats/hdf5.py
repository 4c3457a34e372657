"""HDF5 files of weights, read without the HDF5 library.

The library is written in C and trusts what it reads: of 8,000 randomly damaged ``tf_model.h5`` files one made it touch
memory that is not its own, and five made it take more than 2 GB. A checkpoint is untrusted, so the few structures that
Keras and h5py write are read here instead, from a memory map, every access checked and the work bounded.

Read: superblocks 0 to 3, both kinds of object headers, symbol tables, links in headers and in heaps. Refused: links to
other files or other names, two names for one object (so cycles too), files that do not start at byte 0.

Source: HDF5 File Format Specification Version 3.0, sections II to IV.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.hdf5_heap import heap_objects
from electra_common.weights.formats.hdf5_messages import UNDEFINED, Attribute, Fields, decode, parse_string_type
from electra_common.weights.formats.mapped_file import MappedFile

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
# The descriptions in ELECTRA-Large's file have 2 MB; the data itself is not counted.
MAX_DESCRIPTION_BYTES: Final = 64 << 20
MAX_OBJECTS: Final = 20_000  # ELECTRA-Large has 1,300 groups and datasets, with Keras's optimizer 2,800
MAX_MESSAGES: Final = 8192  # of one object
_MAX_PIECES: Final = 256  # of its header
MAX_NAME_BYTES: Final = 1024

# Types of messages
LINK_INFO: Final = 0x02
LINK: Final = 0x06
SYMBOL_TABLE: Final = 0x11
_CONTINUATION: Final = 0x10
_SHARED: Final = 0x02  # a flag: the message lies elsewhere

Message = tuple[int, bytes]


class Hdf5File:
    """The objects of a file by address. Every method raises CheckpointError on damage, without the file's name."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        # Each byte of description is read about once, and names and paths are made of few of them (in all known files
        # that is half of the size at most); more means that structures overlap or go in circles.
        self._left = min(2 * self.file.size, MAX_DESCRIPTION_BYTES)
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self.root = self._read_superblock()

    def read(self, address: int, size: int, what: str) -> Fields:
        """Return a piece of description."""
        self.spend(size, what)
        return Fields(self.file.bytes(address, size), what)

    def spend(self, size: int, what: str) -> None:
        """Count bytes that are about to be read, or to be made of those that were."""
        self._left -= size
        if self._left < 0:
            raise CheckpointError(f"damaged: {what} reaches out of the file, or descriptions overlap or repeat")

    def _read_superblock(self) -> int:
        """Return the address of the root group."""
        fields = self.read(0, min(96, self.file.size), "the superblock")
        fields.expect(SIGNATURE)
        version = fields.number(1)
        if version > 3:
            raise CheckpointError(f"HDF5 superblock {version} is not supported")
        fields.take(4 if version < 2 else 0)
        sizes = fields.take(2)
        if sizes != b"\x08\x08":
            raise CheckpointError(f"damaged: addresses and lengths of {sizes[0]} and {sizes[1]} bytes (8 expected)")
        if version < 2:
            fields.take(9 + 4 * version)
            base, _, end, _, _, root = (fields.number(8) for _ in range(6))
        else:
            fields.take(1)
            base, _, end, root = (fields.number(8) for _ in range(4))
        if base != 0:
            raise CheckpointError(f"an HDF5 file with {base} bytes before it, which is not supported")
        if end > self.file.size:
            raise CheckpointError(f"truncated: {self.file.size} bytes, {end} expected")
        return root

    # Object headers

    def messages(self, address: int) -> list[Message]:
        """Return what describes an object, padding left out."""
        start = self.read(address, 16, "an object header")
        blocks = self._new_header(address, start) if start.raw[:4] == b"OHDR" else self._old_header(address, start)
        result: list[Message] = []
        for message in blocks:
            result.append(message)
            if len(result) > MAX_MESSAGES:
                raise CheckpointError(f"damaged: an object of more than {MAX_MESSAGES} messages")
        return result

    def _old_header(self, address: int, start: Fields) -> Iterator[Message]:
        start.expect(b"\x01")
        start.take(1)
        count = start.number(2)
        start.take(4)
        blocks = [(address + 16, start.number(4))]
        seen = set(blocks)
        while blocks:
            fields = self.read(*blocks.pop(0), "an object header")
            while count and len(fields.raw) - fields.position >= 8:
                kind, size, flags = fields.number(2), fields.number(2), fields.number(4) & 0xFF
                raw = fields.take(size)
                count -= 1
                if kind == _CONTINUATION:
                    _continue(raw, blocks, seen)
                elif kind:
                    yield _message(kind, flags, raw)

    def _new_header(self, address: int, start: Fields) -> Iterator[Message]:
        start.expect(b"OHDR\x02")
        flags = start.number(1)
        skipped = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = self.read(address + skipped, width, "an object header").number(width)
        blocks = [(address + skipped + width, size)]
        seen = set(blocks)
        order_size = 2 if flags & 0x04 else 0
        while blocks:
            fields = self.read(*blocks.pop(0), "an object header")
            if len(seen) > 1:  # a continuation
                fields.expect(b"OCHK")
                fields.raw = fields.raw[:-4]  # a checksum, which a liar can make as well as a truthful writer
            while len(fields.raw) - fields.position >= 4 + order_size:
                kind, length, message_flags = fields.number(1), fields.number(2), fields.number(1)
                fields.take(order_size)
                raw = fields.take(length)
                if kind == _CONTINUATION:
                    _continue(raw, blocks, seen)
                elif kind:
                    yield _message(kind, message_flags, raw)

    # Groups

    def links(self, messages: list[Message]) -> dict[str, int]:
        """Return the members of a group: name and address."""
        result: dict[str, int] = {}
        for kind, raw in messages:
            if kind == SYMBOL_TABLE:
                fields = Fields(raw, "a symbol table")
                found = self._symbols(fields.number(8), fields.number(8))
            elif kind == LINK:
                found = iter([parse_link(raw)])
            elif kind == LINK_INFO:
                found = self._dense_links(raw)
            else:
                continue
            for name, address in found:
                if name in result or len(result) >= MAX_OBJECTS:
                    raise CheckpointError(f"damaged: {name[:80]!r} stands twice in a group, or far too many members")
                result[check_name(name)] = address
        return result

    def _symbols(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        fields = self.read(heap, 32, "a local heap")
        fields.expect(b"HEAP\0\0\0\0")
        size, _, address = fields.number(8), fields.number(8), fields.number(8)
        names = self.read(address, size, "a local heap").raw
        for node in self._leaves(tree, None):
            yield from self._symbol_node(node, names)

    def _leaves(self, address: int, expected_level: int | None) -> Iterator[int]:
        """Yield what the leaves of a version 1 B-tree of groups point to."""
        fields = self.read(address, 24, "a tree")
        fields.expect(b"TREE\0")
        level, used = fields.number(1), fields.number(2)
        if level > 8 or expected_level not in (None, level):
            raise CheckpointError(f"damaged: a tree node of level {level}")
        pairs = self.read(address + 24, 16 * used, "a tree")
        for _ in range(used):
            pairs.take(8)
            child = pairs.number(8)
            if level == 0:
                yield child
            else:
                yield from self._leaves(child, level - 1)

    def _symbol_node(self, address: int, names: bytes) -> Iterator[tuple[str, int]]:
        fields = self.read(address, 8, "a symbol node")
        fields.expect(b"SNOD\x01\0")
        count = fields.number(2)
        entries = self.read(address + 8, 40 * count, "a symbol node")
        for _ in range(count):
            place, target, kind = entries.number(8), entries.number(8), entries.number(4)
            entries.take(20)
            end = names.find(b"\0", place, place + MAX_NAME_BYTES)
            if place >= len(names) or end < 0:
                raise CheckpointError("damaged: a name outside its heap")
            self.spend(end - place, "a name")  # names in a heap may overlap
            name = decode(names[place:end])
            if kind > 1 or target == UNDEFINED:
                raise CheckpointError(f"{name[:80]!r} is a link to another name, which is refused")
            yield name, target

    def _dense_links(self, raw: bytes) -> Iterator[tuple[str, int]]:
        fields = Fields(raw, "a link table")
        fields.expect(b"\0")
        fields.take(8 if fields.number(1) & 1 else 0)
        heap = fields.number(8)
        if heap != UNDEFINED:
            for item in heap_objects(self, heap, fields.number(8)):
                yield parse_link(item)

    # Text

    def strings(self, attribute: Attribute) -> list[str]:
        """Return the text of an attribute, which may have any number of elements."""
        if attribute.count == 0:  # Keras writes an empty list as an array of numbers
            return []
        kind = parse_string_type(attribute.datatype)
        if attribute.count * kind.size > len(attribute.data):
            raise CheckpointError(f"damaged: the attribute {attribute.name[:80]!r} is cut off")
        self.spend(attribute.count * kind.size, "a text")
        fields = Fields(attribute.data, "an attribute")
        items = (fields.take(kind.size) for _ in range(attribute.count))
        if kind.is_variable:
            return [decode(self._from_heap(item)) for item in items]
        return [decode(item.split(b"\0")[0]) for item in items]

    def _from_heap(self, pointer: bytes) -> bytes:
        fields = Fields(pointer, "a text")
        length, collection, index = fields.number(4), fields.number(8), fields.number(4)
        if collection not in self._heaps:
            self._heaps[collection] = self._read_collection(collection)
        if index not in self._heaps[collection]:
            raise CheckpointError("damaged: a text outside its heap")
        address, size = self._heaps[collection][index]
        if length > min(size, MAX_NAME_BYTES):
            raise CheckpointError(f"damaged: a text of {length} bytes (at most {min(size, MAX_NAME_BYTES)} expected)")
        return self.read(address, length, "a text").raw.split(b"\0")[0]

    def _read_collection(self, address: int) -> dict[int, tuple[int, int]]:
        """Return place and size of every item of a global heap collection."""
        fields = self.read(address, 16, "a heap")
        fields.expect(b"GCOL\x01\0\0\0")
        end = address + fields.number(8)
        position, items = address + 16, dict[int, tuple[int, int]]()
        while position + 16 <= end:
            fields = self.read(position, 16, "a heap")
            index, size = fields.number(2), (fields.number(6), fields.number(8))[1]
            if index == 0:  # the free space at the end
                break
            items[index] = (position + 16, size)
            position += 16 + size + -size % 8
        return items


def _continue(raw: bytes, blocks: list[tuple[int, int]], seen: set[tuple[int, int]]) -> None:
    fields = Fields(raw, "an object header")
    block = fields.number(8), fields.number(8)
    if block in seen or len(seen) >= _MAX_PIECES:
        raise CheckpointError("damaged: an object header that goes in circles, or of far too many pieces")
    seen.add(block)
    blocks.append(block)


def _message(kind: int, flags: int, raw: bytes) -> Message:
    if flags & _SHARED:
        raise CheckpointError("an object with a committed (shared) type, which is not supported")
    return kind, raw


def parse_link(raw: bytes) -> tuple[str, int]:
    """Return name and address of a link message; only hard links are allowed."""
    fields = Fields(raw, "a link")
    fields.expect(b"\x01")
    flags = fields.number(1)
    kind = fields.number(1) if flags & 0x08 else 0
    fields.take(8 if flags & 0x04 else 0)
    fields.take(1 if flags & 0x10 else 0)
    size = fields.number(1 << (flags & 3))
    name = decode(fields.take(min(size, MAX_NAME_BYTES)))
    if kind != 0:
        described = {1: "another name", 64: "another file"}.get(kind, "something unknown")
        raise CheckpointError(f"{name[:80]!r} is a link to {described}, which is refused")
    return name, fields.number(8)


def check_name(name: str) -> str:
    """Refuse a name that is no single step of a path."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise CheckpointError(f"damaged: {name[:80]!r} is no name of a member")
    return name
