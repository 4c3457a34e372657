"""``.npz``: numpy's archive of arrays, a zip of one ``.npy`` file each. Read without numpy's loader, opens with it.

Uncompressed members are views of the mapped file; compressed ones (``numpy.savez_compressed``) are decompressed when
asked for. Nothing is ever unpickled. The zip's CRC-32 of a member is checked whenever its array is read.

numpy has no bfloat16: such arrays are written as uint16, and the member ``__metadata__`` (bytes of JSON text, as a
uint8 array) says which they are: ``{"dtypes": {name: "bfloat16"}, "metadata": {string: string}}``. It is written only
if there is something to say, so a plain file holds nothing but its arrays.

Source: numpy's ``NEP 1`` and ``numpy/lib/format.py`` for the header of ``.npy``.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from electra_common.json_files import parse_json_object
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.formats.zip_archive import (
    MAX_NAME_BYTES,
    Member,
    first_member_name,
    is_safe_name,
    read_members,
)
from electra_common.weights.tensors import DTYPES, Array, StoredTensor, data_bytes, is_possible_shape

METADATA: Final = "__metadata__"
MAX_METADATA_BYTES: Final = 1 << 18
MAX_RANK: Final = 8
_SUFFIX: Final = ".npy"
_MAGIC: Final = b"\x93NUMPY"
MAX_HEADER_BYTES: Final = 10_000  # numpy's own limit; a header of one of ELECTRA's arrays has 128
_CHUNK: Final = 1 << 20
_ALIGNMENT: Final = 64

# One byte of deflate stands for at most 1032: zlib's technical notes. Weights come nowhere near; a file that would
# grow this much in all is no checkpoint.
_DEFLATE_LIMIT: Final = 1032
_MOST_GROWTH, _FREE_GROWTH_BYTES = 64, 1 << 26

# The dictionary of a header as numpy writes it (Python 2 wrote sizes as 3L); anything else, such as a list of fields
# or an object dtype, is not an array of numbers.
_HEADER: Final = re.compile(
    rb"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\),? ?\}[ ]*\n"
)
_SHAPE: Final = re.compile(rb"(?:[0-9]{1,19}L?(?:, ?|$))*")
_DESCRIPTIONS: Final = {dtype.str: name for name, dtype in DTYPES.items() if name != "bfloat16"}


def is_npz(path: Path) -> bool:
    """Whether a file is a zip archive whose first member is an array; ``torch.save`` makes archives of other members.

    Raises:
        CheckpointError: the file cannot be read.
    """
    name = first_member_name(MappedFile(path))
    return name is not None and name.endswith(_SUFFIX)


def read_npz(path: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the arrays of a file by name, and the metadata that this library may have written into it.

    Args:
        path: the file.
        verify: check each member's CRC-32 when it is read.

    Raises:
        CheckpointError: the file is truncated, damaged, unsafe, or holds something else than arrays of numbers.
    """
    file = MappedFile(path)
    members = read_members(file).values()
    _check_growth(file, members)
    tensors: dict[str, StoredTensor] = {}
    for member in members:
        name = member.name.removesuffix(_SUFFIX)
        if name == member.name or not name:
            raise CheckpointError(f"{path}: {member.name}: not an array; an .npz file holds {_SUFFIX} members only")
        tensors[name] = _tensor(file, name, member, verify)
    if METADATA not in tensors:
        return tensors, {}
    dtypes, metadata = _read_metadata(path, tensors.pop(METADATA))
    return tensors | {name: _as_bfloat16(path, name, tensors.get(name)) for name in dtypes}, metadata


def _check_growth(file: MappedFile, members: Collection[Member]) -> None:
    for member in members:
        if member.size > _DEFLATE_LIMIT * member.stored:
            raise CheckpointError(
                f"{file.path}: {member.name}: damaged: {member.stored} bytes cannot be {member.size} compressed ones"
            )
    total = sum(member.size for member in members)
    if total > _MOST_GROWTH * file.size + _FREE_GROWTH_BYTES:
        raise CheckpointError(f"{file.path}: {file.size} bytes that would become {total}: not weights; refused")


# One member ---------------------------------------------------------------------------------------------------------


def _tensor(file: MappedFile, name: str, member: Member, verify: bool) -> StoredTensor:
    header, description, is_fortran, shape = _read_header(file, member)
    dtype = _DESCRIPTIONS.get(description)
    if dtype is None:
        hint = "; numpy stores bfloat16 so, save it as float32" if description in ("|V2", "<V2") else ""
        raise CheckpointError(f"{file.path}: {name}: dtype {description!r} is not one of weights{hint}")
    if len(shape) > MAX_RANK or not is_possible_shape(shape) or header + data_bytes(shape, dtype) != member.size:
        raise CheckpointError(
            f"{file.path}: {name}: damaged: {member.size - header} bytes cannot hold {list(shape)} of {dtype}"
        )
    stored_shape = shape[::-1] if is_fortran else shape

    def read() -> Array:
        return _read_array(file, member, header, stored_shape, dtype, verify)

    tensor = StoredTensor(name, stored_shape, dtype, read)
    return tensor.transposed() if is_fortran else tensor


def _read_header(file: MappedFile, member: Member) -> tuple[int, str, bool, tuple[int, ...]]:
    """Return the header's size, the dtype as numpy writes it, whether columns come first, and the shape."""
    start = _start_of(file, member)
    width = 2 if start[6:7] == b"\x01" else 4
    text_start = 8 + width
    if start[:6] != _MAGIC or start[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00") or len(start) < text_start:
        raise CheckpointError(f"{file.path}: {member.name}: damaged: not an array in numpy's format")
    end = text_start + int.from_bytes(start[8:text_start], "little")
    text = start[text_start:end]
    match = _HEADER.fullmatch(text) if end <= len(start) else None
    if match is None or not _SHAPE.fullmatch(match[3]):
        raise CheckpointError(f"{file.path}: {member.name}: not an array of numbers: its header says {text[:80]!r}")
    shape = tuple(int(size) for size in re.findall(rb"[0-9]+", match[3]))
    return end, match[1].decode("latin-1"), match[2] == b"True", shape


def _start_of(file: MappedFile, member: Member) -> bytes:
    if not member.is_compressed:
        return file.bytes(member.offset, min(member.stored, MAX_HEADER_BYTES))
    # The compressor can only make it a little longer; and zlib copies what it is given and does not use.
    compressed = file.bytes(member.offset, min(member.stored, 2 * MAX_HEADER_BYTES))
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(compressed, MAX_HEADER_BYTES)
    except zlib.error as error:
        raise CheckpointError(f"{file.path}: {member.name}: damaged: {error}") from None


def _read_array(
    file: MappedFile, member: Member, header: int, shape: tuple[int, ...], dtype: str, verify: bool
) -> Array:
    if member.is_compressed:
        raw = _decompress(file, member, verify)
        array: Array = np.frombuffer(raw, DTYPES[dtype], math.prod(shape), header).reshape(shape)
        return array if array.flags.aligned else array.copy()
    if verify:
        member.check(file)
    return file.array(member.offset + header, shape, dtype)


def _decompress(file: MappedFile, member: Member, verify: bool) -> Array:
    """Return a member's bytes; never more than the size it claims, which must be exact."""
    result = np.empty(member.size, np.uint8)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    position = checksum = 0
    try:
        for offset in range(0, member.stored, _CHUNK):
            rest = file.bytes(member.offset + offset, min(_CHUNK, member.stored - offset))
            while rest and not engine.eof:
                part = engine.decompress(rest, _CHUNK)
                rest = engine.unconsumed_tail
                if position + len(part) > member.size:
                    raise CheckpointError(
                        f"{file.path}: {member.name}: damaged: more than the {member.size} bytes told"
                    )
                result[position : position + len(part)] = np.frombuffer(part, np.uint8)
                position += len(part)
                checksum = zlib.crc32(part, checksum) if verify else checksum
    except zlib.error as error:
        raise CheckpointError(f"{file.path}: {member.name}: damaged: {error}") from None
    if position != member.size:
        raise CheckpointError(f"{file.path}: {member.name}: damaged: {position} bytes, {member.size} told")
    if not engine.eof or engine.unused_data:
        raise CheckpointError(f"{file.path}: {member.name}: damaged: its compressed data ends elsewhere than told")
    if verify:
        member.compare_checksum(file, checksum)
    return result


# What numpy's format has no place for -------------------------------------------------------------------------------


def _read_metadata(path: Path, tensor: StoredTensor) -> tuple[dict[str, str], dict[str, str]]:
    """Return the dtypes that numpy does not know, by array, and the free strings."""
    if tensor.dtype != "uint8" or len(tensor.shape) != 1 or tensor.nbytes > MAX_METADATA_BYTES:
        raise CheckpointError(f"{path}: {METADATA}: expected at most {MAX_METADATA_BYTES} bytes of JSON text")
    try:
        values = parse_json_object(tensor.read().tobytes().decode("utf-8"))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path}: {METADATA}: damaged: {error}") from None
    dtypes, metadata = values.pop("dtypes", {}), values.pop("metadata", {})
    if values or not _is_strings(dtypes) or not _is_strings(metadata) or set(dtypes.values()) - {"bfloat16"}:
        raise CheckpointError(f"{path}: {METADATA}: expected metadata of strings, and dtypes of bfloat16 only")
    return dtypes, metadata


def _is_strings(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _as_bfloat16(path: Path, name: str, tensor: StoredTensor | None) -> StoredTensor:
    if tensor is None or tensor.dtype != "uint16":
        raise CheckpointError(f"{path}: {METADATA}: {name[:80]!r} is called bfloat16 and is not an array of uint16")
    read = tensor.read
    return StoredTensor(name, tensor.shape, "bfloat16", lambda: read().view(DTYPES["bfloat16"]))


# Writing ------------------------------------------------------------------------------------------------------------


def write_npz(
    stream: BinaryIO,
    tensors: Mapping[str, StoredTensor],
    *,
    metadata: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write tensors to a seekable stream, one at a time, uncompressed, sorted by name.

    The same tensors make the same bytes: no member carries a time. Data begins at multiples of 64 bytes, so that
    reading maps it. ``numpy.load(path, allow_pickle=False)`` opens it.

    Raises:
        CheckpointError: a tensor's name cannot be a member's.
    """
    dtypes = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype == "bfloat16"}
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        if dtypes or metadata:
            text = json.dumps({"dtypes": dtypes, "metadata": dict(metadata or {})}, sort_keys=True)
            _write_array(stream, archive, METADATA, "uint8", np.frombuffer(text.encode(), np.uint8))
        for name in sorted(tensors):
            _check_name(name)
            tensor = tensors[name]
            _write_array(stream, archive, name, tensor.dtype, tensor.read())
            if progress is not None:
                progress(tensor.nbytes)


def _check_name(name: str) -> None:
    if name == METADATA or not is_safe_name(name) or len((name + _SUFFIX).encode()) > MAX_NAME_BYTES:
        raise CheckpointError(f"{name[:80]!r} cannot be the name of an array in an .npz file")


def _write_array(stream: BinaryIO, archive: zipfile.ZipFile, name: str, dtype: str, array: Array) -> None:
    array = np.ascontiguousarray(array, dtype=DTYPES[dtype]).reshape(array.shape)  # a scalar must stay one
    info = zipfile.ZipInfo(name + _SUFFIX, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # as on Unix, wherever it is written
    is_large = array.nbytes > 1 << 30
    with archive.open(info, "w", force_zip64=is_large) as member:
        member.write(_header(dtype, array.shape, stream.tell()))
        member.write(array.reshape(-1).view(np.uint8).data)


def _header(dtype: str, shape: tuple[int, ...], position: int) -> bytes:
    """Return a ``.npy`` header at a position, padded with spaces so that the data behind it is aligned."""
    description = "<u2" if dtype == "bfloat16" else DTYPES[dtype].str
    text = f"{{'descr': '{description}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = len(_MAGIC) + 4 + len(text) + 1
    text += b" " * (-(position + size) % _ALIGNMENT) + b"\n"
    return _MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text
