"""The state of the optimizer in a checkpoint of Google's code: Adam's slots and the training step.

Google's released checkpoints come without; those of one's own training have both. What loading weights leaves aside is
read here, under the names of the joint form, so that training can go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.weights.components import google_components, is_google
from electra_common.weights.errors import CheckpointError
from electra_common.weights.hub import resolve_path
from electra_common.weights.joint_names import joint_tensors
from electra_common.weights.names import DISCRIMINATOR, GENERATOR
from electra_common.weights.tensors import StoredTensor
from electra_common.weights.weights_file import TF1, open_weights

_SLOTS: Final = ("/adam_m", "/adam_v")
_STEP: Final = "global_step"

Tensors = Mapping[str, StoredTensor]
Moments = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def read_optimizer_state(name_or_path: str | Path, **options: Any) -> tuple[int, Moments] | None:
    """Return (steps trained, ``{joint name: (mean of gradients, mean of their squares)}``), or None without slots.

    Args:
        name_or_path: a checkpoint of Google's code; one of any other form has no slots.
        **options: ``revision``, ``cache_dir`` and ``local_files_only``, as of ``from_pretrained``.

    Returns:
        Arrays in float32, their axes in the order of the canonical form. Without a usable ``global_step`` the step is
        0: the schedule starts anew.

    Raises:
        CheckpointError: the checkpoint is unusable, or some of its weights have slots and others none or of another
            shape.
    """
    weights = open_weights(resolve_path(name_or_path, **options), verify=True)
    if weights.format != TF1 or not is_google(weights.tensors):
        return None
    if not any(name.endswith(_SLOTS) for name in weights.tensors):
        return None
    joint = joint_tensors(*_networks(weights.tensors))
    means, squares = (_slots(weights.tensors, joint, slot, weights.path) for slot in _SLOTS)
    moments = {name: (_read(means[name]), _read(squares[name])) for name in joint}
    return _step(weights.tensors.get(_STEP)), moments


def _slots(tensors: Tensors, joint: Tensors, slot: str, path: Path) -> dict[str, StoredTensor]:
    """Return one slot of each weight by joint name; what both networks share has its slots once, as its weights."""
    slots = {name.removesuffix(slot): tensor for name, tensor in tensors.items() if name.endswith(slot)}
    networks = zip((DISCRIMINATOR, GENERATOR), _networks(slots), strict=True)
    named = {f"{network}.{name}": tensor for network, group in networks if group for name, tensor in group.items()}
    problems = [name for name, weight in joint.items() if name not in named or named[name].shape != weight.shape]
    if problems:
        raise CheckpointError(
            f"{path}: {slot[1:]} is missing or of another shape for {len(problems)} of {len(joint)} weights, such as "
            f"{', '.join(problems[:3])}; the weights alone can be loaded"
        )
    return {name: named[name] for name in joint}


def _networks(variables: Tensors) -> tuple[Tensors | None, Tensors | None]:
    components = google_components(variables)
    found = (components.get(name) for name in (DISCRIMINATOR, GENERATOR))
    first, second = (None if component is None else component.tensors for component in found)
    return first, second


def _read(tensor: StoredTensor) -> NDArray[np.float32]:
    return np.asarray(tensor.read(), np.float32)


def _step(tensor: StoredTensor | None) -> int:
    if tensor is None or tensor.shape != () or not tensor.dtype.startswith(("int", "uint")):
        return 0
    return max(0, int(tensor.read()))
