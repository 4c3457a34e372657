"""Words with tags: CoNLL's one word a line, CoNLL-U, or lists of words in a table.

Whether tags mark spans, and whether they do so correctly, is not asked here: real data breaks the rules of BIO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from electra_common.tasks.examples import TaggedSentence
from electra_common.tasks.readers.tables import TableRow, read_rows
from electra_common.tasks.readers.values import as_filled_text, as_list, as_name
from electra_common.tasks.task import Column, Task
from electra_common.text_files import COMPRESSED, read_lines

CONLL_U_COLUMNS: Final = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_BLANKS: Final = " \t"  # no other space: a word may be one
_DOCUMENT: Final = "-DOCSTART-"
_RUN_OF_BLANKS: Final = re.compile(" +")
_WORD_ID: Final = re.compile("[0-9]+")
_OTHER_ID: Final = re.compile("[0-9]+[-.][0-9]+")  # "1-2", a range whose words follow; "1.1", a node without a word

_Cells = tuple[str, list[str]]  # place, and columns of a line


def read_words(task: Task, path: str | Path) -> Iterator[TaggedSentence]:
    """Yield the sentences of a file with one word a line and an empty line behind each sentence.

    Args:
        task: its ``text`` and ``label`` are the columns of the word and of its tag: numbers, in CoNLL-U also names.
        path: a file whose name ends in ``.conllu`` (before that of a compression) is CoNLL-U: lines that begin with
            ``#`` are remarks, and ranges and empty nodes are left out. In every other file columns stand between tabs,
            or in lines without one between runs of spaces, and lines with ``-DOCSTART-`` are left out.

    Raises:
        ValueError: the file cannot be read or has no sentence, or a line has not the columns that are asked for.
    """
    is_conll_u = _is_conll_u(path)
    word, tag = _number(task.text, path, is_conll_u), None
    if task.label is not None:
        tag = _number(task.label, path, is_conll_u)
    number = -1
    for number, lines in enumerate(_sentences(path, is_conll_u)):
        words, tags = [], []
        for place, cells in lines:
            words.append(_cell(cells, word, place))
            if tag is not None:
                tags.append(_cell(cells, tag, place))
                _check_apart(cells, word, tag, place)
        yield TaggedSentence(str(number), tuple(words), None if tag is None else tuple(tags), lines[0][0])
    if number < 0:
        raise ValueError(f"{path}: expected sentences, one word a line, found none")


def read_word_lists(task: Task, path: str | Path) -> Iterator[TaggedSentence]:
    """Yield the sentences of a table whose columns hold lists: of words, and of as many tags.

    Args:
        task: its ``text`` and ``label`` are the columns of the words and of their tags.
        path: JSON lines or parquet.

    Raises:
        ValueError: as :func:`read_rows`; or a cell is no list of texts, or words and tags differ in number.
    """
    for row in read_rows(task, path):
        yield word_list_example(task, row)


def word_list_example(task: Task, row: TableRow) -> TaggedSentence:
    """Return the sentence of a row; raises ValueError as :func:`read_word_lists`."""
    place = row.place_of(task.text)
    words = tuple(as_filled_text(word, place) for word in as_list(row.value(task.text), place, "words"))
    if not words:
        raise ValueError(f"{place}: the sentence has no word; take the line out")
    return TaggedSentence(row.id(task), words, _tags(task, row, len(words)), row.place)


def _tags(task: Task, row: TableRow, words: int) -> tuple[str, ...] | None:
    if task.label is None:
        return None
    place = row.place_of(task.label)
    tags = tuple(as_name(tag, place) for tag in as_list(row.value(task.label), place, "tags"))
    if len(tags) != words:
        raise ValueError(f"{place}: expected a tag for each of {words} words, found {len(tags)}")
    return tags


def _is_conll_u(path: str | Path) -> bool:
    name = Path(path).name.lower()
    return any(name.endswith(f".conllu{packed}") for packed in ("", *COMPRESSED))


def _number(column: Column, path: str | Path, is_conll_u: bool) -> int:
    """Return the number of a column."""
    if isinstance(column, int):
        return column
    if not is_conll_u:
        raise ValueError(f"{path}: columns have names in .conllu files alone; expected a number, found {column!r}")
    if column not in CONLL_U_COLUMNS:
        raise ValueError(f"{path}: CoNLL-U has no column {column!r}; it has {', '.join(CONLL_U_COLUMNS)}")
    return CONLL_U_COLUMNS.index(column)


def _sentences(path: str | Path, is_conll_u: bool) -> Iterator[list[_Cells]]:
    sentence: list[_Cells] = []
    for number, line in enumerate(chain(read_lines(path), [""]), 1):
        place = f"{path}, line {number}"
        if not line.strip(_BLANKS) or (not is_conll_u and line.startswith(_DOCUMENT)):
            if sentence:
                yield sentence
            sentence = []
        elif not is_conll_u:
            sentence.append((place, _columns(line)))
        elif not line.startswith("#") and (cells := _conll_u_columns(line, place)):
            sentence.append((place, cells))


def _columns(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip(_BLANKS) for cell in line.split("\t")]
    return _RUN_OF_BLANKS.split(line.strip(_BLANKS))


def _conll_u_columns(line: str, place: str) -> list[str] | None:
    """Return the columns of a word; None where the line is no word of its own."""
    cells = line.split("\t")
    if len(cells) != len(CONLL_U_COLUMNS):
        raise ValueError(f"{place}: expected {len(CONLL_U_COLUMNS)} columns with tabs between, found {len(cells)}")
    if _OTHER_ID.fullmatch(cells[0]):
        return None
    if not _WORD_ID.fullmatch(cells[0]):
        raise ValueError(f"{place}, column ID: expected a number such as 3, 3-4 or 3.1, found {cells[0]!r}")
    return cells


def _cell(cells: Sequence[str], column: int, place: str) -> str:
    if not -len(cells) <= column < len(cells):
        raise ValueError(f"{place}: expected a column {column} (counted from 0), found {_count(cells)}")
    if not cells[column]:
        raise ValueError(f"{place}, column {column}: expected a word or tag, found nothing")
    return cells[column]


def _check_apart(cells: Sequence[str], word: int, tag: int, place: str) -> None:
    # The last column of a line without a tag is the word itself.
    if word % len(cells) == tag % len(cells):
        raise ValueError(f"{place}: expected a word and a tag in columns {word} and {tag}, found {_count(cells)}")


def _count(cells: Sequence[str]) -> str:
    return f"{len(cells)} column{'' if len(cells) == 1 else 's'}"
