"""From logits of tokens to a part of the context, in the context's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.decoding.best_spans import Spans, best_spans, best_spans_of_beams
from electra_common.tasks.decoding.prediction import Prediction, softmax
from electra_common.tasks.examples import Question
from electra_common.tasks.features.windows import Window

Outputs = Mapping[str, NDArray[Any]]

N_BEST: Final = 20
MAX_ANSWER_LENGTH: Final = 30
# Above it a question counts as having no answer: transformers' number, and Google's for its own head.
NULL_THRESHOLD: Final = 0.0
GOOGLE_NULL_THRESHOLD: Final = -2.75


@dataclass(frozen=True)
class _Candidate:
    """A part of the context, and the sum of its start's and its end's score."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class _Null:
    """How much speaks against an answer, the score of that if it is one of a span's kind, and the usual threshold."""

    odds: float
    score: float | None
    threshold: float


def decode_answer(
    question: Question,
    windows: Sequence[Window],
    outputs: Sequence[Outputs],
    *,
    has_impossible: bool,
    null_threshold: float | None = None,
    n_best: int = N_BEST,
    max_answer_length: int = MAX_ANSWER_LENGTH,
) -> Prediction:
    """Return the best span of all windows, cut out of the context.

    How much speaks against an answer (``null_odds``) is, of the usual head, the lowest sum of the first token's logits
    of any window, less the best span's sum; of Google's head the lowest logit of impossibility of any window.

    Args:
        question: gives the context.
        windows: over it.
        outputs: of each window's row: ``start_logits`` and ``end_logits`` [length]; of Google's head the beams
            ``start_top_log_probs`` and ``start_top_index`` [beam], ``end_top_log_probs`` and ``end_top_index``
            [beam, beam], and ``impossible_logits``, a scalar.
        has_impossible: whether the answer may be that there is none, which is "".
        null_threshold: the answer is "" where ``null_odds`` are above it; by default the head's usual one.
        n_best: how many spans stand among the details.
        max_answer_length: most tokens of a span.

    Raises:
        ValueError: a number is below 1.
    """
    for name, value in (("n_best", n_best), ("max_answer_length", max_answer_length)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, found {value}")
    best = _best_candidates(windows, outputs, n_best, max_answer_length)
    null = _null(best, outputs) if has_impossible else None
    texts = [question.context[candidate.start : candidate.end] for candidate in best]
    probabilities = _probabilities(best, null)
    details: dict[str, Any] = {} if null is None else {"null_odds": null.odds}
    details["best_answer"] = texts[0] if best else ""
    details["n_best"] = [
        {"text": text, "start": candidate.start, "end": candidate.end, "score": candidate.score, "probability": value}
        for candidate, text, value in zip(best, texts, probabilities, strict=True)
    ]
    if best and (null is None or null.odds <= (null.threshold if null_threshold is None else null_threshold)):
        place = {"start": best[0].start, "end": best[0].end}
        return Prediction(question.id, texts[0], probabilities[0], details={**place, **details})
    return Prediction(question.id, "", None if null is None else _null_probability(best, null), details=details)


def _null(best: Sequence[_Candidate], outputs: Sequence[Outputs]) -> _Null:
    if "impossible_logits" in outputs[0]:
        return _Null(
            min(float(output["impossible_logits"].reshape(())) for output in outputs), None, GOOGLE_NULL_THRESHOLD
        )
    score = min(float(output["start_logits"][0]) + float(output["end_logits"][0]) for output in outputs)
    return _Null(score - (best[0].score if best else 0.0), score, NULL_THRESHOLD)


def _probabilities(best: Sequence[_Candidate], null: _Null | None) -> list[float]:
    """Of the candidates among each other, and against no answer where that has a score of the same kind, as in BERT."""
    scores = [candidate.score for candidate in best]
    rivals = [] if null is None or null.score is None else [null.score]
    return softmax(np.array(scores + rivals)).tolist()[: len(best)] if scores else []


def _null_probability(best: Sequence[_Candidate], null: _Null) -> float:
    if null.score is not None:
        return max(0.0, 1.0 - sum(_probabilities(best, null)))
    return float(np.exp(-np.logaddexp(0, -null.odds)))  # a logit


def _best_candidates(
    windows: Sequence[Window], outputs: Sequence[Outputs], n_best: int, max_length: int
) -> list[_Candidate]:
    """A span that stands in two windows is taken from the one that gives it the higher score."""
    found: dict[tuple[int, int], float] = {}
    for window, output in zip(windows, outputs, strict=True):
        starts, ends, scores = _best_of_window(window, output, n_best, max_length)
        places = zip(window.targets[starts, 0].tolist(), window.targets[ends, 1].tolist(), strict=True)
        for place, score in zip(places, scores.tolist(), strict=True):
            found[place] = max(score, found.get(place, -np.inf))
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return [_Candidate(*place, score) for place, score in ranked[:n_best]]


def _best_of_window(window: Window, output: Outputs, count: int, max_length: int) -> Spans:
    """Return the best spans by the numbers of their tokens in the window."""
    if "start_top_index" not in output:
        starts, ends = output["start_logits"][window.tokens], output["end_logits"][window.tokens]
        return best_spans(starts, ends, count=count, max_length=max_length)
    starts, ends, scores = best_spans_of_beams(
        output["start_top_log_probs"], output["start_top_index"], output["end_top_log_probs"], output["end_top_index"],
        first=window.tokens.start, behind=window.tokens.stop, count=count, max_length=max_length,
    )  # fmt: skip
    return starts - window.position, ends - window.position, scores
