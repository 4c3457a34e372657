"""What the metrics of tasks are computed by: references and predictions in, one number out.

The measures of scikit-learn, SciPy and seqeval are theirs; nothing is computed twice here. None of them warns: what is
not defined, such as the correlation with a constant, is 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.decoding.thresholds import best_thresholds
from electra_common.tasks.squad_metrics import squad_scores, squad_v2_scores


@dataclass(frozen=True)
class Answered:
    """Examples with what was wanted and what was predicted, in the same order.

    Attributes:
        wanted: numbers of classes or choices; numbers; tags of sentences; texts of answers.
        found: the same of predictions.
        labels: names of the classes.
        null_odds: of answers, how much speaks against one, and the best answer nevertheless; else None.
    """

    wanted: Sequence[Any]
    found: Sequence[Any]
    labels: Sequence[str] = ()
    null_odds: Sequence[tuple[float, str]] | None = None


def accuracy(answered: Answered) -> float:
    """Share of examples whose class or choice is the right one."""
    return float(np.mean(np.array(answered.wanted) == np.array(answered.found)))


def binary_f1(answered: Answered) -> float:
    """F1 of the second label.

    Raises:
        ValueError: there are not two labels.
    """
    if len(answered.labels) != 2:
        raise ValueError(f"f1 is of two labels, found {len(answered.labels)}: use macro_f1")
    return _sklearn("f1_score", answered, pos_label=1, labels=[0, 1], average="binary", zero_division=0)


def macro_f1(answered: Answered) -> float:
    """Mean F1 of the labels that occur."""
    return _sklearn("f1_score", answered, average="macro", zero_division=0)


def matthews(answered: Answered) -> float:
    """Matthews' correlation coefficient, from -1 to 1."""
    return _sklearn("matthews_corrcoef", answered)


def pearson(answered: Answered) -> float:
    """Pearson's correlation, from -1 to 1."""
    return _correlation("pearsonr", answered)


def spearman(answered: Answered) -> float:
    """Spearman's correlation of ranks, from -1 to 1."""
    return _correlation("spearmanr", answered)


def mean_squared_error(answered: Answered) -> float:
    """Mean of the squared differences, on the task's own scale."""
    return float(np.mean((_floats(answered.wanted) - _floats(answered.found)) ** 2))


def tag_accuracy(answered: Answered) -> float:
    """Share of words with the right tag."""
    pairs = [pair for tags in zip(answered.wanted, answered.found, strict=True) for pair in zip(*tags, strict=True)]
    return sum(wanted == found for wanted, found in pairs) / len(pairs) if pairs else 0.0


def entity_score(name: str) -> Callable[[Answered], float]:
    """Return one of seqeval's scores of spans: ``f1_score``, ``precision_score`` or ``recall_score``."""

    def compute(answered: Answered) -> float:
        measures = _library("seqeval.metrics")
        wanted, found = ([list(tags) for tags in both] for both in (answered.wanted, answered.found))
        with _silence():
            return float(getattr(measures, name)(wanted, found, zero_division=0))

    return compute


def squad_1_scores(answered: Answered) -> Mapping[str, float]:
    """Official scores of SQuAD 1.1, in percent."""
    scores = squad_scores(_by_number(answered.wanted), _by_number(answered.found))
    return {"exact_match": scores.exact, "answer_f1": scores.f1}


def squad_2_scores(answered: Answered) -> Mapping[str, float]:
    """Official scores of SQuAD 2.0, in percent, of the groups too, and those at the best thresholds."""
    references, answers = _by_number(answered.wanted), _by_number(answered.found)
    groups = squad_v2_scores(references, answers)
    result = {"squad_v2_exact": groups["all"].exact, "squad_v2_f1": groups["all"].f1}
    for group in ("HasAns", "NoAns"):
        if group in groups:
            result |= {f"{group}_exact": groups[group].exact, f"{group}_f1": groups[group].f1}
    if answered.null_odds is not None:
        odds = _by_number([odds for odds, _ in answered.null_odds])
        best = best_thresholds(references, _by_number([text for _, text in answered.null_odds]), odds)
        result |= {"best_exact": best.exact, "best_exact_thresh": best.exact_threshold}
        result |= {"best_f1": best.f1, "best_f1_thresh": best.f1_threshold}
    return result


def _by_number(values: Sequence[Any]) -> dict[str, Any]:
    """Names of questions need not be different in data sets put together."""
    return {str(number): value for number, value in enumerate(values, 1)}


def _sklearn(name: str, answered: Answered, **options: Any) -> float:
    with _silence():
        return float(getattr(_library("sklearn.metrics"), name)(answered.wanted, answered.found, **options))


def _correlation(name: str, answered: Answered) -> float:
    wanted, found = _floats(answered.wanted), _floats(answered.found)
    if len(wanted) < 2 or not np.isfinite(found).all():
        return 0.0
    with _silence():
        value = float(getattr(_library("scipy.stats"), name)(wanted, found).statistic)
    return 0.0 if np.isnan(value) else value


def _floats(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _library(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        name = {"sklearn": "scikit-learn"}.get(module.partition(".")[0], module.partition(".")[0])
        raise ValueError(f"this metric needs the package {name}: pip install 'electra-dual[train]'") from None
