"""The examples of a run, read and turned into rows: what is trained on, and what is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from electra_common.tasks.examples import Example
from electra_common.tasks.features.make import Features, known_answer, make_rows
from electra_common.tasks.metrics import check_labels, constant_score
from electra_common.tasks.readers.labels import label_names
from electra_common.tasks.readers.read import read_examples
from electra_common.tasks.settings import FineTuningSettings
from electra_common.tasks.task import Task
from electra_common.tasks.task_file import TaskFile
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast


@dataclass(frozen=True)
class TaskData:
    """The examples of a run.

    Attributes:
        task_file: the task with its labels, and how rows are made: what the model's folder will say of itself.
        train: rows with labels.
        measured: rows without labels of ``dev`` and ``test``, where there are such examples.
        constant_score: what the best constant answer reaches on :attr:`main_split`; None where no answers are known.
    """

    task_file: TaskFile
    train: Features
    measured: Mapping[str, Features]
    constant_score: float | None

    @property
    def main_split(self) -> str | None:
        """The split that tells how good a model is: ``dev``, ``test`` where there is none, or None without both."""
        return next((split for split in ("dev", "test") if split in self.measured), None)


def read_task_data(
    task: Task, files: Mapping[str, Path], tokenizer: ElectraTokenizerFast, settings: FineTuningSettings
) -> TaskData:
    """Read the files of a run and make rows of their examples.

    Raises:
        ValueError: a file cannot be read, holds no example, or an example is of no use; names file and line.
    """
    examples = {split: read_all(task, path, split) for split, path in files.items()}
    train = examples.pop("train")
    labels = label_names(task, train)
    for found in (train, *examples.values()):  # of all that will be measured: to find out afterwards costs a seed
        check_labels(task, found, labels)
    task_file = make_task_file(task, labels, settings)
    told = next((examples[split] for split in ("dev", "test") if split in examples), None)
    head = settings.head
    return TaskData(
        task_file=task_file,
        train=make_features(task_file, train, tokenizer, head=head, is_training=True),
        measured={
            split: make_features(task_file, found, tokenizer, head=head, is_training=False)
            for split, found in examples.items()
        },
        constant_score=None if told is None else _constant_score(task, train, told, task_file.labels),
    )


def _constant_score(
    task: Task, train: Sequence[Example], told: Sequence[Example], labels: tuple[str, ...]
) -> float | None:
    are_known = all(known_answer(example) is not None for example in told)
    return constant_score(task, train, told, labels) if are_known else None


def read_all(task: Task, path: Path, split: str) -> list[Example]:
    """Return the examples of a file; raises ValueError where it holds none."""
    found = list(read_examples(task, path, split=split))
    if not found:
        raise ValueError(f"{path}: expected at least one example, found none: give a file with examples")
    return found


def make_task_file(task: Task, labels: tuple[str, ...], settings: FineTuningSettings) -> TaskFile:
    """Return what a model's folder says of its task, with the settings that decide how rows are made and read.

    Args:
        task: the task.
        labels: names of its classes or tags in the order of their numbers.
        settings: of the run.
    """
    of_answers = ("doc_stride", "max_query_length", "max_answer_length", "n_best", "null_threshold")
    values = {name: getattr(settings, name) for name in of_answers} if task.kind == "answers" else {}
    return TaskFile(task=task, labels=labels, max_length=settings.max_length, **values)


def make_features(
    task_file: TaskFile, examples: Sequence[Example], tokenizer: Any, *, head: str, is_training: bool
) -> Features:
    """Return the rows of some examples; only rows for training have labels.

    Args:
        task_file: the task, its labels, and how rows are made.
        examples: of the task.
        tokenizer: the model's.
        head: of the model's config.
        is_training: whether the rows are to learn from.
    """
    lengths = {name: getattr(task_file, name) for name in ("doc_stride", "max_query_length")}
    return make_rows(
        task_file.task,
        examples,
        tokenizer,
        task_file.labels,
        max_length=task_file.max_length,
        is_training=is_training,
        with_labels=is_training,
        head=head,
        **{name: value for name, value in lengths.items() if value is not None},
    )
