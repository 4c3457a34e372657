"""A task for fine-tuning as a small object that says what it is: columns, labels, kind, metrics. No code of its own.

What it is for: one place that readers, features, decoding, metrics and the command line look at. The tasks that come
with the library stand in ``tasks.toml``; others are registered from Python or made of columns on the command line.
What it is not: how a network is trained for it (:mod:`electra_common.tasks.settings`).
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Self

# Kind of task -> the class that learns it, without the prefix of a framework.
ARCHITECTURES: Final = MappingProxyType(
    {
        "classification": "ElectraForSequenceClassification",
        "regression": "ElectraForSequenceClassification",
        "tagging": "ElectraForTokenClassification",
        "answers": "ElectraForQuestionAnswering",
        "choice": "ElectraForMultipleChoice",
    }
)
FORMATS: Final = ("table", "words", "squad", "mrqa")
SPLITS: Final = ("train", "dev", "test")
# What files of a format, or examples of a kind, have not got: a change of it would be taken and not looked at.
_HAS_NO: Final[Mapping[str, tuple[str, ...]]] = {
    "words": ("pair", "id", "header", "quoting"),
    **dict.fromkeys(("squad", "mrqa"), ("text", "pair", "label", "id", "header", "quoting")),
    **dict.fromkeys(("tagging", "choice"), ("pair",)),
}

Column = int | str


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    Attributes:
        name: how the command line calls it.
        summary: one line for a list of tasks.
        kind: ``classification``, ``regression``, ``tagging``, ``answers`` or ``choice``.
        metrics: names from :mod:`electra_common.tasks.metrics`; the first one tells which of two models is better.
        format: ``table`` (CSV, TSV, JSON lines, parquet, by the file's ending), ``words`` (one word a line: CoNLL,
            CoNLL-U), ``squad`` (JSON of SQuAD 1.1 or 2.0), ``mrqa`` (its JSON lines).
        text: the column of the text, by name or by number from 0 (below 0: from the end); in JSON lines also a path
            such as ``question.stem``. Of tagging the column of the word, in a table that of the list of words; of
            answers in a table that of the question.
        pair: the column of the second text; of answers in a table that of the context.
        label: the column of the label, of the tag or list of tags, or of the right choice (its number from 0, its text,
            or its name where the choices have names); of answers in a table that of an object with the lists ``text``
            and ``answer_start``.
        choices: of a choice in a table, the columns of the continuations; one column that holds a list (JSON lines,
            parquet) stands alone; its items are texts, or objects with ``text`` and a name in ``label``.
        id: the column of a name for each row; by default its number.
        labels: names of the classes in the order of their numbers; None for those of the training data, sorted.
        label_range: of a regression, the numbers that 0 and 1 stand for while training; None to train on them as
            they are.
        header: whether a table's first line names its columns; None to tell by whether a column is asked for by name.
        quoting: whether quotation marks in a table may enclose a field, as in CSV; in GLUE's files they do not.
        files: for each split (``train``, ``dev``, ``test``) the names of its file, the first that is there is read.
        test_columns: what differs in a test set, by the names of these attributes, such as ``{"text": 1}``; a test set
            without labels has ``{"label": None}``.
        max_length: most tokens of a row; settings may change it.
        has_impossible: of answers, whether a question may have none (SQuAD 2.0).
        scheme: of tagging, ``BIO`` where tags mark spans, ``none`` where each stands for its word alone.
        swaps_pairs: whether training sees each pair in both orders, as in Google's code (``double_unordered``).
        settings: values of the fine-tuning settings that this task asks for, such as ``{"epochs": 10}``.

    Raises:
        ValueError: a value is unknown, or attributes do not go together.
    """

    name: str
    kind: str
    metrics: tuple[str, ...]
    summary: str = ""
    format: str = "table"
    text: Column = "text"
    pair: Column | None = None
    label: Column | None = "label"
    choices: tuple[Column, ...] = ()
    id: Column | None = None
    labels: tuple[str, ...] | None = None
    label_range: tuple[float, float] | None = None
    header: bool | None = None
    quoting: bool = True
    files: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    test_columns: Mapping[str, Column | None] = field(default_factory=_nothing)
    max_length: int = 128
    has_impossible: bool = False
    scheme: str = "BIO"
    swaps_pairs: bool = False
    settings: Mapping[str, Any] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        self._check("kind", tuple(ARCHITECTURES))
        self._check("format", FORMATS)
        self._check("scheme", ("BIO", "none"))
        if not self.metrics:
            raise ValueError(f"task {self.name}: name at least one metric")
        if self.format in ("squad", "mrqa") and self.kind != "answers":
            raise ValueError(f"task {self.name}: the format {self.format} holds answers, not {self.kind}")
        if self.format == "words" and self.kind != "tagging":
            raise ValueError(f"task {self.name}: the format words holds tags, not {self.kind}")
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError(f"task {self.name}: a choice, and nothing else, needs choices: the columns of them")
        if unknown := sorted(set(self.files) - set(SPLITS)):
            raise ValueError(f"task {self.name}: files of {', '.join(unknown)}; known: {', '.join(SPLITS)}")

    def _check(self, name: str, known: Sequence[str]) -> None:
        found = getattr(self, name)
        if found not in known:
            raise ValueError(f"task {self.name}: {name} must be one of {', '.join(known)}; found {found!r}")

    @property
    def architecture(self) -> str:
        """The class that learns it, without the prefix of a framework."""
        return ARCHITECTURES[self.kind]

    def for_split(self, split: str) -> Self:
        """Return the task with the columns of a split; raises ValueError where there is no such split."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; found {split!r}")
        return self.with_changes(**self.test_columns) if split == "test" else self

    def with_changes(self, **changes: Any) -> Self:
        """Return a copy with other values; raises ValueError for an attribute that tasks do not have."""
        known = [item.name for item in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            raise ValueError(f"a task has no {unknown[0]!r}; known: {', '.join(known)}")
        return dataclasses.replace(self, **changes)

    def reading(self, **changes: Any) -> Self:
        """Return a copy that reads other columns; raises ValueError for one that the task's files have not got."""
        changed = self.with_changes(**changes)
        unused = dict.fromkeys((*_HAS_NO.get(changed.format, ()), *_HAS_NO.get(changed.kind, ())))
        if named := [name for name in unused if getattr(self, name) != getattr(changed, name)]:
            raise ValueError(
                f"task {changed.name}: {', '.join(named)}: not looked at in files of the format {changed.format} for "
                f"{changed.kind}: leave it out"
            )
        return changed

    def as_dict(self) -> dict[str, Any]:
        """Return every attribute as plain JSON values; :func:`task_from` takes them."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {name: _plain(value) for name, value in values.items()}


def register_task(task: Task) -> None:
    """Make a task known by its name, to :func:`find_task` and so to every function that takes a name.

    Raises:
        ValueError: another task has that name.
    """
    if task.name in task_names() and find_task(task.name) != task:
        raise ValueError(f"there is another task {task.name!r}; give this one a name of its own")
    _REGISTERED[task.name] = task


def find_task(name: str) -> Task:
    """Return a task by its name; raises ValueError, with names that come near, where there is none."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    built_in = _built_in()
    if name in built_in:
        return task_from({"name": name, **built_in[name]}, f"task {name}")
    guesses = get_close_matches(name, task_names(), n=1)
    hint = f"did you mean {guesses[0]}?" if guesses else f"known: {', '.join(task_names())}"
    raise ValueError(f"no task {name!r}; {hint}")


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks: those of the library, then those registered."""
    return tuple(dict.fromkeys((*_built_in(), *_REGISTERED)))


def task_from(values: Mapping[str, Any], where: str) -> Task:
    """Return a task of plain values, such as a file's; raises ValueError, naming ``where``, on anything unusable.

    TOML has no word for none: there, and so here, an empty name of a column stands for no column.
    """
    known = {item.name: item for item in dataclasses.fields(Task)}
    for name in values:
        if name not in known:
            guesses = get_close_matches(name, known, n=1)
            hint = f"did you mean {guesses[0]}?" if guesses else f"known: {', '.join(known)}"
            raise ValueError(f"{where}: a task has no {name!r}; {hint}")
    frozen = {name: _frozen(_none_for_empty(value) if name in _COLUMNS else value) for name, value in values.items()}
    if missing := [name for name in ("name", "kind", "metrics") if name not in values]:
        raise ValueError(f"{where}: {', '.join(missing)} must be given")
    return Task(**frozen)


_REGISTERED: Final[dict[str, Task]] = {}
_COLUMNS: Final = ("pair", "label", "id", "test_columns")


def _built_in() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("electra_common.tasks") / "tasks.toml").read_text(encoding="utf-8"))


def _none_for_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _none_for_empty(item) for name, item in value.items()}
    return None if value == "" else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
