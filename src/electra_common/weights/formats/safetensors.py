"""``model.safetensors``: a JSON table of tensors, then their bytes.

Reading maps the file, so an array costs nothing until it is touched. Writing streams tensor by tensor. Files written
here carry a CRC-32C of table and data in the metadata, and reading checks it: the format itself has no checksum.

Layout: 8 bytes little-endian length of the JSON; the JSON ``{name: {dtype, shape, data_offsets}}`` with an optional
``__metadata__`` of strings; then the data, which the offsets must cover without gap or overlap.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import google_crc32c
import numpy as np

from electra_common.json_files import parse_json_object
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.tensors import DTYPES, Array, StoredTensor, data_bytes, is_possible_shape

# Generous: the table of ELECTRA-Large has 50 kB. The limit bounds what a hostile file can make the parser allocate.
MAX_HEADER_BYTES: Final = 4 << 20
CHECKSUM_KEY: Final = "electra_crc32c"
_ALIGNMENT: Final = 64  # data starts on a cache line, so that mapped weights are as fast as allocated ones
_CHUNK: Final = 1 << 24

_DTYPE_NAMES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_DTYPE_TAGS: Final = {name: tag for tag, name in _DTYPE_NAMES.items()}


def looks_like_safetensors(start: bytes) -> bool:
    """Whether the first nine bytes of a file could open a safetensors file."""
    return len(start) >= 9 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= MAX_HEADER_BYTES


def read_safetensors(path: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors and the metadata of a file.

    Args:
        path: the file.
        verify: check the CRC-32C where the file carries one (files written by this library do).

    Raises:
        CheckpointError: the file is truncated, damaged or contradicts itself.
    """
    file = MappedFile(path)
    if file.size < 8:
        raise CheckpointError(f"{path}: {file.size} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", file.bytes(0, 8))
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"{path}: not a safetensors file: a table of {length} bytes (limit {MAX_HEADER_BYTES})")
    header = _parse_header(path, file.bytes(8, length))
    metadata = _check_metadata(path, header.pop("__metadata__", {}))
    entries = {name: _check_entry(path, name, entry) for name, entry in header.items()}
    _check_coverage(path, entries, file.size - 8 - length)
    if verify and CHECKSUM_KEY in metadata:
        _check_checksum(file, 8 + length, entries, metadata)
    tensors = {name: _tensor(file, 8 + length, name, entry) for name, entry in entries.items()}
    return tensors, metadata


Entry = tuple[str, tuple[int, ...], int, int]  # dtype, shape, begin, end


def _parse_header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        return parse_json_object(raw.decode("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: the safetensors table is damaged: {error}") from None


def _check_metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: __metadata__ must hold strings only")
    return metadata


def _check_entry(path: Path, name: str, entry: Any) -> Entry:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{path}: {name}: expected dtype, shape and data_offsets, found {str(entry)[:80]}")
    dtype, shape, offsets = _DTYPE_NAMES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    if dtype is None:
        raise CheckpointError(f"{path}: {name}: dtype {str(entry['dtype'])[:20]!r} is not known")
    if not _is_sizes(shape) or not _is_sizes(offsets) or len(offsets) != 2 or len(shape) > 8:
        raise CheckpointError(f"{path}: {name}: shape and data_offsets must be lists of whole numbers")
    begin, end = offsets
    if end - begin != data_bytes(tuple(shape), dtype) or not is_possible_shape(tuple(shape)):
        raise CheckpointError(f"{path}: {name}: {end - begin} bytes cannot hold {shape} of {dtype}")
    return dtype, tuple(shape), begin, end


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 63 for size in value)


def _check_coverage(path: Path, entries: Mapping[str, Entry], data_size: int) -> None:
    """The data must be covered exactly: a gap could hide bytes, an overlap could make a small file huge."""
    position = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise CheckpointError(f"{path}: {name}: starts at byte {begin} of the data, expected {position}")
        position = end
    if position != data_size:
        raise CheckpointError(f"{path}: the table describes {position} bytes of data, the file has {data_size}")


def _tensor(file: MappedFile, start: int, name: str, entry: Entry) -> StoredTensor:
    dtype, shape, begin, _ = entry
    return StoredTensor(name, shape, dtype, lambda: file.array(start + begin, shape, dtype))


# Checksum -----------------------------------------------------------------------------------------------------------


def _table_bytes(entries: Mapping[str, Entry]) -> bytes:
    return json.dumps(sorted(entries.items())).encode()


def _check_checksum(file: MappedFile, start: int, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    checksum = google_crc32c.value(_table_bytes(entries))
    for offset in range(start, file.size, _CHUNK):
        size = min(_CHUNK, file.size - offset)
        checksum = google_crc32c.extend(checksum, np.frombuffer(file.view(offset, size), np.uint8))
        file.release()
    if metadata[CHECKSUM_KEY] != f"{checksum:08x}":
        raise CheckpointError(
            f"{file.path}: damaged: the checksum is {checksum:08x}, the file says {metadata[CHECKSUM_KEY][:20]}"
        )


# Writing ------------------------------------------------------------------------------------------------------------


def write_safetensors(
    stream: BinaryIO,
    tensors: Mapping[str, StoredTensor],
    metadata: Mapping[str, str],
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write tensors to a seekable stream, one at a time, with a checksum in the metadata.

    Wide dtypes come first and names are sorted within a width, so every tensor is aligned.
    """
    names = sorted(tensors, key=lambda name: (-DTYPES[tensors[name].dtype].itemsize, name))
    entries: dict[str, Entry] = {}
    position = 0
    for name in names:
        tensor = tensors[name]
        entries[name] = (tensor.dtype, tensor.shape, position, position + tensor.nbytes)
        position += tensor.nbytes
    placeholder = _header(entries, {**metadata, CHECKSUM_KEY: "0" * 8})
    stream.write(placeholder)
    checksum = google_crc32c.value(_table_bytes(entries))
    for name in names:
        checksum = _write_array(stream, tensors[name], checksum)
        if progress is not None:
            progress(tensors[name].nbytes)
    stream.seek(0)
    stream.write(_header(entries, {**metadata, CHECKSUM_KEY: f"{checksum:08x}"}))


def _write_array(stream: BinaryIO, tensor: StoredTensor, checksum: int) -> int:
    array: Array = np.ascontiguousarray(tensor.read(), dtype=DTYPES[tensor.dtype])
    raw = array.reshape(-1).view(np.uint8)
    stream.write(raw.data)
    return int(google_crc32c.extend(checksum, raw))


def _header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    table: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, (dtype, shape, begin, end) in entries.items():
        table[name] = {"dtype": _DTYPE_TAGS[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
