"""One tensor of a checkpoint, known by name, shape and dtype, and read only when asked for.

This is what every format reader yields, so nothing behind it needs to know which format it came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

# The dtypes that model weights come in; the key is the name that torch, Keras and numpy share.
DTYPES: Final[dict[str, np.dtype[np.generic]]] = {
    **{
        name: np.dtype(name).newbyteorder("<")
        for name in (
            "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
            "bool",
        )
    },
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}  # fmt: skip
FLOATING_DTYPES: Final = ("float64", "float32", "float16", "bfloat16")


def widest_dtype(dtypes: Iterable[str]) -> str:
    """Return the floating dtype, among those of a network's tensors, that all of them fit in; float32 without any."""
    found = set(dtypes)
    return next((name for name in FLOATING_DTYPES if name in found), "float32")


def data_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Return the size of an array's data in bytes."""
    return math.prod(shape) * DTYPES[dtype].itemsize


def is_possible_shape(shape: tuple[int, ...]) -> bool:
    """Whether numpy can make such an array: even with an axis of length 0, the others must not be beyond its limits."""
    return math.prod(max(size, 1) for size in shape) < 1 << 59


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    ``read`` returns the array (often a read-only view of the mapped file) with exactly ``shape`` and ``dtype``, and
    raises CheckpointError if the bytes are damaged.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return data_bytes(self.shape, self.dtype)

    def renamed(self, name: str) -> StoredTensor:
        """Return the same tensor under another name."""
        return replace(self, name=name)

    def transposed(self) -> StoredTensor:
        """Return the tensor with its two axes swapped: [input, output] <-> [output, input]."""
        read = self.read
        return replace(self, shape=self.shape[::-1], read=lambda: read().T)

    def astype(self, dtype: str) -> StoredTensor:
        """Return the tensor as another floating dtype; tensors of integers stay as they are."""
        if dtype == self.dtype or self.dtype not in FLOATING_DTYPES:
            return self
        read, target = self.read, DTYPES[dtype]
        return replace(self, dtype=dtype, read=lambda: read().astype(target))
