"""The metrics of tasks by name, and how predictions score by them.

Scores are shares from 0 to 1 (correlations from -1), save those of SQuAD, which are in percent as the official programs
give them, and the squared error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from electra_common.tasks import metric_functions as functions
from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.examples import Choice, Example, TaggedSentence, TextExample
from electra_common.tasks.features.make import known_answer
from electra_common.tasks.metric_functions import Answered
from electra_common.tasks.readers.labels import OUTSIDE, label_number, label_value
from electra_common.tasks.task import Task


@dataclass(frozen=True)
class Metric:
    """One measure.

    Attributes:
        kinds: of tasks that it is for.
        compute: gives the number, or several by name, among them this metric's.
        larger_is_better: whether, of two models, the one with the larger number is better.
    """

    kinds: tuple[str, ...]
    compute: Callable[[Answered], float | Mapping[str, float]]
    larger_is_better: bool = True


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "accuracy": Metric(("classification", "choice"), functions.accuracy),
        "f1": Metric(("classification",), functions.binary_f1),
        "macro_f1": Metric(("classification",), functions.macro_f1),
        "matthews": Metric(("classification",), functions.matthews),
        "pearson": Metric(("regression",), functions.pearson),
        "spearman": Metric(("regression",), functions.spearman),
        "mse": Metric(("regression",), functions.mean_squared_error, larger_is_better=False),
        "entity_f1": Metric(("tagging",), functions.entity_score("f1_score")),
        "entity_precision": Metric(("tagging",), functions.entity_score("precision_score")),
        "entity_recall": Metric(("tagging",), functions.entity_score("recall_score")),
        "tag_accuracy": Metric(("tagging",), functions.tag_accuracy),
        "exact_match": Metric(("answers",), functions.squad_1_scores),
        "answer_f1": Metric(("answers",), functions.squad_1_scores),
        "squad_v2_exact": Metric(("answers",), functions.squad_2_scores),
        "squad_v2_f1": Metric(("answers",), functions.squad_2_scores),
    }
)

_OF_SPANS: Final = ("entity_f1", "entity_precision", "entity_recall")
_SPAN_TAG: Final = re.compile(r"O|[BIESLUM](-.+)?", re.DOTALL)


def score(
    task: Task, examples: Sequence[Example], predictions: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, float]:
    """Return the task's metrics, in its order, followed by what else the same measure gives.

    Of SQuAD 2.0 that is ``HasAns_…`` and ``NoAns_…``, and ``best_exact`` and ``best_f1`` with their thresholds.

    Args:
        task: names the metrics.
        examples: with their answers. Where one is not known, as in a test set without labels, nothing is returned.
        predictions: one for each example, in the same order.
        labels: names of the classes.

    Raises:
        ValueError: there is no example, predictions are not theirs, a label is unknown, or a metric is not for this
            kind of task, unknown, or needs a package that is not there.
    """
    if not examples:
        raise ValueError("no example to score: expected some, found none")
    if len(predictions) != len(examples):
        raise ValueError(f"expected a prediction for each of {len(examples)} examples, found {len(predictions)}")
    for example, prediction in zip(examples, predictions, strict=True):
        if example.id != prediction.id:
            raise ValueError(f"{example.place}: expected the prediction of {example.id!r}, found {prediction.id!r}")
    chosen = {name: find_metric(name, task.kind) for name in task.metrics}
    if any(known_answer(example) is None for example in examples):
        return {}
    check_labels(task, examples, labels)
    answered = _answered(task, examples, predictions, labels)
    computed: dict[Any, float | Mapping[str, float]] = {}
    found: dict[str, float] = {}
    beside: dict[str, float] = {}
    for name, metric in chosen.items():
        if metric.compute not in computed:
            computed[metric.compute] = metric.compute(answered)
        value = computed[metric.compute]
        if isinstance(value, Mapping):
            found[name] = value[name]
            beside |= value
        else:
            found[name] = value
    others = {name: value for name, value in beside.items() if name not in METRICS}
    return found | others


def find_metric(name: str, kind: str) -> Metric:
    """Return a metric; raises ValueError, naming those for this kind of task, where it is not one of them."""
    if name in METRICS and kind in METRICS[name].kinds:
        return METRICS[name]
    known = ", ".join(other for other, metric in METRICS.items() if kind in metric.kinds)
    raise ValueError(f"no metric {name!r} for {kind}; known: {known}")


def check_labels(task: Task, examples: Sequence[Example], labels: Sequence[str]) -> None:
    """Refuse labels that could not be scored, or would be scored as what they are not; unknown ones are passed over.

    Args:
        task: names the metrics.
        examples: to be scored.
        labels: names of the classes.

    Raises:
        ValueError: a class is none of the labels, or a metric of spans is to count tags that mark none.
    """
    seen = set(labels) if task.kind == "classification" else {OUTSIDE}
    of_spans = next((name for name in task.metrics if name in _OF_SPANS), None)
    for example in examples:
        if task.kind == "classification" and isinstance(example, TextExample):
            if example.label is not None and str(example.label) not in seen:
                label_number(labels, example.label, example.place)  # tells what is wrong
        elif of_spans is not None and isinstance(example, TaggedSentence):
            for tag in sorted(set(example.tags or ()) - seen):
                _check_span_tag(tag, of_spans, example.place)
                seen.add(tag)


def _check_span_tag(tag: str, metric: str, place: str) -> None:
    # seqeval takes the first letter of any tag for its prefix: CCONJ and SCONJ would be the same span.
    if not _SPAN_TAG.fullmatch(tag):
        raise ValueError(
            f"{place}: {metric} counts spans, whose tags are O or such as B-place and I-place; found {tag!r}. For tags "
            'of words alone take the task pos, or one of your own with scheme "none" and the metric tag_accuracy'
        )


def is_better(name: str, value: float, than: float) -> bool:
    """Return whether a value of a metric is better than another.

    Args:
        name: of the metric.
        value: one value.
        than: the other.
    """
    return value > than if METRICS[name].larger_is_better else value < than


def constant_score(
    task: Task, train_examples: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
) -> float:
    """Return what the task's first metric gives for the best answer that is always the same.

    A model that has learnt nothing does not do better. The answer is, of classes, the one that scores best; of a
    regression the mean of the training data; of spans that there is none; of other tags the most frequent one; of
    answers that there is none. Of choices, whose order means nothing, it is the share that guessing gets right.

    Args:
        task: names the metric.
        train_examples: with their answers.
        examples: those to score, with their answers.
        labels: names of the classes.

    Raises:
        ValueError: there is no example, or one whose answer is not known; or one of the metrics cannot be computed.
    """
    unknown = next((example for example in (*train_examples, *examples) if known_answer(example) is None), None)
    if unknown is not None:
        raise ValueError(f"{unknown.place}: expected an answer to compare with, found none")
    if not train_examples or not examples:
        raise ValueError("expected examples to learn from and to score, found none")
    if task.kind == "choice":
        return float(np.mean([1 / len(example.choices) for example in examples if isinstance(example, Choice)]))
    main = task.metrics[0]
    # All metrics are computed, so that one that cannot be is found out before anything is trained.
    scores = [
        score(task, examples, [_constant(example, answer) for example in examples], labels)[main]
        for answer in _constant_answers(task, train_examples, examples, labels)
    ]
    return max(scores) if find_metric(main, task.kind).larger_is_better else min(scores)


def _constant_answers(
    task: Task, examples: Sequence[Any], scored: Sequence[Any], labels: Sequence[str]
) -> Sequence[str | float]:
    """Return the answers that a model without knowledge may always give, among them the best."""
    if task.kind == "classification":
        # Of a measure that treats classes alike that is the most frequent one; f1, of two, is of the second.
        most = Counter(str(example.label) for example in scored).most_common(1)
        return labels if len(labels) == 2 else [label for label, _ in most]
    if task.kind == "regression":
        return [float(np.mean([label_value(example.label, example.place) for example in examples]))]
    if task.kind == "answers":
        return [""]
    if task.scheme == "BIO" and OUTSIDE in labels:
        return [OUTSIDE]
    counts = Counter(tag for example in examples for tag in example.tags)
    return [counts.most_common(1)[0][0]] if counts else labels[:1]


def _constant(example: Any, answer: str | float) -> Prediction:
    is_tagged = hasattr(example, "words")
    return Prediction(example.id, (str(answer),) * len(example.words) if is_tagged else answer)


def _answered(
    task: Task, examples: Sequence[Any], predictions: Sequence[Prediction], labels: Sequence[str]
) -> Answered:
    """Bring examples and predictions into the form that metrics take."""
    found: list[Any] = [prediction.answer for prediction in predictions]
    if task.kind == "classification":
        numbers = {label: number for number, label in enumerate(labels)}
        return Answered(
            [numbers[str(example.label)] for example in examples], [numbers[label] for label in found], labels
        )
    if task.kind == "regression":
        return Answered([label_value(example.label, example.place) for example in examples], found)
    if task.kind == "tagging":
        return Answered([example.tags for example in examples], found)
    if task.kind == "choice":
        return Answered([example.label for example in examples], found)
    texts = [[answer.text for answer in example.answers] for example in examples]
    odds = [(prediction.details["null_odds"], prediction.details["best_answer"])
            for prediction in predictions if "null_odds" in prediction.details]  # fmt: skip
    return Answered(texts, found, null_odds=odds if len(odds) == len(examples) else None)
