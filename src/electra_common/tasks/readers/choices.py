"""A text and several continuations of a table, one of which is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from electra_common.tasks.examples import Choice
from electra_common.tasks.readers.tables import TableRow, read_rows
from electra_common.tasks.readers.values import as_filled_text, as_list, as_name, field_of, kind_of
from electra_common.tasks.task import Task


def read_choices(task: Task, path: str | Path) -> Iterator[Choice]:
    """Yield the examples of a table for multiple choice.

    The right choice is told by its name where the choices have names, else by its text or its number from 0.

    Args:
        task: its ``choices`` are one column that holds a list of texts, or of objects with ``text`` and maybe
            ``label``, the name; or a column for each choice.
        path: the table.

    Raises:
        ValueError: as :func:`read_rows`; or a text is missing, there are less than two choices, or the right one is
            not among them or not to be told.
    """
    for row in read_rows(task, path):
        yield choice_example(task, row)


def choice_example(task: Task, row: TableRow) -> Choice:
    """Return the example of a row; raises ValueError as :func:`read_choices`."""
    names, texts = _choices(task, row)
    if len(texts) < 2:
        raise ValueError(f"{row.place}: expected two choices or more, found {len(texts)}")
    label = None
    if task.label is not None:
        label = _right_one(row.value(task.label), names, texts, row.place_of(task.label))
    return Choice(row.id(task), row.filled_text(task.text), texts, label, row.place)


def _choices(task: Task, row: TableRow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the choices, empty where they have none, and their texts."""
    if len(task.choices) > 1:
        return (), tuple(row.filled_text(column) for column in task.choices)
    place = row.place_of(task.choices[0])
    items = as_list(row.value(task.choices[0]), place, "choices")
    texts = []
    names = []
    for item in items:
        if isinstance(item, Mapping):
            texts.append(as_filled_text(field_of(item, "text", place), place))
            names += [as_name(item["label"], place)] if "label" in item else []
        else:
            texts.append(as_filled_text(item, place))
    if names and len(set(names)) != len(items):
        raise ValueError(f"{place}: expected a name of its own for each choice, or for none; found {', '.join(names)}")
    return tuple(names), tuple(texts)


def _right_one(value: object, names: Sequence[str], texts: Sequence[str], place: str) -> int:
    """Return the number of the right choice."""
    label = as_name(value, place)
    if names:
        if label in names:
            return names.index(label)
        raise ValueError(f"{place}: expected the name of a choice, {', '.join(names)}; found {kind_of(value)}")
    is_text = isinstance(value, str)
    numbers = {number for number, text in enumerate(texts) if is_text and text.strip() == label}
    numbers |= {number for number in range(len(texts)) if str(number) == label}
    if len(numbers) == 1:
        return numbers.pop()
    if numbers:
        raise ValueError(f"{place}: {label!r} may mean the choices {' and '.join(map(str, sorted(numbers)))}")
    known = f"a number from 0 to {len(texts) - 1}, or the text of a choice"
    raise ValueError(f"{place}: expected {known}; found {kind_of(value)}")
