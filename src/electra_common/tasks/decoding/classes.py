"""From logits of classes to the name of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from electra_common.tasks.decoding.prediction import Prediction, softmax


def decode_class(name: str, logits: NDArray[Any], labels: Sequence[str]) -> Prediction:
    """Return the class with the highest logit, the first of equal ones.

    Args:
        name: the example's id.
        logits: [labels].
        labels: names of the classes.

    Raises:
        ValueError: there are not as many logits as labels.
    """
    check_class_count(logits, labels)
    probabilities = softmax(logits)
    best = int(logits.argmax())
    return Prediction(
        name, labels[best], float(probabilities[best]), dict(zip(labels, probabilities.tolist(), strict=True))
    )


def check_class_count(logits: NDArray[Any], labels: Sequence[str]) -> None:
    """Raise ValueError unless the last axis of logits has one for each label."""
    if logits.ndim == 0 or logits.shape[-1] != len(labels):
        found = logits.shape[-1] if logits.ndim else 1
        raise ValueError(
            f"expected {len(labels)} logits, one for each label, found {found}: is it another task's model?"
        )
