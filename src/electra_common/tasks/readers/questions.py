"""Questions about texts: SQuAD 1.1 and 2.0, MRQA, and tables in which each row is a question.

Every answer to learn from must stand where the file says: an offset that is wrong by one teaches nonsense in silence.
An answer that counts but is not said to stand anywhere, as the other answers of MRQA, comes last with the start -1.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from electra_common.tasks.examples import Answer, Question
from electra_common.tasks.readers.tables import TableRow, read_json_lines, read_rows
from electra_common.tasks.readers.values import (
    as_filled_text,
    as_list,
    as_name,
    as_object,
    as_text,
    field_of,
    kind_of,
    shortened,
)
from electra_common.tasks.squad_metrics import normalize_answer
from electra_common.tasks.task import Task
from electra_common.text_files import read_lines

NOWHERE: Final = -1  # the start of an answer whose words need not stand in the text
_HINT_IMPOSSIBLE: Final = "only a task with has_impossible = true, such as squad-v2, has such questions"


def read_questions(task: Task, path: str | Path) -> Iterator[Question]:
    """Yield the questions of a file.

    Args:
        task: its ``format`` is ``squad``, ``mrqa`` or ``table``; of a table ``text``, ``pair`` and ``label`` are the
            columns of the question, of its context, and of an object with the lists ``text`` and ``answer_start``.
        path: the file. That of SQuAD is held in memory whole, the others are not.

    Raises:
        ValueError: the file cannot be read or has no question; a question or context is empty; two questions have the
            same id; an answer does not stand where it should; or a question has none and the task knows no such ones.
    """
    read = {"squad": _read_squad, "mrqa": _read_mrqa, "table": _read_table}[task.format]
    seen: set[str] = set()
    for question in read(task, path):
        if question.id in seen:
            raise ValueError(f"{question.place}: there is another question with the id {question.id!r}")
        seen.add(question.id)
        yield question
    if not seen:
        raise ValueError(f"{path}: expected questions, found none")


def _read_squad(task: Task, path: str | Path) -> Iterator[Question]:
    for article_number, article in enumerate(_articles(path), 1):
        place = f"{path}, article {article_number}"
        for number, part in enumerate(as_list(_get(article, "paragraphs", place), place, "paragraphs"), 1):
            where = f"{place}, paragraph {number}"
            context = as_filled_text(_get(part, "context", where), f"{where}, context")
            for item in as_list(_get(part, "qas", where), where, "questions"):
                name = as_name(_get(item, "id", where), f"{where}, id")
                yield _squad_question(task, name, item, context, f"{path}, question {name}")


def _articles(path: str | Path) -> Sequence[Any]:
    try:
        whole = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, character {error.colno}: no JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path}: no JSON of SQuAD: lists within lists, too many to read") from None
    return as_list(_get(whole, "data", str(path)), f"{path}, data", "articles")


def _squad_question(task: Task, name: str, item: Mapping[str, Any], context: str, place: str) -> Question:
    question = as_filled_text(_get(item, "question", place), f"{place}, question")
    impossible = item.get("is_impossible")
    answers: tuple[Answer, ...] | None = None
    if "answers" in item:
        found = (as_object(answer, place, "an answer") for answer in as_list(item["answers"], place, "answers"))
        answers = tuple(_answer(answer, context, place) for answer in found)
        if impossible is not None and bool(answers) == bool(impossible):
            raise ValueError(f"{place}: is_impossible is {str(impossible).lower()}, found {len(answers)} answers")
    elif impossible:
        answers = ()
    _check_possible(task, answers, place)
    return Question(name, question, context, answers, place)


def _read_mrqa(task: Task, path: str | Path) -> Iterator[Question]:
    for place, line in read_json_lines(path):
        if "header" in line:
            continue
        context = as_filled_text(field_of(line, "context", place), f"{place}, context")
        for item in as_list(field_of(line, "qas", place), place, "questions"):
            name = as_name(_get(item, "qid", place), f"{place}, qid")
            where = f"{place}, question {name}"
            question = as_filled_text(_get(item, "question", where), f"{where}, question")
            yield Question(name, question, context, _mrqa_answers(item, context, where), where)


def _mrqa_answers(item: Mapping[str, Any], context: str, place: str) -> tuple[Answer, ...] | None:
    """Return the first place of the first answer that was found in the context, then every other answer."""
    if "detected_answers" not in item and "answers" not in item:
        return None
    detected = as_list(field_of(item, "detected_answers", place), place, "answers")
    if not detected:
        raise ValueError(f"{place}: expected a detected answer, found none; take the question out")
    text = as_filled_text(_get(detected[0], "text", place), f"{place}, detected answer")
    spans = as_list(_get(detected[0], "char_spans", place), f"{place}, char_spans", "spans")
    start, last = _span(spans, place)
    found = context[start : last + 1]
    if found != text and not _same_words(found, text):
        raise ValueError(f"{place}: {_elsewhere(text, start, context)}")
    others = (as_filled_text(other, f"{place}, answers") for other in as_list(item.get("answers", []), place, "texts"))
    names = dict.fromkeys(name for name in (text, *others) if name != found)
    return (Answer(found, start), *(Answer(name, NOWHERE) for name in names))


def _span(spans: Sequence[Any], place: str) -> tuple[int, int]:
    """Return the first and the last character of the first span."""
    pair = as_list(spans[0], f"{place}, char_spans", "two numbers") if spans else ()
    if len(pair) != 2:
        raise ValueError(f"{place}, char_spans: expected the first and the last character of an answer, found {spans}")
    return _offset(pair[0], place), _offset(pair[1], place)


def _same_words(found: str, text: str) -> bool:
    """Return whether two texts are one answer: MRQA found answers without regard to case, accents' form and marks."""
    first, second = (normalize_answer(unicodedata.normalize("NFD", value)) for value in (found, text))
    return bool(first) and first == second


def _read_table(task: Task, path: str | Path) -> Iterator[Question]:
    for row in read_rows(task, path):
        yield question_example(task, row)


def question_example(task: Task, row: TableRow) -> Question:
    """Return the question of a row; raises ValueError as :func:`read_questions`."""
    if task.pair is None:
        raise ValueError(f"task {task.name}: answers in a table need pair: the column of the context")
    question, context = row.filled_text(task.text), row.filled_text(task.pair)
    answers = None
    if task.label is not None:
        answers = _table_answers(row.value(task.label), context, row.place_of(task.label))
        _check_possible(task, answers, row.place)
    return Question(row.id(task), question, context, answers, row.place)


def _table_answers(value: object, context: str, place: str) -> tuple[Answer, ...]:
    found = as_object(value, place, "the lists text and answer_start")
    texts = as_list(field_of(found, "text", place), f"{place}, text", "texts")
    starts = as_list(field_of(found, "answer_start", place), f"{place}, answer_start", "numbers")
    if len(texts) != len(starts):
        raise ValueError(f"{place}: expected as many texts as starts, found {len(texts)} and {len(starts)}")
    pairs = zip(texts, starts, strict=True)
    return tuple(_answer({"text": text, "answer_start": start}, context, place) for text, start in pairs)


def _answer(value: Mapping[str, Any], context: str, place: str) -> Answer:
    text = as_text(field_of(value, "text", place), f"{place}, answer")
    start = _offset(field_of(value, "answer_start", place), place)
    if not text.strip():
        raise ValueError(f"{place}: an answer is empty; a question without an answer has an empty list of them")
    if not context.startswith(text, start):
        raise ValueError(f"{place}: {_elsewhere(text, start, context)}")
    return Answer(text, start)


def _offset(value: object, place: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{place}: expected the number of a character, from 0, found {kind_of(value)}")


def _elsewhere(text: str, start: int, context: str) -> str:
    """Return what is wrong with the place of an answer."""
    stands = f"{shortened(context[start : start + len(text)])!r}" if start < len(context) else "nothing"
    places = [place for place in (context.rfind(text, 0, start + len(text)), context.find(text, start)) if place >= 0]
    if places:
        hint = f"it stands at character {min(places, key=lambda place: abs(place - start))}"
    else:
        hint = "the context does not have it"
    return f"expected the answer {shortened(text)!r} at character {start} of the context, found {stands}; {hint}"


def _check_possible(task: Task, answers: Sequence[Answer] | None, place: str) -> None:
    if answers is not None and not answers and not task.has_impossible:
        raise ValueError(f"{place}: the question has no answer; {_HINT_IMPOSSIBLE}")


def _get(value: object, name: str, place: str) -> Any:
    return field_of(as_object(value, place, f"with the field {name}"), name, place)
