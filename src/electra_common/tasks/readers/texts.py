"""Texts and pairs of texts of a table, with a class or a number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from electra_common.tasks.examples import TextExample
from electra_common.tasks.readers.labels import label_value
from electra_common.tasks.readers.tables import TableRow, read_rows
from electra_common.tasks.task import Task


def read_texts(task: Task, path: str | Path) -> Iterator[TextExample]:
    """Yield the examples of a table for classification or regression.

    The second text of a pair may be empty, the first one may not.

    Args:
        task: of one of these kinds, with the columns of the split that the file is of.
        path: the table.

    Raises:
        ValueError: as :func:`read_rows`; or a text or label is missing or of the wrong type.
    """
    for row in read_rows(task, path):
        yield text_example(task, row)


def text_example(task: Task, row: TableRow) -> TextExample:
    """Return the example of a row; raises ValueError as :func:`read_texts`."""
    return TextExample(
        id=row.id(task),
        text=row.filled_text(task.text),
        text_pair=None if task.pair is None else row.text(task.pair),
        label=_label(task, row),
        place=row.place,
    )


def _label(task: Task, row: TableRow) -> str | float | None:
    if task.label is None:
        return None
    if task.kind == "regression":
        return label_value(row.value(task.label), row.place_of(task.label))
    return row.name(task.label)
