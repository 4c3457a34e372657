"""The data of an HDF5 dataset as a tensor: contiguous or compact as a view of the file, chunks put together when read.

Chunks may be compressed with deflate, with or without the shuffle filter before it. How much they may expand is for the
caller to bound: :func:`open_dataset` only describes. Nothing is allocated before ``read``.

Source: HDF5 File Format Specification Version 3.0, sections III.A.1 (chunk index) and IV.A.2.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.hdf5 import Hdf5File, Message
from electra_common.weights.formats.hdf5_messages import (
    UNDEFINED,
    Chunked,
    Compact,
    is_opaque,
    parse_attributes,
    parse_dataspace,
    parse_filters,
    parse_layout,
    parse_number_type,
)
from electra_common.weights.tensors import DTYPES, Array, StoredTensor, data_bytes, is_possible_shape

DATASPACE: Final = 0x01
DATATYPE: Final = 0x03
EXTERNAL_FILES: Final = 0x07
LAYOUT: Final = 0x08
FILTERS: Final = 0x0B
_DEFLATE: Final = 1
_SHUFFLE: Final = 2

Span = tuple[int, int]  # first byte and byte after the last


@dataclass(frozen=True)
class Chunk:
    """One block of a dataset: where it lies in the file and in the array."""

    address: int
    size: int
    skipped_filters: int
    start: tuple[int, ...]


def open_dataset(file: Hdf5File, name: str, messages: list[Message]) -> tuple[StoredTensor, list[Span]]:
    """Return a dataset as a tensor, and the bytes of the file that it takes."""
    counts = Counter(kind for kind, _ in messages)
    if counts[EXTERNAL_FILES]:
        raise CheckpointError(f"{name[:200]}: its data lies in another file, which is refused")
    if any(counts[kind] != 1 for kind in (DATASPACE, DATATYPE, LAYOUT)) or counts[FILTERS] > 1:
        raise CheckpointError(f"damaged: {name[:200]} is not described exactly once")
    described = dict(messages)
    try:
        shape, dtype = parse_dataspace(described[DATASPACE]), _dtype(file, messages, described[DATATYPE])
        if not is_possible_shape(shape):
            raise CheckpointError(f"damaged: a shape of {list(shape)}")
        return _locate(file, name, shape, dtype, described)
    except CheckpointError as error:
        raise CheckpointError(f"{name[:200]}: {error}") from None


def _dtype(file: Hdf5File, messages: list[Message], raw: bytes) -> str:
    """Return the dtype's name. HDF5 has no bfloat16: Keras stores two bytes and says in an attribute what they are."""
    if is_opaque(raw, 2):
        attribute = parse_attributes(messages).get("dtype")
        if attribute is not None and file.strings(attribute) == ["bfloat16"]:
            return "bfloat16"
    return parse_number_type(raw)


def _locate(
    file: Hdf5File, name: str, shape: tuple[int, ...], dtype: str, described: dict[int, bytes]
) -> tuple[StoredTensor, list[Span]]:
    layout = parse_layout(described[LAYOUT])
    size = data_bytes(shape, dtype)
    if isinstance(layout, Chunked):
        return _open_chunks(file, name, shape, dtype, layout, parse_filters(described.get(FILTERS, b"\2\0")))
    if isinstance(layout, Compact):
        if len(layout.data) != size:
            raise CheckpointError(f"{len(layout.data)} bytes cannot hold {list(shape)} of {dtype}")
        data = layout.data
        return StoredTensor(name, shape, dtype, lambda: np.frombuffer(data, DTYPES[dtype]).reshape(shape).copy()), []
    address = layout.address
    if size == 0:
        return StoredTensor(name, shape, dtype, lambda: np.empty(shape, DTYPES[dtype])), []
    if address == UNDEFINED:
        raise CheckpointError(f"damaged: {list(shape)} of {dtype} are declared, nothing is stored")
    if layout.size != size:
        raise CheckpointError(f"damaged: {layout.size} bytes cannot hold {list(shape)} of {dtype}")
    if address + size > file.file.size:
        raise CheckpointError(f"truncated: ends at byte {address + size}, the file has {file.file.size}")
    return StoredTensor(name, shape, dtype, lambda: file.file.array(address, shape, dtype)), [(address, address + size)]


# Chunks -------------------------------------------------------------------------------------------------------------


def _open_chunks(
    file: Hdf5File, name: str, shape: tuple[int, ...], dtype: str, layout: Chunked, filters: tuple[int, ...]
) -> tuple[StoredTensor, list[Span]]:
    sizes = layout.sizes[:-1]
    if filters not in ((), (_DEFLATE,), (_SHUFFLE,), (_SHUFFLE, _DEFLATE)):
        raise CheckpointError(f"filters {list(filters)} are not supported (deflate, with or without shuffle, is)")
    if len(sizes) != len(shape) or layout.sizes[-1] != DTYPES[dtype].itemsize or 0 in sizes:
        raise CheckpointError(f"damaged: chunks of {list(layout.sizes)} in {list(shape)} of {dtype}")
    expected = math.prod(-(-length // size) for length, size in zip(shape, sizes, strict=True))
    chunks = list(_chunks(file, layout.address, len(shape))) if expected else []
    starts = {chunk.start for chunk in chunks}
    is_on_grid = all(start % size == 0 and start < length for chunk in chunks
                     for start, size, length in zip(chunk.start, sizes, shape, strict=True))  # fmt: skip
    if len(chunks) != expected or len(starts) != expected or not is_on_grid:
        raise CheckpointError(f"damaged: {expected} chunks expected, {len(chunks)} stored")
    if data_bytes(sizes, dtype) > max(8 * data_bytes(shape, dtype), 1 << 16):
        raise CheckpointError(f"damaged: chunks of {list(sizes)} in {list(shape)}")
    spans = [(chunk.address, chunk.address + chunk.size) for chunk in chunks]
    if any(end > file.file.size for _, end in spans):
        raise CheckpointError("truncated: a chunk ends outside the file")

    def read() -> Array:
        result = np.zeros(shape, DTYPES[dtype])
        for chunk in chunks:
            block = _read_chunk(file, name, chunk, sizes, dtype, filters)
            place = tuple(slice(start, start + size) for start, size in zip(chunk.start, sizes, strict=True))
            target = result[place]
            target[...] = block[tuple(slice(length) for length in target.shape)]
        return result

    return StoredTensor(name, shape, dtype, read), spans


def _chunks(file: Hdf5File, address: int, rank: int, expected_level: int | None = None) -> Iterator[Chunk]:
    if address == UNDEFINED:
        raise CheckpointError("damaged: chunks are declared, nothing is stored")
    fields = file.read(address, 24, "a chunk index")
    fields.expect(b"TREE\x01")
    level, used = fields.number(1), fields.number(2)
    if level > 8 or expected_level not in (None, level):
        raise CheckpointError(f"damaged: a chunk index of level {level}")
    entries = file.read(address + 24, used * (24 + 8 * rank), "a chunk index")
    for _ in range(used):
        size, skipped = entries.number(4), entries.number(4)
        start = tuple(entries.number(8) for _ in range(rank + 1))[:-1]
        child = entries.number(8)
        if level:
            yield from _chunks(file, child, rank, level - 1)
        else:
            yield Chunk(child, size, skipped, start)


def _read_chunk(
    file: Hdf5File, name: str, chunk: Chunk, sizes: tuple[int, ...], dtype: str, filters: tuple[int, ...]
) -> Array:
    raw: bytes | memoryview = file.file.view(chunk.address, chunk.size)
    size = data_bytes(sizes, dtype)
    for index in reversed(range(len(filters))):
        if chunk.skipped_filters >> index & 1:
            continue
        if filters[index] == _DEFLATE:
            raw = _inflate(file, name, raw, size)
        elif len(raw) == size:
            planes = np.frombuffer(raw, np.uint8).reshape(DTYPES[dtype].itemsize, -1)
            raw = planes.T.tobytes()
    if len(raw) != size:
        raise CheckpointError(f"{file.file.path}: damaged: {name[:200]}: a chunk of {len(raw)} bytes, {size} expected")
    block: Array = np.frombuffer(raw, DTYPES[dtype]).reshape(sizes)
    return block


def _inflate(file: Hdf5File, name: str, raw: bytes | memoryview, size: int) -> bytes:
    """Return decompressed data, never more than one byte beyond what is expected."""
    try:
        return zlib.decompressobj().decompress(raw, size + 1)
    except zlib.error as error:
        raise CheckpointError(f"{file.file.path}: damaged: {name[:200]}: {error}") from None
