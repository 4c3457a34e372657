"""How far two runs of the same model are apart, tensor by tensor, in the order the data flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Where data flows: what enters layer 0, then for each layer its attention and its output, then the heads.
_LAST: Final = ("last_hidden_state", "logits", "start_logits", "end_logits", "loss")


@dataclass(frozen=True)
class Difference:
    """The distance of one named tensor between two runs.

    Attributes:
        name: such as ``hidden_states/3``.
        label: the same in words, such as ``layer 2 output``.
        largest: the largest absolute difference; NaN counts as infinite.
        mean: the mean absolute difference.
        scale: the largest absolute value in the first run, to judge the difference by.
    """

    name: str
    label: str
    largest: float
    mean: float
    scale: float


def compare_outputs(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> list[Difference]:
    """Return the differences of all tensors, first layer first.

    Raises:
        ValueError: the runs do not have the same tensors, or one has another shape.
    """
    if first.keys() != second.keys():
        raise ValueError(f"the runs have different tensors: {sorted(first.keys() ^ second.keys())}")
    return [_difference(name, first[name], second[name]) for name in sorted(first, key=_flow_order)]


def _difference(name: str, first: NDArray[Any], second: NDArray[Any]) -> Difference:
    if first.shape != second.shape:
        raise ValueError(f"{name} is {list(first.shape)} in one run and {list(second.shape)} in the other")
    distance = np.abs(first.astype(np.float64) - second.astype(np.float64))
    distance = np.where(np.isnan(distance), np.inf, distance)
    return Difference(
        name=name,
        label=_label(name),
        largest=float(distance.max(initial=0.0)),
        mean=float(distance.mean()) if distance.size else 0.0,
        scale=float(np.abs(first).max(initial=0.0)),
    )


def _flow_order(name: str) -> tuple[int, int, int]:
    kind, _, index = name.partition("/")
    if kind == "hidden_states":
        return 0, int(index), 0
    if kind == "attentions":
        return 0, int(index), 1  # layer i's attention comes after what enters layer i
    return 1 + (_LAST.index(kind) if kind in _LAST else len(_LAST)), 0, 0


def _label(name: str) -> str:
    kind, _, index = name.partition("/")
    if kind == "hidden_states":
        return "embeddings" if index == "0" else f"layer {int(index) - 1} output"
    if kind == "attentions":
        return f"layer {index} attention"
    return name.replace("_", " ")
