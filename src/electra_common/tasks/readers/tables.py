"""Rows of a table, one after the other, each with its place: CSV, TSV, JSON lines, parquet, by the file's ending.

What it is for: columns by name or number, and one clear line where a file does not have them.
What it is not: what columns mean (``texts.py``, ``words.py``, ``questions.py``, ``choices.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from electra_common.tasks.readers.parquet import read_parquet
from electra_common.tasks.readers.records import read_records
from electra_common.tasks.readers.values import as_filled_text, as_name, as_text, kind_of
from electra_common.tasks.task import Column, Task
from electra_common.text_files import COMPRESSED, read_lines

_DELIMITERS: Final = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_JSON_LINES: Final = (".jsonl", ".ndjson", ".json")
_PARQUET: Final = ".parquet"
_ENDINGS: Final = (*_DELIMITERS, *_JSON_LINES, _PARQUET)


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        number: of the row in its file, from 0.
        place: file and line, of parquet file and row, from 1.
        cells: values by the number of their column.
        names: columns by name; empty where they have none.
        header: the first line of a file of text, in which a name may stand twice; empty where there is none.
    """

    number: int
    place: str
    cells: Sequence[Any]
    names: Mapping[str, int]
    header: Sequence[str] = ()

    def value(self, column: Column) -> Any:
        """Return what stands in a column; raises ValueError where the row has no such column."""
        if isinstance(column, int):
            if -len(self.cells) <= column < len(self.cells):
                return self.cells[column]
            raise ValueError(f"{self.place}: expected a column {_numbered(column)}, found {_columns(len(self.cells))}")
        if column in self.names:
            return self.cells[self.names[column]]
        return self._inside(column)

    def _inside(self, path: str) -> Any:
        """Return what stands at the end of a path such as ``question.stem``."""
        value: Any = {name: self.cells[number] for name, number in self.names.items()}
        for step in path.split("."):
            if not isinstance(value, Mapping):
                raise ValueError(f"{self.place}, column {path!r}: expected an object above {step!r}, {_found(value)}")
            if step not in value:
                raise ValueError(f"{self.place}: {_no_column(path, step, list(value))}")
            value = value[step]
        return value

    def place_of(self, column: Column) -> str:
        """Return the place of a cell."""
        return f"{self.place}, column {column if isinstance(column, int) else repr(column)}"

    def text(self, column: Column) -> str:
        """Return the text of a column; raises ValueError where there is something else."""
        return as_text(self.value(column), self.place_of(column))

    def filled_text(self, column: Column) -> str:
        """Return the text of a column; raises ValueError where there is something else, or nothing but blanks."""
        return as_filled_text(self.value(column), self.place_of(column))

    def name(self, column: Column) -> str:
        """Return the name, a text or a whole number, of a column; raises ValueError where there is something else."""
        return as_name(self.value(column), self.place_of(column))

    def id(self, task: Task) -> str:
        """Return the row's name in the task's column of names, or its number."""
        return str(self.number) if task.id is None else self.name(task.id)


def read_rows(task: Task, path: str | Path) -> Iterator[TableRow]:
    """Yield the rows of a table, in little memory however long it is.

    Args:
        task: says which columns will be asked for, and how the file is written (``header``, ``quoting``).
        path: a ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.jsonl``, ``.ndjson`` or ``.json`` (an object a line) file, also
            with ``.gz``, ``.xz`` or ``.zst`` behind; or a ``.parquet`` file.

    Raises:
        ValueError: the ending is unknown; the file cannot be read or is empty; a column is not there; a row has not as
            many columns as the header.
    """
    ending = table_ending(path)
    if ending in _DELIMITERS:
        rows = _text_rows(task, path, _DELIMITERS[ending])
    elif ending == _PARQUET:
        rows = _parquet_rows(path)
    else:
        rows = _json_rows(task, path)
    number = -1
    for number, (place, cells, names, header) in enumerate(rows):
        yield TableRow(number, place, cells, names, header)
    if number < 0:
        raise ValueError(f"{path}: expected rows, found none")


def table_ending(path: str | Path) -> str:
    """Return the ending of a table's file, without that of its compression; raises ValueError for an unknown one."""
    if (ending := _ending(path)) in _ENDINGS:
        return ending
    raise ValueError(f"{path}: expected a table, a file whose name ends in one of {', '.join(_ENDINGS)}")


def check_quoting(path: str | Path) -> None:
    """Raise ValueError for a file, by its name, that is no table of text: whose quotation marks mean nothing else."""
    if _ending(path) not in _DELIMITERS:
        raise ValueError(f"{path}: --no-quoting is looked at in .csv and .tsv files alone; leave it out")


def asked_columns(task: Task) -> tuple[Column, ...]:
    """Return the columns that a task reads."""
    columns = (task.text, task.pair, task.label, *task.choices, task.id)
    return tuple(column for column in columns if column is not None)


def without_label(task: Task) -> Task:
    """Return a task that reads the same tables, with or without the column of the label, and no label."""
    # Whether the first line is a header must not depend on whether the label, maybe the only name, is asked for.
    return task.with_changes(label=None, header=_has_header(task))


def with_columns_named_anew(task: Task, trained: Task, path: str | Path) -> Task:
    """Return a task for a table without labels that was asked about with columns of its own, maybe all by number.

    No name is then asked for that could tell whether there is a header. The first line is one if a name that a column
    had in training stands in it, be it the text's or the label's, and else a row like the others.

    Args:
        task: with the columns of the table.
        trained: with the columns of the files that it was learned from.
        path: the table.
    """
    if task.header is not None or _names(task.with_changes(label=None)) or _ending(path) not in _DELIMITERS:
        return task
    _, first = next(read_records(path, _DELIMITERS[_ending(path)], quoting=task.quoting), (0, []))
    return task.with_changes(header=any(name in first for name in _names(trained)))


_Row = tuple[str, Sequence[Any], Mapping[str, int], Sequence[str]]


def _text_rows(task: Task, path: str | Path, delimiter: str) -> Iterator[_Row]:
    asked = _names(task)
    if task.header is False and asked:
        raise ValueError(f"{path}: without a header columns have numbers from 0, found the name {asked[0]!r}")
    has_header = _has_header(task)
    header: list[str] | None = None
    names: dict[str, int] = {}
    for line, cells in read_records(path, delimiter, quoting=task.quoting):
        place = f"{path}, line {line}"
        if has_header and header is None:
            header = cells
            _check_header(header, asked, place)
            names = {name: number for number, name in enumerate(header)}
            continue
        if header is not None and len(cells) != len(header):
            raise ValueError(f"{place}: expected {_columns(len(header))} as in the header, found {len(cells)}")
        yield place, cells, names, header or ()


def _has_header(task: Task) -> bool:
    return bool(_names(task)) if task.header is None else task.header


def _names(task: Task) -> list[str]:
    """Return the columns that a task reads by name."""
    return [column for column in asked_columns(task) if isinstance(column, str)]


def _check_header(header: Sequence[str], asked: Sequence[str], place: str) -> None:
    for name in asked:
        if name not in header:
            raise ValueError(f"{place}: {_no_column(name, name, header)}")
        if header.count(name) > 1:
            raise ValueError(f"{place}: {header.count(name)} columns are called {name!r}; ask for one by its number")


def _json_rows(task: Task, path: str | Path) -> Iterator[_Row]:
    if numbers := [column for column in asked_columns(task) if isinstance(column, int)]:
        raise ValueError(f"{path}: columns of JSON lines have names, found the number {numbers[0]}")
    for place, value in read_json_lines(path):
        yield place, list(value.values()), {name: number for number, name in enumerate(value)}, ()


def read_json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the object of each line that is not empty.

    Raises:
        ValueError: the file cannot be read, or a line is no JSON object.
    """
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            hint = f", character {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
            raise ValueError(f"{place}{hint or ': cannot be read'}; expected one JSON object a line") from None
        if not isinstance(value, dict):
            raise ValueError(f"{place}: expected one JSON object a line, found {kind_of(value)}")
        yield place, value


def _parquet_rows(path: str | Path) -> Iterator[_Row]:
    for number, value in enumerate(read_parquet(path), 1):
        yield f"{path}, row {number}", list(value.values()), {name: place for place, name in enumerate(value)}, ()


def _ending(path: str | Path) -> str:
    name = Path(path).name.lower()
    for packed in COMPRESSED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def _numbered(column: int) -> str:
    return f"{column} (counted from {'the end' if column < 0 else '0'})"


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"


def _found(value: object) -> str:
    return f"found {kind_of(value)}"


def _no_column(path: str, step: str, there: Sequence[str]) -> str:
    guesses = get_close_matches(step, there, n=1, cutoff=0.7)
    hint = f"; did you mean {guesses[0]!r}?" if guesses else ""
    names = f"there is no column {path!r}; there are {', '.join(map(repr, there))}{hint}"
    return f"{names} (columns of your own are named by --text, --label and others)"
