"""What a fine-tuning run computes: optimizer, schedule, lengths, decoding; the published settings as data.

What it is for: every number that decides what comes out, checked when it is made. Those of the paper stand in
``settings.toml`` by the size of the network; a task may have values of its own, and ``--set`` has the last word.
What it is not: how a run is carried out (:mod:`electra_common.tasks.job`): files, seeds, precision, folders.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Self

from electra_common.config import HEADS
from electra_common.fields import check_fields, parse_assignment
from electra_common.runs.schedule import GOOGLE, SCHEDULES
from electra_common.tasks.decoding.answers import (
    GOOGLE_NULL_THRESHOLD,
    MAX_ANSWER_LENGTH,
    N_BEST,
    NULL_THRESHOLD,
)
from electra_common.tasks.features.make import DOC_STRIDE, MAX_QUERY_LENGTH
from electra_common.tasks.layer_decay import STYLES
from electra_common.tasks.task import Task

_BUILT_IN: Final = "settings.toml"
CLASS_WEIGHTS: Final = ("none", "balanced")
# Settings of question answering alone: refused for other tasks, which would accept and ignore them.
_OF_ANSWERS: Final = ("doc_stride", "max_query_length", "n_best", "max_answer_length", "null_threshold")
# What numbers may be.
_RANGES: Final[dict[str, tuple[Callable[[float], bool], tuple[str, ...]]]] = {
    "above 0 and finite": (
        lambda value: 0 < value < math.inf,
        ("learning_rate", "layer_decay", "epochs", "batch_size", "adam_epsilon", "clip_norm", "doc_stride",
         "max_query_length", "n_best", "max_answer_length"),
    ),
    "at least 0 and finite": (
        lambda value: 0 <= value < math.inf,
        ("decay_power", "weight_decay", "early_stopping"),
    ),
    "from 0 to below 1": (lambda value: 0 <= value < 1, ("adam_beta_1", "adam_beta_2")),
    "0 … 1": (lambda value: 0 <= value <= 1, ("warmup_fraction",)),
    "0 … 0.99": (lambda value: 0 <= value <= 0.99, ("dropout",)),
    "8 … 1048576": (lambda value: 8 <= value <= 1 << 20, ("max_length",)),
    "finite": (lambda value: -math.inf < value < math.inf, ("null_threshold",)),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FineTuningSettings:
    """One way to fine-tune. Lengths are tokens, batches rows (a text, a window over one, or all choices of one).

    Attributes:
        learning_rate: the peak; of the head and, times the layer decay, of what lies below it.
        layer_decay: what the learning rate is multiplied by from each layer to the one below.
        layer_decay_style: ``paper``, or ``google`` for what its code does (:mod:`electra_common.tasks.layer_decay`).
        epochs: passes over the rows; a fraction is one.
        batch_size: rows of an update.
        warmup_fraction: of all updates.
        schedule: of the learning rate: ``google`` for decay and warm-up at once, ``transformers`` for one after the
            other (:mod:`electra_common.runs.schedule`).
        decay_power: of the polynomial that the learning rate goes down by.
        weight_decay: of all but LayerNorm and biases.
        dropout: of hidden states and attention; the head's too.
        adam_beta_1: of the mean of gradients.
        adam_beta_2: of the mean of their squares.
        adam_epsilon: added to the root of the latter.
        adam_bias_correction: divide both means by ``1 - beta**update``, as Adam does and ELECTRA's code does not.
        clip_norm: the most that the norm of all gradients may be; 1e9 is beyond all, and clips nothing.
        max_length: most tokens of a row.
        doc_stride: of answers: how many tokens the next window over a long context begins later.
        max_query_length: most tokens of a question.
        head: ``transformers`` for its heads, ``google`` for those of the original code.
        class_weights: ``none``, or ``balanced``: a label counts as much as all of its class is rare.
        group_by_length: rows of like length in a batch, which leaves less padding to be computed.
        early_stopping: end after so many evaluations without a better one; 0 for never.
        n_best: of answers: how many starts and ends are looked at.
        max_answer_length: of answers: most tokens.
        null_threshold: of answers: a question has none where that is so much more likely. (In ``google``'s head this is
            the logit of answerability above which there is none; -2.75 in its code.)

    Raises:
        ValueError: a number is out of range.
    """

    learning_rate: float = 1e-4
    layer_decay: float = 0.8
    layer_decay_style: str = "paper"
    epochs: float = 3.0
    batch_size: int = 32
    warmup_fraction: float = 0.1
    schedule: str = GOOGLE
    decay_power: float = 1.0
    weight_decay: float = 0.0
    dropout: float = 0.1
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_epsilon: float = 1e-6
    adam_bias_correction: bool = False
    clip_norm: float = 1.0
    max_length: int = 128
    doc_stride: int = DOC_STRIDE
    max_query_length: int = MAX_QUERY_LENGTH
    head: str = "transformers"
    class_weights: str = "none"
    group_by_length: bool = True
    early_stopping: int = 0
    n_best: int = N_BEST
    max_answer_length: int = MAX_ANSWER_LENGTH
    null_threshold: float = NULL_THRESHOLD

    def __post_init__(self) -> None:
        for words, (holds, names) in _RANGES.items():
            for name in names:
                if not holds(value := getattr(self, name)):
                    raise ValueError(f"settings: {name} must be {words}, found {value}")
        choices = {"layer_decay_style": STYLES, "schedule": SCHEDULES, "head": HEADS, "class_weights": CLASS_WEIGHTS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"settings: {name} must be one of {', '.join(known)}; found {getattr(self, name)!r}")

    def with_changes(self, assignments: Sequence[str]) -> Self:
        """Return a copy with fields changed by ``name=value``, the value written as in TOML.

        Raises:
            ValueError: no such field, or a value of another type or out of range.
        """
        changes = dict(parse_assignment(text) for text in assignments)
        check_fields(FineTuningSettings, changes, "--set", "a fine-tuning run")
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return every field by name, as plain JSON values."""
        return dataclasses.asdict(self)


def settings_for(task: Task, hidden_size: int, assignments: Sequence[str] = ()) -> FineTuningSettings:
    """Return how a network is fine-tuned for a task: of its size, then of the task, then as asked for.

    Args:
        task: its ``max_length`` and ``settings`` go before those of the size.
        hidden_size: of the network, which tells its size.
        assignments: ``name=value`` each.

    Raises:
        ValueError: no such field, a value that does not fit, or one that the task does not look at.
    """
    values = {**_of_size(hidden_size), "max_length": task.max_length, **task.settings}
    check_fields(FineTuningSettings, values, f"task {task.name}", "a fine-tuning run")
    settings = FineTuningSettings(**values).with_changes(assignments)
    asked = dict(map(parse_assignment, assignments))
    _check_use(task, asked)
    if settings.head == "google" and "null_threshold" not in asked:
        return dataclasses.replace(settings, null_threshold=GOOGLE_NULL_THRESHOLD)
    return settings


def _check_use(task: Task, asked: Mapping[str, Any]) -> None:
    """Refuse what a task of this kind would take and not look at."""
    if task.kind != "answers" and (unused := [name for name in _OF_ANSWERS if name in asked]):
        raise ValueError(f"--set: {', '.join(unused)} of answers alone; task {task.name} is {task.kind}: leave it out")
    if not task.has_impossible and "null_threshold" in asked:
        raise ValueError(f"--set: null_threshold is for tasks whose questions may have no answer, not for {task.name}")
    if task.kind not in ("classification", "tagging") and asked.get("class_weights", "none") != "none":
        raise ValueError(f"--set: class_weights are of classes and tags; task {task.name} is {task.kind}")
    if task.kind == "tagging" and asked.get("head") == "google":
        raise ValueError("--set: head=google: for tags Google's head is transformers': leave it out")


def size_name(hidden_size: int) -> str:
    """Return the name of a network's size: that of the widest one which is not wider."""
    sizes = _sizes()
    return max((name for name in sizes if sizes[name]["at_least"] <= hidden_size), key=lambda n: sizes[n]["at_least"])


def _of_size(hidden_size: int) -> dict[str, Any]:
    values: Mapping[str, Any] = _sizes()[size_name(hidden_size)]
    return {name: value for name, value in values.items() if name != "at_least"}


def _sizes() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("electra_common.tasks") / _BUILT_IN).read_text(encoding="utf-8"))
