"""The heap in which newer HDF5 writers keep the links of a group that has more than eight.

Only as much as a group of an encoder's layers needs: an index of one node (45 links) and a heap of one level.

Source: HDF5 File Format Specification Version 3.0, sections III.A.2 (B-tree) and III.G (fractal heap).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.hdf5_messages import UNDEFINED

if TYPE_CHECKING:
    from electra_common.weights.formats.hdf5 import Hdf5File

_LINK_NAME_INDEX: Final = 5
_MAX_BLOCKS: Final = 4096


@dataclass(frozen=True)
class _Heap:
    """Where the blocks of a heap lie, each with its place in the heap's own numbering, and how items are pointed to."""

    starts: tuple[int, ...]  # ascending
    blocks: tuple[tuple[int, int], ...]  # size, address
    offset_bytes: int
    length_bytes: int

    def address_of(self, offset: int, length: int) -> int:
        """Return where in the file an item lies."""
        number = bisect_right(self.starts, offset) - 1
        place = offset - self.starts[number] if number >= 0 else 0
        if number < 0 or place + length > self.blocks[number][0]:
            raise CheckpointError("damaged: a link outside its heap")
        return self.blocks[number][1] + place


def heap_objects(file: Hdf5File, heap_address: int, index_address: int) -> Iterator[bytes]:
    """Yield the items of a heap, in the order of its index."""
    heap = _read_heap(file, heap_address)
    for pointer in _read_index(file, index_address):
        if pointer[0] & 0xF0:
            raise CheckpointError("a link that is not kept in the usual heap, which is not supported")
        offset = int.from_bytes(pointer[1 : 1 + heap.offset_bytes], "little")
        length = int.from_bytes(pointer[1 + heap.offset_bytes :][: heap.length_bytes], "little")
        yield file.read(heap.address_of(offset, length), length, "a link").raw


def _read_index(file: Hdf5File, address: int) -> Iterator[bytes]:
    """Yield the heap pointers of a link name index."""
    fields = file.read(address, 38, "an index")
    fields.expect(b"BTHD\0" + bytes([_LINK_NAME_INDEX]))
    fields.take(4)
    record_size, depth = fields.number(2), fields.number(2)
    fields.take(2)
    root, count = fields.number(8), fields.number(2)
    if record_size != 11 or depth != 0:
        raise CheckpointError(f"a group with so many members (index of depth {depth}) is not supported")
    if count:
        leaf = file.read(root, 6 + record_size * count, "an index")
        leaf.expect(b"BTLF\0" + bytes([_LINK_NAME_INDEX]))
        for _ in range(count):
            leaf.take(4)  # a hash of the name
            yield leaf.take(7)


def _read_heap(file: Hdf5File, address: int) -> _Heap:
    fields = file.read(address, 142, "a link heap")
    fields.expect(b"FRHP\0")
    fields.take(2)
    filters = fields.number(2)
    fields.take(1)
    largest_item = fields.number(4)
    fields.take(12 * 8)
    width, start_size, largest_block = fields.number(2), fields.number(8), fields.number(8)
    offset_bytes = (fields.number(2) + 7) // 8
    fields.take(2)
    root, rows = fields.number(8), fields.number(2)
    if filters or not 0 < start_size <= largest_block or not 0 < offset_bytes <= 8 or rows * width > _MAX_BLOCKS:
        raise CheckpointError("damaged: a link heap that cannot be read")
    length_bytes = (min(largest_item, largest_block).bit_length() + 7) // 8
    if rows == 0:
        return _Heap((0,), ((start_size, root),), offset_bytes, length_bytes)
    if start_size << max(rows - 2, 0) > largest_block:
        raise CheckpointError("a link heap of several levels is not supported")
    table = file.read(root, 13 + offset_bytes + 8 * rows * width, "a link heap")
    table.expect(b"FHIB\0")
    table.take(8 + offset_bytes)
    starts, blocks, first = [], [], 0
    for row in range(rows):
        size = start_size << max(row - 1, 0)
        for _ in range(width):
            block = table.number(8)
            if block != UNDEFINED:
                starts.append(first)
                blocks.append((size, block))
            first += size
    return _Heap(tuple(starts), tuple(blocks), offset_bytes, length_bytes)
