"""Cells of each record of a text with columns: CSV with its quotation marks, or plain columns between tabs.

Python's own reader of CSV is not used here because it has one limit of a field's length for the whole process, and
because it goes on in silence where a quotation mark is out of place, which merges columns or even rows.
Not for what columns are called (:mod:`electra_common.tasks.readers.tables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from electra_common.text_files import MOST_LINE_BYTES, read_lines

_Lines = Iterator[tuple[int, str]]
_QUOTE = '"'


def read_records(path: str | Path, delimiter: str, *, quoting: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield for each record the line where it starts, from 1, and its cells.

    Args:
        path: the file, plain or compressed.
        delimiter: stands between cells.
        quoting: whether a cell may stand between quotation marks; it may then hold delimiters and ends of lines, and
            a quotation mark is written twice.

    Raises:
        ValueError: the file cannot be read, a quotation mark is out of place, or an empty line stands between records.
    """
    lines = enumerate(read_lines(path), 1)
    empty = 0
    for number, line in lines:
        if not line:
            empty = empty or number
            continue
        if empty:
            raise ValueError(f"{path}, line {empty}: an empty line between rows; only the end may have empty lines")
        if quoting and _QUOTE in line:
            yield number, _quoted_cells(line, lines, delimiter, f"{path}, line {number}")
        else:
            yield number, line.split(delimiter)


def _quoted_cells(line: str, lines: _Lines, delimiter: str, place: str) -> list[str]:
    cells: list[str] = []
    start = 0
    while True:
        if line.startswith(_QUOTE, start):
            cell, line, end = _quoted_cell(line, start + 1, lines, delimiter, f"{place}, column {len(cells)}")
        else:
            end = line.find(delimiter, start)
            end = len(line) if end < 0 else end
            cell = line[start:end]
        cells.append(cell)
        if end == len(line):
            return cells
        start = end + len(delimiter)


def _quoted_cell(line: str, start: int, lines: _Lines, delimiter: str, place: str) -> tuple[str, str, int]:
    """Return a cell, the line where it ends, and the place of that line behind its closing quotation mark."""
    parts: list[str] = []
    length = 0
    while True:
        end = line.find(_QUOTE, start)
        if end < 0:
            parts += (line[start:], "\n")
            length += len(line) - start + 1
            following = next(lines, None)
            if following is None or length > MOST_LINE_BYTES:
                raise ValueError(f"{place}: a quotation mark opens the field and none closes it{_HINT}")
            line, start = following[1], 0
        elif line.startswith(_QUOTE, end + 1):
            parts.append(line[start : end + 1])
            start = end + 2
        else:
            parts.append(line[start:end])
            _check_behind(line, end + 1, delimiter, place)
            return "".join(parts), line, end + 1


def _check_behind(line: str, end: int, delimiter: str, place: str) -> None:
    if end < len(line) and not line.startswith(delimiter, end):
        name = {",": "a comma", "\t": "a tab"}.get(delimiter, repr(delimiter))
        raise ValueError(f"{place}: expected {name} behind the closing quotation mark, found {line[end]!r}{_HINT}")


_HINT = "; where quotation marks are plain text, as in GLUE's files, add --no-quoting (in Python quoting=False)"
