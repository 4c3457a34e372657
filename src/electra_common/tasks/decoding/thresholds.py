"""From which odds on a question should count as having no answer: the thresholds that suit a set of answers best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from electra_common.tasks.squad_metrics import squad_v2_scores


@dataclass(frozen=True)
class BestThresholds:
    """The best scores that any threshold gives, in percent, and the thresholds that give them.

    An answer is taken for "" where its odds are above the threshold.
    """

    exact: float
    exact_threshold: float
    f1: float
    f1_threshold: float


def best_thresholds(
    references: Mapping[str, Sequence[str]], answers: Mapping[str, str], null_odds: Mapping[str, float]
) -> BestThresholds:
    """Return the best thresholds of SQuAD 2.0.

    The scores are those of the official script, save where questions have the very same odds, which no threshold can
    tell apart: the script tries to. Where nothing beats answering nothing, the threshold lies below all odds; the
    script says 0.

    Args:
        references: question id to its answers; none for a question that has no answer.
        answers: question id to the best answer that is not "".
        null_odds: question id to how much speaks against an answer.

    Raises:
        ValueError: there is no question.
    """
    names = sorted((name for name in references if name in answers), key=lambda name: null_odds[name])
    if not names:
        raise ValueError("no question to find a threshold for: expected references with answers, found none")
    exact, f1 = {}, {}
    for name in names:
        scores = squad_v2_scores({name: references[name]}, {name: answers[name]})["all"]
        exact[name], f1[name] = scores.exact, scores.f1
    return BestThresholds(
        *_best(names, references, answers, null_odds, exact), *_best(names, references, answers, null_odds, f1)
    )


def _best(
    names: Sequence[str],
    references: Mapping[str, Sequence[str]],
    answers: Mapping[str, str],
    null_odds: Mapping[str, float],
    scores: Mapping[str, float],
) -> tuple[float, float]:
    """Let in one answer after the other, by rising odds; return the best mean score and its threshold."""
    current = best = 100.0 * sum(not references[name] for name in names)
    threshold = null_odds[names[0]] - 1
    for odds, group in groupby(names, key=lambda name: null_odds[name]):
        for name in group:
            if references[name]:
                current += scores[name]
            elif answers[name]:
                current -= 100.0
        if current > best:
            best, threshold = current, odds
    return best / len(names), threshold
