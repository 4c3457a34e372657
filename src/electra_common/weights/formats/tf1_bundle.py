"""TensorFlow checkpoints as its Saver writes them (``model.ckpt-N.index`` and ``.data-…``), without TensorFlow.

The index is a table of protocol buffers, one a variable; the data files hold the raw bytes. Variables that were
partitioned over several devices are put together again. Every checksum is verified unless that is switched off.
String, variant and quantised tensors are not weights: they are listed by :func:`read_bundle` as skipped. A single
string can be asked for by name.

Source: tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle in TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import google_crc32c
import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.bundle_paths import V1_REFUSAL, index_of
from electra_common.weights.formats.leveldb_table import read_table, unmask_checksum
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.formats.ordered_code import Extent, slice_key
from electra_common.weights.formats.protobuf import expect_bytes, expect_integer, fields
from electra_common.weights.formats.tf1_strings import STRING_OVERHEAD, decode_string
from electra_common.weights.tensors import DTYPES, Array, StoredTensor, data_bytes, is_possible_shape

# The index of ELECTRA-Large with Adam slots has 200 kB.
MAX_INDEX_BYTES: Final = 8 << 20
MAX_SHARDS: Final = 4096
MAX_SLICES: Final = 4096  # of one variable; partitioners make one a device or parameter server
MAX_RANK: Final = 8

# tensorflow/core/framework/types.proto
BUNDLE_DTYPES: Final = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool", 14: "bfloat16",
    17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
_STRING: Final = 7
_LITTLE_ENDIAN: Final = 0
HEADER_KEY: Final = b""


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies, as the index says; ``slices`` is set for partitioned variables."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    slices: tuple[tuple[Extent, ...], ...]


def read_bundle(prefix: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Return the numeric tensors of a bundle by variable name, and the names of the others.

    Args:
        prefix: the path without ``.index``.
        verify: check each tensor's CRC-32C when it is read.

    Raises:
        CheckpointError: a file is missing, truncated, damaged or contradicts itself.
    """
    index = index_of(prefix)
    entries, shard_count = _read_index(index)
    shards = _Shards(prefix, shard_count)
    tensors: dict[str, StoredTensor] = {}
    skipped: list[str] = []
    for key, entry in entries.items():
        if key == HEADER_KEY or key.startswith(b"\x00"):  # a slice of a partitioned variable, listed under its name
            continue
        try:
            name = key.decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(f"{index}: damaged: the name {key[:80]!r} is not UTF-8") from None
        if entry.dtype not in BUNDLE_DTYPES:
            skipped.append(name)
            continue
        tensors[name] = _tensor(name, key, entry, entries, shards, verify)
    _check_overlap(index, entries)
    return tensors, tuple(skipped)


def read_string(prefix: Path, name: str, *, max_bytes: int) -> bytes | None:
    """Return a string tensor without axes, its checksums always verified, or None if the bundle has none of that name.

    Raises:
        CheckpointError: it has axes, is longer than ``max_bytes``, or is damaged.
    """
    index = index_of(prefix)
    entries, shard_count = _read_index(index)
    entry = entries.get(name.encode())
    if entry is None or entry.dtype != _STRING:
        return None
    if entry.shape or entry.slices:
        raise CheckpointError(f"{index}: {name} must be a single string")
    if not 0 <= entry.size <= max_bytes + STRING_OVERHEAD:
        raise CheckpointError(f"{index}: {name} has {entry.size} bytes; at most {max_bytes} are read")
    file = _Shards(prefix, shard_count).file(entry.shard, name)
    try:
        return decode_string(file.bytes(entry.offset, entry.size), entry.checksum)
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(
            message if message.startswith(str(file.path)) else f"{file.path}: {name}: {message}"
        ) from None


# The index ----------------------------------------------------------------------------------------------------------


def _read_index(index: Path) -> tuple[dict[bytes, Entry], int]:
    file = MappedFile(index)
    if file.size > MAX_INDEX_BYTES:
        raise CheckpointError(f"{index}: {file.size} bytes; an index has at most {MAX_INDEX_BYTES}")
    records = read_table(index, file.bytes(0, file.size))
    try:
        key, value = next(records, (None, b""))
        if key != HEADER_KEY:
            raise CheckpointError("damaged: no bundle header")
        shards = _read_header(value)
        return {key: _read_entry(key, value) for key, value in records}, shards
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if message.startswith(str(index)) else f"{index}: {message}") from None


def _read_header(value: bytes) -> int:
    shards, endianness = 0, _LITTLE_ENDIAN
    for number, _, field in fields(value):
        if number == 1:
            if isinstance(field, bytes):  # V1 has its list of tensors here, V2 a number
                raise CheckpointError(V1_REFUSAL)
            shards = expect_integer(field, "the number of shards")
        elif number == 2:
            endianness = expect_integer(field, "the byte order")
    if endianness != _LITTLE_ENDIAN:
        raise CheckpointError("written on a big-endian machine, which is not supported")
    if not 1 <= shards <= MAX_SHARDS:
        raise CheckpointError(f"damaged: {shards} shards (1 to {MAX_SHARDS} expected)")
    return shards


def _read_entry(key: bytes, value: bytes) -> Entry:
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    slices: list[tuple[Extent, ...]] = []
    for number, _, field in fields(value):
        if number in numbers:
            numbers[number] = expect_integer(field, f"field {number} of {key[:80]!r}")
        elif number == 2:
            shape = _read_shape(expect_bytes(field, "a shape"))
        elif number == 7:
            slices.append(_read_slice(expect_bytes(field, "a slice")))
        if len(slices) > MAX_SLICES:
            raise CheckpointError(f"damaged: {key[:80]!r} has more than {MAX_SLICES} slices")
    return Entry(numbers[1], shape, numbers[3], numbers[4], numbers[5], numbers[6], tuple(slices))


def _read_shape(message: bytes) -> tuple[int, ...]:
    sizes: list[int] = []
    for number, _, field in fields(message):
        if number == 2:
            size = 0
            for inner, _, dimension in fields(expect_bytes(field, "an axis")):
                size = expect_integer(dimension, "an axis") if inner == 1 else size
            if size < 0:
                raise CheckpointError(f"damaged: an axis of {size}")
            sizes.append(size)
            _check_rank(sizes)
        elif number == 3 and field:
            raise CheckpointError("damaged: a shape of unknown rank")
    return tuple(sizes)


def _read_slice(message: bytes) -> tuple[Extent, ...]:
    extents: list[Extent] = []
    for number, _, field in fields(message):
        if number == 1:
            start, length = 0, -1
            for inner, _, value in fields(expect_bytes(field, "an extent")):
                start = expect_integer(value, "a start") if inner == 1 else start
                length = expect_integer(value, "a length") if inner == 2 else length
            extents.append((start, length))
            _check_rank(extents)
    return tuple(extents)


def _check_rank(axes: list[Any]) -> None:
    if len(axes) > MAX_RANK:
        raise CheckpointError(f"damaged: a tensor of more than {MAX_RANK} axes")


# The data -----------------------------------------------------------------------------------------------------------


class _Shards:
    """The data files of a bundle, opened when first needed; their names are made here, not taken from the index."""

    def __init__(self, prefix: Path, count: int) -> None:
        self.prefix = prefix
        self.count = count
        self._open: dict[int, MappedFile] = {}

    def file(self, shard: int, name: str) -> MappedFile:
        if not 0 <= shard < self.count:
            raise CheckpointError(f"{self.prefix}.index: damaged: {name} is in shard {shard} of {self.count}")
        if shard not in self._open:
            path = self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self.count:05d}")
            self._open[shard] = MappedFile(path)
        return self._open[shard]


def _tensor(
    name: str, key: bytes, entry: Entry, entries: Mapping[bytes, Entry], shards: _Shards, verify: bool
) -> StoredTensor:
    dtype = BUNDLE_DTYPES[entry.dtype]
    if not entry.slices:
        _check_entry(name, entry, shards)
        return StoredTensor(name, entry.shape, dtype, lambda: _read_plain(name, entry, shards, verify))
    if len(set(entry.slices)) != len(entry.slices) or not is_possible_shape(entry.shape):
        raise CheckpointError(f"{shards.prefix}.index: damaged: the slices of {name} cannot make {list(entry.shape)}")
    parts = [(extents, _slice_entry(name, key, entry, extents, entries, shards)) for extents in entry.slices]
    if sum(math.prod(part.shape) for _, part in parts) != math.prod(entry.shape):
        raise CheckpointError(f"{shards.prefix}.index: the slices of {name} do not add up to {list(entry.shape)}")
    return StoredTensor(name, entry.shape, dtype, lambda: _read_sliced(name, entry, parts, shards, verify))


def _check_entry(name: str, entry: Entry, shards: _Shards) -> None:
    """Refuse an entry that lies about its size before anything of that size is made."""
    dtype = BUNDLE_DTYPES[entry.dtype]
    if entry.size != data_bytes(entry.shape, dtype) or not is_possible_shape(entry.shape):
        raise CheckpointError(
            f"{shards.prefix}.index: {name}: {entry.size} bytes cannot hold {list(entry.shape)} of {dtype}"
        )
    file = shards.file(entry.shard, name)
    if entry.offset < 0 or entry.offset + entry.size > file.size:
        raise CheckpointError(
            f"{file.path}: truncated: {name} ends at byte {entry.offset + entry.size}, the file has {file.size}"
        )


def _check_overlap(index: Path, entries: Mapping[bytes, Entry]) -> None:
    """Refuse tensors that share bytes: a small file could otherwise ask for a huge model."""
    spans = sorted(
        (entry.shard, entry.offset, entry.offset + entry.size, key)
        for key, entry in entries.items()
        if entry.dtype in BUNDLE_DTYPES and not entry.slices and entry.size > 0
    )
    for (shard, _, end, key), (next_shard, start, _, next_key) in pairwise(spans):
        if shard == next_shard and start < end:
            raise CheckpointError(f"{index}: damaged: {key[:80]!r} and {next_key[:80]!r} overlap in the data")


def _read_plain(name: str, entry: Entry, shards: _Shards, verify: bool) -> Array:
    file = shards.file(entry.shard, name)
    if verify:
        raw = np.frombuffer(file.view(entry.offset, entry.size), np.uint8)
        if google_crc32c.value(raw) != unmask_checksum(entry.checksum):
            raise CheckpointError(f"{file.path}: damaged: the checksum of {name} does not match")
    return file.array(entry.offset, entry.shape, BUNDLE_DTYPES[entry.dtype])


def _slice_entry(
    name: str, key: bytes, whole: Entry, extents: tuple[Extent, ...], entries: Mapping[bytes, Entry], shards: _Shards
) -> Entry:
    part = entries.get(slice_key(key, extents))
    if part is None:
        raise CheckpointError(f"{shards.prefix}.index: the slice {list(extents)} of {name} is missing")
    bounds = _bounds(name, whole, extents, shards)
    if part.dtype != whole.dtype or part.shape != tuple(stop - start for start, stop in bounds) or part.slices:
        raise CheckpointError(f"{shards.prefix}.index: the slice {list(extents)} of {name} has another shape or dtype")
    _check_entry(name, part, shards)
    return part


def _bounds(name: str, whole: Entry, extents: tuple[Extent, ...], shards: _Shards) -> list[tuple[int, int]]:
    """Return (start, stop) of a slice on each axis; length -1 means the whole axis."""
    if len(extents) != len(whole.shape):
        raise CheckpointError(f"{shards.prefix}.index: a slice of {name} has {len(extents)} axes")
    bounds = [
        (start, size if length == -1 else start + length)
        for (start, length), size in zip(extents, whole.shape, strict=True)
    ]
    if any(not 0 <= start <= stop <= size for (start, stop), size in zip(bounds, whole.shape, strict=True)):
        raise CheckpointError(f"{shards.prefix}.index: the slice {list(extents)} of {name} leaves {list(whole.shape)}")
    return bounds


def _read_sliced(
    name: str, whole: Entry, parts: list[tuple[tuple[Extent, ...], Entry]], shards: _Shards, verify: bool
) -> Array:
    result = np.empty(whole.shape, DTYPES[BUNDLE_DTYPES[whole.dtype]])
    covered = np.zeros(whole.shape, bool)
    for extents, part in parts:
        where = tuple(slice(start, stop) for start, stop in _bounds(name, whole, extents, shards))
        result[where] = _read_plain(name, part, shards, verify)
        covered[where] = True
    if not covered.all():
        raise CheckpointError(f"{shards.prefix}.index: the slices of {name} overlap and leave a hole")
    return result
