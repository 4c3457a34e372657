"""Lists and numpy arrays as tensors of the framework that was asked for, which is imported only then."""

from __future__ import annotations

from typing import Any

import numpy as np

from electra_common.tokenization.call_options import check_tensors


def as_tensor(values: Any, kind: str, *, name: str = "the values") -> Any:
    """Return values as ``"np"`` (int64), ``"pt"`` (int64) or ``"tf"`` (int32, TensorFlow's habit) tensors.

    Raises:
        ValueError: rows of different lengths, or an unknown kind.
        ImportError: the framework is not installed.
    """
    check_tensors(kind)
    if kind == "np" and isinstance(values, np.ndarray):
        return values
    if type(values).__module__.partition(".")[0] in ("torch", "tensorflow"):
        values = np.asarray(values)
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype == object:
        raise ValueError(f"{name}: rows of different lengths make no tensor; pass padding=True, or truncation=True too")
    if array.size == 0 or array.dtype.kind in "iub":
        array = array.astype(np.int64, copy=False)
    if kind == "pt":
        import torch

        return torch.from_numpy(np.ascontiguousarray(array))
    if kind == "tf":
        import tensorflow as tf

        return tf.constant(array.astype(np.int32) if array.dtype.kind == "i" else array)
    return array


def as_lists(values: Any) -> Any:
    """Return tensors or arrays as nested lists; anything else as it is."""
    if hasattr(values, "tolist"):
        return values.tolist()
    if hasattr(values, "numpy"):
        return values.numpy().tolist()
    if isinstance(values, list | tuple):
        return [as_lists(value) for value in values]
    return values
