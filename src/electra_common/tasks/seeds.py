"""Several trainings that differ in their seed alone: their summary, and which of them learnt nothing.

Why: fine-tuning on little data differs more between two seeds than between two methods, and now and then a seed ends
with a model that has learnt nothing. Large ELECTRA models at a high learning rate are known for it
(https://github.com/google-research/electra/issues/63 and 85). A mean hides such a seed, and a best score hides all
others; so the median and the spread are reported, with and without the seeds that collapsed.

What it is not: a test whether one method beats another.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from electra_common.tasks.answers import known_pairs
from electra_common.tasks.decoding.prediction import GivenAnswer, Prediction
from electra_common.tasks.examples import Example

# How near to a constant answer's score is no better than it, as a share of the measure's range.
_TOLERANCE: Final = 0.005
# Numbers that differ by less than this share of the range of the expected ones are one answer.
_ONE_NUMBER: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What the training with one seed came to.

    Attributes:
        seed: the seed.
        metrics: of the weights that count, on ``split``; empty where its answers are not known.
        best_metrics: on the development set, of the weights that were best on it; empty without one.
        constant_score: what the best constant answer reaches by the first metric; NaN where it is not known.
        is_collapsed: whether the training came to nothing (:func:`is_collapsed`).
        collapse_reason: why, in words; an empty text where it did not.
        seconds: that it took.
        steps: updates done.
        split: ``dev``, or ``test`` where there is no development set.
        test_metrics: on the test set, where ``split`` is not that and its answers are known.
    """

    seed: int
    metrics: Mapping[str, float]
    best_metrics: Mapping[str, float]
    constant_score: float
    is_collapsed: bool
    collapse_reason: str = ""
    seconds: float
    steps: int
    split: str = "dev"
    test_metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Statistics:
    """A metric over seeds.

    Attributes:
        median: the middle one; between the two in the middle, where there are two.
        mean: their mean.
        deviation: the sample standard deviation (n - 1); 0.0 of a single seed.
        minimum: the lowest.
        maximum: the highest.
        count: how many seeds count; one whose value is not finite does not.
    """

    median: float
    mean: float
    deviation: float
    minimum: float
    maximum: float
    count: int


@dataclass(frozen=True)
class Summary:
    """All seeds together.

    Attributes:
        main_metric: what models are compared by.
        metrics: of all seeds, by the name of the metric.
        without_collapsed: of those seeds that did not collapse; empty where all did.
        collapsed: the seeds that did, in the order of the results.
        count: how many seeds there are.
        test_metrics: of all seeds, on the test set.
    """

    main_metric: str
    metrics: Mapping[str, Statistics]
    without_collapsed: Mapping[str, Statistics]
    collapsed: tuple[int, ...]
    count: int
    test_metrics: Mapping[str, Statistics] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {**asdict(self), "collapsed": list(self.collapsed)}


def summarize(results: Sequence[SeedResult], main_metric: str) -> Summary:
    """Return the statistics of several seeds.

    Args:
        results: one for each seed.
        main_metric: what models are compared by; every result must have it.

    Raises:
        ValueError: there is no result, two have the same seed, or one lacks the main metric.
    """
    if not results:
        raise ValueError("no seed to summarize: expected at least one result")
    seeds = [result.seed for result in results]
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ValueError(f"seed {twice} stands twice: give each seed's result once")
    for result in results:
        if main_metric not in result.metrics:
            known = ", ".join(result.metrics) or "none"
            raise ValueError(f"seed {result.seed}: expected the metric {main_metric!r}, found {known}")
    healthy = [result for result in results if not result.is_collapsed]
    collapsed = tuple(result.seed for result in results if result.is_collapsed)
    metrics, healthy_metrics, test_metrics = (
        _statistics([result.metrics for result in results]),
        _statistics([result.metrics for result in healthy]),
        _statistics([result.test_metrics for result in results]),
    )
    return Summary(main_metric, metrics, healthy_metrics, collapsed, len(results), test_metrics)


def is_collapsed(
    score: float,
    constant_score: float,
    *,
    higher_is_better: bool = True,
    predictions: Sequence[Prediction] = (),
    examples: Sequence[Example] = (),
    scale: float | None = None,
) -> str | None:
    """Return in words why a training learnt nothing; None where it learnt something.

    It learnt nothing if the model is no better than the best constant answer, or gives one answer to every example
    although the examples expect different ones. The second is seen where the first is not: a constant answer may be
    scored on another set than the model, or be the wrong one.

    Args:
        score: the model's, by the first metric.
        constant_score: that of the best constant answer; NaN where it is not known.
        higher_is_better: whether a higher score is a better one; of an error it is not.
        predictions: the model's.
        examples: what was asked, in the same order.
        scale: the highest score there can be, 1 or, in percent, 100. By default 100 where one of both scores is above
            1; of an error, the constant answer's. A score within 0.005 of the scale is no better.

    Raises:
        ValueError: predictions do not belong to the examples.
    """
    if not math.isfinite(score):
        return f"its score is {score}"
    if scale is None:
        high = 100.0 if max(score, constant_score) > 1 else 1.0
        scale = high if higher_is_better else abs(constant_score)
    gain = score - constant_score if higher_is_better else constant_score - score
    # Rounding must not decide: 0.805 - 0.8 is a little above 0.005 in floats.
    if gain <= _TOLERANCE * scale * (1 + 1e-9):
        return f"its score of {score:.4g} is no better than the {constant_score:.4g} of a constant answer"
    return _one_answer(predictions, examples)


def _one_answer(predictions: Sequence[Prediction], examples: Sequence[Example]) -> str | None:
    """Return that a model always gives one answer, if it does so although it should not."""
    pairs = known_pairs(examples, predictions)
    expected = {wanted for wanted, _ in pairs}
    if len(expected) < 2:  # nothing is known, or one answer is all there is to learn
        return None
    answers = [answer for _, answer in pairs]
    if not _are_one(answers, expected):
        return None
    shown = f"{answers[0]:.4g}" if isinstance(answers[0], float) else repr(answers[0])
    return f"it always answers {shown}, and the examples expect {len(expected)} different answers"


def _are_one(answers: Sequence[GivenAnswer], expected: Iterable[GivenAnswer]) -> bool:
    """Return whether all answers are the same; of numbers, whether they differ by next to nothing."""
    numbers, wanted = _numbers(answers), _numbers(expected)
    if numbers and wanted:
        return _range(numbers) < _ONE_NUMBER * _range(wanted)
    return len(set(answers)) == 1


def _numbers(values: Iterable[GivenAnswer]) -> list[float]:
    """Return the values where all of them are numbers, else none."""
    values = list(values)
    numbers = [float(value) for value in values if isinstance(value, float | int)]
    return numbers if len(numbers) == len(values) else []


def _range(numbers: Sequence[float]) -> float:
    return max(numbers) - min(numbers)


def _statistics(measured: Sequence[Mapping[str, float]]) -> dict[str, Statistics]:
    names = dict.fromkeys(name for metrics in measured for name in metrics)
    columns = {name: [metrics[name] for metrics in measured if name in metrics] for name in names}
    finite = {name: [float(value) for value in values if math.isfinite(value)] for name, values in columns.items()}
    return {name: _statistics_of(values) for name, values in finite.items() if values}


def _statistics_of(values: Sequence[float]) -> Statistics:
    return Statistics(
        median=statistics.median(values),
        mean=statistics.fmean(values),
        deviation=statistics.stdev(values) if len(values) > 1 else 0.0,
        minimum=min(values),
        maximum=max(values),
        count=len(values),
    )
