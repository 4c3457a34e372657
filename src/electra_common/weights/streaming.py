"""Reading many tensors one after the other in little memory, and changing their dtype on the way.

For conversion only, which opens its source itself: pages that were read are given back to the operating system, which
would lose changes made to the arrays in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import release_pages
from electra_common.weights.tensors import DTYPES, FLOATING_DTYPES, Array, StoredTensor


class SequentialReader:
    """Wraps tensors so that reading one gives back the memory of the one before."""

    def __init__(self) -> None:
        self._previous: Array | None = None

    def wrap(self, tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
        """Return the tensors, to be read in turn."""
        return {name: self._wrap(tensor) for name, tensor in tensors.items()}

    def _wrap(self, tensor: StoredTensor) -> StoredTensor:
        def read() -> Array:
            self.release()
            array = tensor.read()
            self._previous = array
            return array

        return replace(tensor, read=read)

    def release(self) -> None:
        """Give back the memory of the last tensor that was read."""
        if self._previous is not None:
            release_pages(self._previous)
            self._previous = None


class Rounding:
    """Changes the dtype of floating tensors and keeps the largest error that this made."""

    def __init__(self, dtype: str) -> None:
        if dtype not in FLOATING_DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(FLOATING_DTYPES)}, found {dtype!r}")
        self.dtype = dtype
        self.largest_error = 0.0

    def wrap(self, tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
        """Return the tensors in the new dtype."""
        return {name: self._wrap(name, tensor) for name, tensor in tensors.items()}

    def _wrap(self, name: str, tensor: StoredTensor) -> StoredTensor:
        if tensor.dtype == self.dtype:
            return tensor

        def read() -> Array:
            exact = tensor.read()
            with np.errstate(over="ignore"):
                rounded = exact.astype(DTYPES[self.dtype])
            wide = exact.astype(np.float64)
            error = np.abs(wide - rounded.astype(np.float64))
            if np.isinf(error).any():
                raise CheckpointError(f"{name}: {np.abs(wide).max():.3g} does not fit into {self.dtype}")
            self.largest_error = max(self.largest_error, float(np.nanmax(error, initial=0.0)))
            return rounded

        return replace(tensor, dtype=self.dtype, read=read)
