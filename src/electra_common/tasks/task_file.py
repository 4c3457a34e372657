"""``task.json`` of a fine-tuned model's folder: what the model was made for, and how its rows were made.

It lets a folder answer new texts without being told again what it is. Such folders come from anyone, so the file is
read as untrusted: its size is limited, every value is checked, and names of data files in it cannot lead anywhere else.
What it is not: the sizes and labels that a network needs (``config.json``), nor how it was trained (the card).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from electra_common.json_files import LONGEST_REASON, read_json_file
from electra_common.tasks.task import Task, task_from
from electra_common.tasks.task_values import check_task_values, is_plain_file_name
from electra_common.weights.errors import CheckpointError
from electra_common.weights.own_files import is_own_file

TASK_FILE: Final = "task.json"
MOST_TASK_BYTES: Final = 4 << 20  # a thousand labels of forty letters, twice, are a fiftieth of it
_FORMAT: Final = 1
# Far beyond every model, and small enough that nothing overflows.
_MOST_TOKENS: Final = 1 << 20
_MOST_THRESHOLD: Final = 1e9
_NEEDS_LABELS: Final = ("classification", "tagging")
_COUNTS: Final = {"max_length": 1, "doc_stride": 0, "max_query_length": 1, "max_answer_length": 1, "n_best": 1}


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """What a fine-tuned model was made for.

    Attributes:
        task: the task.
        labels: the classes or tags in the order of the model's outputs; none for other kinds.
        max_length: most tokens of a row.
        doc_stride: of answers, how the windows over a long text follow each other, in tokens.
        max_query_length: of answers, most tokens of a question.
        max_answer_length: of answers, most tokens of an answer.
        n_best: of answers, how many candidates are kept.
        null_threshold: of answers, how much better no answer must score to be given; None where each question has one.

    Raises:
        ValueError: a number is out of its range, or labels are missing, stand twice, or have no use.
    """

    task: Task
    labels: tuple[str, ...] = ()
    max_length: int
    doc_stride: int | None = None
    max_query_length: int | None = None
    max_answer_length: int | None = None
    n_best: int | None = None
    null_threshold: float | None = None

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            _check_count(name, getattr(self, name), least, can_be_none=name != "max_length")
        threshold = self.null_threshold
        if threshold is not None and not (_is_number(threshold) and -_MOST_THRESHOLD <= threshold <= _MOST_THRESHOLD):
            raise ValueError(f"null_threshold must be a number or null, found {_shown(threshold)}")
        if twice := [name for name, count in Counter(self.labels).items() if count > 1]:
            raise ValueError(f"labels: {_shown(twice[0])} stands twice")
        if (self.task.kind in _NEEDS_LABELS) != bool(self.labels):
            expected = "at least one" if self.task.kind in _NEEDS_LABELS else "none"
            raise ValueError(f"labels: a task of kind {self.task.kind} has {expected}, found {len(self.labels)}")

    def as_bytes(self) -> bytes:
        """Return the file's content; :func:`electra_common.weights.atomic.write_files` writes it.

        Names of data files that lead out of a data set's folder stay out: they are of use on one machine alone.

        Raises:
            ValueError: the task holds what :func:`read_task_file` would refuse.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"task": self.task.as_dict(), "labels": list(self.labels)}
        values["task"]["files"] = _harmless(values["task"]["files"])
        check_task_values(values["task"])
        content = (json.dumps({"format": _FORMAT, **values}, indent=2, allow_nan=False) + "\n").encode()
        if len(content) > MOST_TASK_BYTES:
            raise ValueError(f"{TASK_FILE} would have {len(content)} bytes; {MOST_TASK_BYTES} are the most it may have")
        return content


def read_task_file(folder: str | Path) -> TaskFile:
    """Return what the model in a folder was made for.

    Args:
        folder: of a fine-tuned model.

    Raises:
        CheckpointError: there is no such file, it is not one that this library writes, or it leads out of the folder.
    """
    file = Path(folder) / TASK_FILE
    if not file.exists():
        raise CheckpointError(f"{file}: not found; expected the folder of a model that was fine-tuned with electra")
    if not is_own_file(file):
        raise CheckpointError(f"{file}: a link that leads out of the folder; put the file itself there")
    values = read_json_file(file, MOST_TASK_BYTES, "task of a model")
    try:
        return _task_file_from(values)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{file}: {str(error)[:LONGEST_REASON]}") from None


def _task_file_from(values: Mapping[str, Any]) -> TaskFile:
    known = [item.name for item in fields(TaskFile)]
    # Of 1 alone: True and 1.0 are equal to it.
    if type(values.get("format")) is not int or values["format"] != _FORMAT:
        raise ValueError(f"format: expected {_FORMAT}, found {_shown(values.get('format'))}; a newer version wrote it?")
    if unknown := [name for name in values if name not in (*known, "format")]:
        raise ValueError(f"unknown entry {_shown(unknown[0])}; known: format, {', '.join(known)}")
    if missing := [name for name in ("task", "labels", "max_length") if name not in values]:
        raise ValueError(f"{', '.join(missing)} must be given")
    task, labels = values["task"], values["labels"]
    if not isinstance(task, dict):
        raise ValueError(f"task: expected an object, found {_shown(task)}")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels: expected a list of texts, found {_shown(labels)}")
    check_task_values(task)
    rest = {name: value for name, value in values.items() if name not in ("format", "task", "labels")}
    return TaskFile(task=task_from(task, "task"), labels=tuple(labels), **rest)


def _harmless(files: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    kept = {split: [name for name in names if is_plain_file_name(name)] for split, names in files.items()}
    return {split: names for split, names in kept.items() if names}


def _check_count(name: str, value: Any, least: int, *, can_be_none: bool) -> None:
    if value is None and can_be_none:
        return
    if type(value) is not int or not least <= value <= _MOST_TOKENS:
        raise ValueError(f"{name} must be a whole number, {least} to {_MOST_TOKENS}, found {_shown(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """Return the beginning of a value, as one line: what stands in a file may be of any length."""
    if isinstance(value, int) and abs(value) > 10**20:
        return "a number of more than 20 digits"
    text = ascii(value[:5] if isinstance(value, Sequence) and not isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
