"""From logits of choices to one of them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from electra_common.tasks.decoding.prediction import Prediction, softmax
from electra_common.tasks.examples import Choice


def decode_choice(example: Choice, logits: NDArray[Any]) -> Prediction:
    """Return the number of the choice with the highest logit [choices], its text among the details.

    Raises:
        ValueError: there are not as many logits as choices.
    """
    if logits.shape != (len(example.choices),):
        raise ValueError(
            f"{example.place}: expected {len(example.choices)} logits, one for each choice, found {list(logits.shape)}"
        )
    probabilities = softmax(logits)
    best = int(logits.argmax())
    return Prediction(
        example.id,
        best,
        float(probabilities[best]),
        {str(number): value for number, value in enumerate(probabilities.tolist())},
        {"choice": example.choices[best]},
    )
