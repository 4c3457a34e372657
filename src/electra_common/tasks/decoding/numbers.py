"""From what a regression gives to a number on the task's own scale."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from electra_common.tasks.decoding.prediction import Prediction


def decode_number(name: str, logits: NDArray[Any], label_range: tuple[float, float] | None) -> Prediction:
    """Return the number; it may lie outside the range, which is nothing but a scale.

    Args:
        name: the example's id.
        logits: [1], or a scalar.
        label_range: what 0 and 1 stand for; None for themselves.

    Raises:
        ValueError: there is more than one number.
    """
    if logits.size != 1:
        raise ValueError(f"expected one number of a regression, found {logits.size}: is it another task's model?")
    low, high = label_range or (0.0, 1.0)
    return Prediction(name, float(logits.reshape(())) * (high - low) + low)
