"""What a model says of one example, in words and numbers that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

GivenAnswer = str | float | int | tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """The answer to one example.

    Attributes:
        id: the example's.
        answer: the name of a class; a number; a tag for each word; a part of a context, "" for none; or the number of a
            choice, from 0.
        score: the probability of that answer; of tags that of the least certain one; None of a number.
        probabilities: of a class or choice that of each, by its name or number.
        details: more of it, by the kind of task, as plain JSON values.
    """

    id: str
    answer: GivenAnswer
    score: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values in one mapping, the details beside the rest; what is empty is left out."""
        answer = list(self.answer) if isinstance(self.answer, tuple) else self.answer
        values: dict[str, Any] = {"id": self.id, "answer": answer}
        if self.score is not None:
            values["score"] = self.score
        if self.probabilities:
            values["probabilities"] = dict(self.probabilities)
        return {**values, **self.details}


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probabilities of the last axis; large logits do not overflow."""
    wide = np.asarray(logits, np.float64)
    with np.errstate(invalid="ignore"):  # of a network that has come apart: not a number in, not a number out
        exponentials = np.exp(wide - wide.max(-1, keepdims=True))
        probabilities: NDArray[np.float64] = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities
