"""Exact match and F1 of answers, as SQuAD 1.1 and 2.0 define them.

The two versions are not the same measure: 1.1 gives a question without a prediction 0, 2.0 leaves it out; and two
answers without a word of their own, such as "" or "The", are equal in the F1 of 2.0 and share no word in that of 1.1.

Not for choosing a threshold of answerability, nor for other data sets' rules.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)  # ASCII alone, as in the official programs


@dataclass(frozen=True)
class AnswerScores:
    """Scores of many questions.

    Attributes:
        exact: share of questions answered in the very words of a reference, in percent.
        f1: mean F1 over words, in percent.
        total: questions that count.
    """

    exact: float
    f1: float
    total: int


def normalize_answer(text: str) -> str:
    """Return what two answers are compared by: small letters, no punctuation, no articles, single spaces."""
    # In this order: "a.m." is "am" and no article, "(the)" is one.
    plain = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def squad_scores(references: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> AnswerScores:
    """Return the official scores of SQuAD 1.1.

    Args:
        references: question id to its answers, one at least.
        predictions: question id to an answer; a question without one scores 0, ids without a question are ignored.

    Raises:
        ValueError: there is no question, or one without an answer.
    """
    scores = []
    for name, answers in references.items():
        if not answers:
            raise ValueError(f"question {name!r} has no answer: in SQuAD 1.1 each has one; use squad_v2_scores")
        if name in predictions:
            scores.append(_best(answers, predictions[name], _f1))
        else:
            scores.append((0.0, 0.0))
    return _mean(scores)


def squad_v2_scores(references: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> dict[str, AnswerScores]:
    """Return the official scores of SQuAD 2.0: ``all``, and, where there are any, ``HasAns`` and ``NoAns``.

    Args:
        references: question id to its answers; none for a question that has no answer.
        predictions: question id to an answer, ``""`` for none; a question without a prediction is left out.

    Raises:
        ValueError: no question has a prediction.
    """
    groups: dict[str, list[tuple[float, float]]] = {"all": [], "HasAns": [], "NoAns": []}
    for name, answers in references.items():
        if name not in predictions:
            continue
        # An answer of articles and punctuation alone is none, but its question still belongs to those that have one.
        real = [answer for answer in answers if normalize_answer(answer)] or [""]
        score = _best(real, predictions[name], _f1_v2)
        groups["all"].append(score)
        groups["HasAns" if answers else "NoAns"].append(score)
    return {group: _mean(scores) for group, scores in groups.items() if scores or group == "all"}


def _best(answers: Sequence[str], prediction: str, f1: Callable[[str, str], float]) -> tuple[float, float]:
    """Return exact match and F1, each by the reference that suits it best."""
    found = normalize_answer(prediction)
    wanted = [normalize_answer(answer) for answer in answers]
    return float(found in wanted), max(f1(found, answer) for answer in wanted)


def _f1(found: str, wanted: str) -> float:
    found_words, wanted_words = found.split(), wanted.split()
    shared = (Counter(found_words) & Counter(wanted_words)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(found_words), shared / len(wanted_words)
    return 2 * precision * recall / (precision + recall)


def _f1_v2(found: str, wanted: str) -> float:
    return _f1(found, wanted) if found and wanted else float(found == wanted)


def _mean(scores: Sequence[tuple[float, float]]) -> AnswerScores:
    if not scores:
        raise ValueError("no question to score: expected references with predictions, found none")
    exact, f1 = (100.0 * sum(values) / len(scores) for values in zip(*scores, strict=True))
    return AnswerScores(exact, f1, len(scores))
