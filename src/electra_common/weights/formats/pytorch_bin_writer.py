"""Writing ``pytorch_model.bin`` without torch: the archive that ``torch.save`` makes of a state dict.

The file opens with ``torch.load(weights_only=True)``, also with ``mmap=True``. Tensors are written one at a time, each
aligned to 64 bytes, and equal tensors make equal files: there are no timestamps in it. The pickle is written first, so
names, shapes and dtypes must be known before the first tensor is read, as they are in a StoredTensor.

Source: ``_save`` in ``torch/serialization.py``; ``Tensor._reduce_ex_internal`` in ``torch/_tensor.py``; PKWARE's
APPNOTE.TXT, sections 4.3 and 4.5.3, for the archive.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np

from electra_common.weights.tensors import DTYPES, Array, StoredTensor

_FOLDER: Final = "archive"
_VERSION: Final = b"3\n"  # of the format, as torch 1.6 and later write it
_ALIGNMENT: Final = 64

_STORAGE_CLASSES: Final = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip

# From this size on, numbers of the archive stand in its zip64 fields.
ZIP64_FROM: Final = 0xFFFFFFFF
_ZIP64_COUNT_FROM: Final = 0xFFFF
_DATE: Final = (0, 0x21)  # midnight of 1 January 1980, the earliest there is
_NEEDS_ZIP64: Final = 45
_PADDING_FIELD: Final = 0x4246  # torch pads with this extra field, too


def write_pytorch_bin(
    stream: BinaryIO,
    tensors: Mapping[str, StoredTensor],
    *,
    shared: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write tensors to a stream that starts at 0, one at a time.

    Args:
        stream: where to write; only appended to.
        tensors: by the name they get in the file, in the order of the file.
        shared: further names, each for a tensor that is written already: ``{further name: name}``. Both are then one
            storage, as tied weights are in torch.
        progress: called with the bytes of each tensor.

    Raises:
        ValueError: a shared name is also a tensor's, or stands for none.
    """
    shared = shared or {}
    for further, name in shared.items():
        if further in tensors or name not in tensors:
            raise ValueError(f"{further!r} cannot share a storage with {name!r}: that is no tensor, or this is one too")
    keys = {name: str(number) for number, name in enumerate(tensors)}
    archive = _Archive(stream)
    archive.add("data.pkl", _pickle(tensors, keys, shared))
    archive.add("byteorder", b"little")
    for name, tensor in tensors.items():
        archive.add(f"data/{keys[name]}", _raw(tensor))  # no variable: it would live while the next tensor is read
        if progress is not None:
            progress(tensor.nbytes)
    archive.add("version", _VERSION)
    archive.finish()


def _raw(tensor: StoredTensor) -> memoryview:
    array: Array = np.ascontiguousarray(tensor.read(), dtype=DTYPES[tensor.dtype])
    return array.reshape(-1).view(np.uint8).data


# The pickle ---------------------------------------------------------------------------------------------------------


def _pickle(tensors: Mapping[str, StoredTensor], keys: Mapping[str, str], shared: Mapping[str, str]) -> bytes:
    """Return the pickle, in protocol 2, of an OrderedDict of tensors whose storages are the members ``data/<key>``."""
    names = {**{name: name for name in tensors}, **shared}
    items = b"".join(_text(name) + _tensor(tensors[target], keys[target]) for name, target in names.items())
    return b"\x80\x02" + _EMPTY_ORDERED_DICT + b"(" + items + b"u."


def _tensor(tensor: StoredTensor, key: str) -> bytes:
    """Return the call of torch's function with storage, offset, shape, strides, requires_grad and hooks.

    torch has no storage class for wide unsigned integers: such a tensor names its dtype and has a storage of bytes.
    """
    storage_class = _STORAGE_CLASSES.get(tensor.dtype)
    count = tensor.nbytes // DTYPES[tensor.dtype].itemsize if storage_class else tensor.nbytes
    class_name = _global("torch", storage_class) if storage_class else _global("torch.storage", "UntypedStorage")
    storage = b"(" + _text("storage") + class_name + _text(key) + _text("cpu") + _integer(count) + b"tQ"
    view = _integer(0) + _tuple(tensor.shape) + _tuple(_strides(tensor.shape))
    function = _global("torch._utils", "_rebuild_tensor_v2" if storage_class else "_rebuild_tensor_v3")
    dtype = b"" if storage_class else _global("torch", tensor.dtype)
    return function + b"(" + storage + view + b"\x89" + _EMPTY_ORDERED_DICT + dtype + b"tR"


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    return tuple(strides)


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


_EMPTY_ORDERED_DICT: Final = _global("collections", "OrderedDict") + b")R"


# The archive --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Written:
    name: bytes
    start: int
    size: int
    checksum: int


class _Archive:
    """A zip archive of members stored as they are, each with its data on a multiple of 64 bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0
        self._members: list[_Written] = []

    def add(self, name: str, data: bytes | memoryview) -> None:
        member = _Written(f"{_FOLDER}/{name}".encode(), self._position, len(data), zlib.crc32(data))
        self._members.append(member)
        self._write(_local_header(member))
        self._write(data)

    def finish(self) -> None:
        start = self._position
        for member in self._members:
            self._write(_directory_entry(member))
        self._write(_end(len(self._members), start, self._position))

    def _write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._position += len(data)


def _zip64(*numbers: int) -> bytes:
    """Return the extra field with the numbers that are too large for 32 bits; empty if there are none."""
    large = [number for number in numbers if number >= ZIP64_FROM]
    return struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""


def _in_32_bits(number: int) -> int:
    return number if number < ZIP64_FROM else 0xFFFFFFFF


def _local_header(member: _Written) -> bytes:
    # The format wants both sizes here, stored and unpacked, even if only one were too large.
    extra = _zip64(member.size, member.size)
    padding = -(member.start + 30 + len(member.name) + len(extra) + 4) % _ALIGNMENT
    extra += struct.pack("<HH", _PADDING_FIELD, padding) + bytes(padding)
    size = _in_32_bits(member.size)
    return (
        struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", _NEEDS_ZIP64, 0, 0, *_DATE, member.checksum, size, size, len(member.name),
            len(extra),
        )
        + member.name
        + extra
    )  # fmt: skip


def _directory_entry(member: _Written) -> bytes:
    extra = _zip64(member.size, member.size, member.start)
    size = _in_32_bits(member.size)
    return (
        struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", _NEEDS_ZIP64, _NEEDS_ZIP64, 0, 0, *_DATE, member.checksum, size, size,
            len(member.name), len(extra), 0, 0, 0, 0, _in_32_bits(member.start),
        )
        + member.name
        + extra
    )  # fmt: skip


def _end(count: int, start: int, end: int) -> bytes:
    """Return what follows the directory: the zip64 record and where it is, always, as torch does; then the old end."""
    record = struct.pack(
        "<4sQ2H2I4Q", b"PK\x06\x06", 44, _NEEDS_ZIP64, _NEEDS_ZIP64, 0, 0, count, count, end - start, start
    )
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    short_count = min(count, _ZIP64_COUNT_FROM)
    return (
        record
        + locator
        + struct.pack(
            "<4s4H2IH", b"PK\x05\x06", 0, 0, short_count, short_count, _in_32_bits(end - start), _in_32_bits(start), 0
        )
    )
