"""A file mapped into memory, with every access checked against its size."""

from __future__ import annotations

import mmap
from copy import copy
from pathlib import Path

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.tensors import DTYPES, Array, data_bytes


class MappedFile:
    """A read-only file of which arrays are views, loaded by the operating system page by page when touched.

    Arrays may be written to: the mapping is private, changes never reach the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0  # of what this object shows; other than 0 in a part
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise CheckpointError(f"{path}: not a regular file")
        try:
            with open(path, "rb") as stream:
                self.size = stream.seek(0, 2)
                # An empty file cannot be mapped; every reader refuses it by its size.
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY) if self.size else b""
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None

    def part(self, offset: int, size: int) -> MappedFile:
        """Return a piece as a file of its own, such as a member of an archive; CheckpointError if it is not there."""
        self._check(offset, size)
        part = copy(self)
        part._start, part.size = self._start + offset, size
        return part

    def bytes(self, offset: int, size: int) -> bytes:
        """Return a copy of some bytes; raises CheckpointError if the file does not reach that far."""
        return bytes(self.view(offset, size))

    def view(self, offset: int, size: int) -> memoryview:
        """Return some bytes without copying; raises CheckpointError if the file does not reach that far."""
        self._check(offset, size)
        return memoryview(self._map)[self._start + offset : self._start + offset + size]

    def array(self, offset: int, shape: tuple[int, ...], dtype: str) -> Array:
        """Return part of the file as an array, without copying where the address allows it."""
        numpy_dtype = DTYPES[dtype]
        size = data_bytes(shape, dtype)
        self._check(offset, size)
        if not size:
            return np.empty(shape, numpy_dtype)
        count = size // numpy_dtype.itemsize
        array: Array = np.frombuffer(self._map, numpy_dtype, count, self._start + offset).reshape(shape)
        if array.flags.aligned:
            return array
        aligned = array.copy()
        self._release_within(self._start + offset, size)
        return aligned

    def release(self) -> None:
        """Give back the memory of what was read so far; only while no array of the file has been changed."""
        if isinstance(self._map, mmap.mmap):
            _release(self._map)

    def _release_within(self, start: int, size: int) -> None:
        """Give back the whole pages of data that is only ever handed out as copies, so that no change can be lost."""
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (start + size) // mmap.PAGESIZE * mmap.PAGESIZE
        if isinstance(self._map, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and first < end:
            self._map.madvise(mmap.MADV_DONTNEED, first, end - first)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise CheckpointError(
                f"{self.path}: truncated or damaged: bytes {offset} to {offset + size} asked for, {self.size} there"
            )


def release_pages(array: Array) -> None:
    """Give back the memory of the file that an array is a view of; changes made to such arrays are lost."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap.mmap):
        _release(base)


def _release(mapping: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows, which trims by itself
        mapping.madvise(mmap.MADV_DONTNEED)
