"""Files of examples to be answered, and the same files with the answers in them: text, tables, words, SQuAD's JSON.

=====================================  ===============================================================================
lines of text (``.txt``)               a text a line, a tab between those of a pair, words with blanks between for tags
                                       -> an answer a line, tags with blanks between
``.csv``, ``.tsv``                     -> the same columns, then ``prediction`` and ``score``
``.jsonl``, ``.parquet``               -> JSON lines, the same fields, then ``prediction`` and ``score``
words (``.conll``, ``.conllu``, …)     -> a word a line, a tab and its tag, an empty line behind each sentence
SQuAD, MRQA (``.json``, ``.jsonl``)    -> one object, answers by the ids of questions, as the official program takes it
=====================================  ===============================================================================

Examples are read as they are asked for and answers written as they come, so files may be of any length. Nothing in an
example needs a label. Names of classes are whatever a model's folder says, so a terminal gets no control characters.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, NamedTuple, Protocol

from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.examples import Example, TaggedSentence, TextExample
from electra_common.tasks.readers.read import example_of_row, read_examples
from electra_common.tasks.readers.tables import TableRow, read_rows, table_ending, without_label
from electra_common.tasks.task import Task
from electra_common.terminal import CONTROL, printable
from electra_common.text_files import COMPRESSED, STANDARD_INPUT, read_lines

PREDICTION: Final = "prediction"
SCORE: Final = "score"
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_TEXT: Final = ".txt"
_NOT_IN_A_LINE: Final = re.compile(rf"{CONTROL.pattern}|[\t\n\u2028\u2029]")

Answers = Callable[[Iterable[Example]], Iterator[Prediction]]


@dataclass(frozen=True)
class _Item:
    """What was read: an example, and the row that it stands in, where there is one."""

    example: Example
    row: TableRow | None = None


class _Layout(NamedTuple):
    """How cells make a line of a table."""

    delimiter: str
    quoting: bool


class _Stream(Protocol):
    def write(self, text: str, /) -> object: ...


class _Terminal:
    """Writes texts without what a terminal would obey."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def write(self, text: str, /) -> object:
        return self._stream.write(printable(text))


_Pairs = Iterator[tuple[_Item, Prediction]]


def answer_file(task: Task, path: str, answers: Answers, stream: IO[str]) -> int:
    """Answer a file's examples, and write them with the answers in the form that the file has.

    Args:
        task: what is answered; its columns are those of the file.
        path: the file; ``-`` for lines of text from standard input.
        answers: gives the answers to examples, in order.
        stream: is written to.

    Returns:
        How many examples were answered.

    Raises:
        ValueError: the file cannot be read, has no form that the task's examples come in, or has a column of a name
            that the answers' columns have.
    """
    unlabelled = without_label(task)
    form = _form(unlabelled, path)
    items = _FORMS[form][0](unlabelled, path)
    waiting: deque[_Item] = deque()
    count = 0

    def examples() -> Iterator[Example]:
        for item in items:
            waiting.append(item)
            yield item.example

    def pairs() -> _Pairs:
        nonlocal count
        for prediction in answers(examples()):
            count += 1
            yield waiting.popleft(), prediction

    layout = _Layout(_DELIMITERS.get(form, ","), task.quoting)
    _FORMS[form][1](pairs(), _Terminal(stream) if stream.isatty() else stream, layout)
    return count


def holds_lines(path: str) -> bool:
    """Whether a file, by its name, has lines of text, whatever the task; such a file has no columns."""
    name = path.lower()
    for packed in COMPRESSED:
        name = name.removesuffix(packed)
    return path == STANDARD_INPUT or name.endswith(_TEXT)


def _form(task: Task, path: str) -> str:
    """Return the name of a file's form."""
    if holds_lines(path):
        if task.kind in ("answers", "choice"):
            raise ValueError(f"{path}: lines of text have no place for {task.kind}; give a table or JSON lines")
        return _TEXT
    if task.format in ("words", "squad", "mrqa"):
        return task.format
    ending = table_ending(path)
    return ending if ending in _DELIMITERS else ".jsonl"


# Reading --------------------------------------------------------------------------------------------------------------


def _read_text(task: Task, path: str) -> Iterator[_Item]:
    for number, line in enumerate(read_lines(path)):
        place = f"{'standard input' if path == STANDARD_INPUT else path}, line {number + 1}"
        if not line.strip():
            hint = "; a file of one word a line is called .conll" if task.format == "words" else ""
            raise ValueError(f"{place}: the text is empty; give it a text or take the line out{hint}")
        if task.kind == "tagging":
            yield _Item(TaggedSentence(str(number), tuple(line.split()), place=place))
            continue
        text, tab, pair = line.partition("\t")
        if bool(tab) != (task.pair is not None) or "\t" in pair:
            expected = "two texts with a tab between" if task.pair is not None else "one text without a tab"
            raise ValueError(f"{place}: expected {expected}, found {line[:60]!r}; tables are called .tsv")
        yield _Item(TextExample(str(number), text, pair if tab else None, place=place))


def _read_rows(task: Task, path: str) -> Iterator[_Item]:
    for row in read_rows(task, path):
        if taken := [name for name in (PREDICTION, SCORE) if name in row.names]:
            raise ValueError(f"{row.place}: a column is called {taken[0]!r}, as that of the answers is; rename it")
        yield _Item(example_of_row(task, row), row)


def _read_others(task: Task, path: str) -> Iterator[_Item]:
    for example in read_examples(task, path):
        yield _Item(example)


# Writing --------------------------------------------------------------------------------------------------------------


def _write_text(pairs: _Pairs, stream: _Stream, layout: _Layout) -> None:
    for _, prediction in pairs:
        stream.write(_one_line(_as_text(prediction.answer)) + "\n")


def _write_table(pairs: _Pairs, stream: _Stream, layout: _Layout) -> None:
    write_cells = _cell_writer(stream, layout)
    for number, (item, prediction) in enumerate(pairs):
        assert item.row is not None
        if number == 0 and item.row.header:
            write_cells([*item.row.header, PREDICTION, SCORE])
        answer = _as_text(prediction.answer)
        score = "" if prediction.score is None else f"{prediction.score:.6g}"
        write_cells([*item.row.cells, answer if layout.quoting else _one_line(answer), score])


def _cell_writer(stream: _Stream, layout: _Layout) -> Callable[[Sequence[str]], object]:
    if layout.quoting:
        return csv.writer(stream, delimiter=layout.delimiter, lineterminator="\n").writerow
    return lambda cells: stream.write(layout.delimiter.join(cells) + "\n")


def _write_json_lines(pairs: _Pairs, stream: _Stream, layout: _Layout) -> None:
    for item, prediction in pairs:
        assert item.row is not None
        record = dict(zip(item.row.names, item.row.cells, strict=True))
        record |= {PREDICTION: _plain(prediction.answer), SCORE: prediction.score}
        stream.write(_as_json(record) + "\n")


def _write_words(pairs: _Pairs, stream: _Stream, layout: _Layout) -> None:
    for item, prediction in pairs:
        assert isinstance(item.example, TaggedSentence)
        assert isinstance(prediction.answer, tuple)
        words = zip(item.example.words, prediction.answer, strict=True)
        stream.write("".join(f"{word}\t{_one_line(_as_text(tag))}\n" for word, tag in words) + "\n")


def _write_answers(pairs: _Pairs, stream: _Stream, layout: _Layout) -> None:
    stream.write("{")
    for number, (_, prediction) in enumerate(pairs):
        comma = "," if number else ""
        stream.write(f"{comma}\n{_as_json(prediction.id)}: {_as_json(prediction.answer)}")
    stream.write("\n}\n")


def _as_text(answer: Any) -> str:
    if isinstance(answer, tuple):
        return " ".join(map(_as_text, answer))
    text = f"{answer:.6g}" if isinstance(answer, float) else str(answer)
    return text.encode("utf-8", "backslashreplace").decode()  # JSON can spell halves of a pair, a file cannot hold them


def _one_line(text: str) -> str:
    """Return a text with escapes for what would end its line or cell."""
    return _NOT_IN_A_LINE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _as_json(value: Any) -> str:
    """Return a value as JSON: letters as they are, control characters and halves of a pair by their numbers."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _plain(answer: Any) -> Any:
    return list(answer) if isinstance(answer, tuple) else answer


_FORMS: Final[dict[str, tuple[Callable[[Task, str], Iterator[_Item]], Callable[[_Pairs, _Stream, _Layout], None]]]] = {
    _TEXT: (_read_text, _write_text),
    ".csv": (_read_rows, _write_table),
    ".tsv": (_read_rows, _write_table),
    ".jsonl": (_read_rows, _write_json_lines),
    "words": (_read_others, _write_words),
    "squad": (_read_others, _write_answers),
    "mrqa": (_read_others, _write_answers),
}
