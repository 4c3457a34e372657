"""Adam's two moments of every parameter, as a file beside the weights: ``optimizer.safetensors``.

Names are those of the joint form behind ``m/`` and ``v/``; arrays lie as the parameters do in their canonical form, so
either framework goes on from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.weights.atomic import write_files
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.safetensors import read_safetensors, write_safetensors
from electra_common.weights.tensors import StoredTensor

OPTIMIZER_FILE: Final = "optimizer.safetensors"

# {joint name: (mean of gradients, mean of their squares)}
Moments = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]


def write_moments(folder: Path, moments: Moments) -> None:
    """Write Adam's state into a folder; raises CheckpointError if it cannot be written."""
    named = {f"{kind}/{name}": array for name, pair in moments.items() for kind, array in zip("mv", pair, strict=True)}
    tensors = {name: _stored(name, array) for name, array in sorted(named.items())}
    write_files(folder, {OPTIMIZER_FILE: lambda stream: write_safetensors(stream, tensors, {})})


def read_moments(folder: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return what :func:`write_moments` wrote.

    Raises:
        CheckpointError: the file is missing or damaged, or a parameter has one moment only.
    """
    path = folder / OPTIMIZER_FILE
    tensors, _ = read_safetensors(path)
    names = sorted({name.partition("/")[2] for name in tensors})
    wrong = [name for name in names if not _is_pair(tensors.get(f"m/{name}"), tensors.get(f"v/{name}"))]
    if wrong or len(tensors) != 2 * len(names):
        raise CheckpointError(f"{path}: expected two moments of one shape for each parameter, wrong: {wrong[:3]}")
    return {name: (_array(tensors[f"m/{name}"]), _array(tensors[f"v/{name}"])) for name in names}


def _is_pair(first: StoredTensor | None, second: StoredTensor | None) -> bool:
    return first is not None and second is not None and first.shape == second.shape


def _stored(name: str, array: NDArray[Any]) -> StoredTensor:
    return StoredTensor(name, array.shape, "float32", lambda: np.ascontiguousarray(array, np.float32))


def _array(tensor: StoredTensor) -> NDArray[Any]:
    return np.asarray(tensor.read(), np.float32)
