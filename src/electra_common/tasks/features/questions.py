"""Rows of questions: the question first, then as much of the context as fits.

A question and its context are encoded apart from each other: a context that many questions are asked about is encoded
once, and its offsets are kept once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.examples import Question
from electra_common.tasks.features.row_builder import Ids, RowBuilder, chunks, encode_texts, encode_with_offsets
from electra_common.tasks.features.rows import Arrays, Row
from electra_common.tasks.features.windows import Window, context_windows

_QUESTIONS_AT_ONCE: Final = 1024


def make_rows(
    examples: Sequence[Question],
    tokenizer: Any,
    *,
    max_length: int,
    with_labels: bool,
    doc_stride: int,
    max_query_length: int,
    head: str,
) -> tuple[list[Row], list[Window]]:
    """Return rows, and the window over the context that each is.

    Args:
        examples: questions.
        tokenizer: the model's.
        max_length: most tokens of a row.
        with_labels: whether rows get ``start_positions`` and ``end_positions``, those of the first answer's tokens in
            the row, or 0 and 0 where it is not wholly in the window or there is none.
        doc_stride: by how many tokens a window starts after the one before. (What windows share is the rest; other
            programs call that the stride.)
        max_query_length: tokens that a question is cut to. It is cut further where it would leave less than a quarter
            of the row to the context.
        head: ``"google"`` adds ``is_impossible``, 1 where the question has no answer in its whole context, else 0.

    Raises:
        ValueError: ``max_length`` leaves no room, or a number is below 1.
    """
    for name, value in (("doc_stride", doc_stride), ("max_query_length", max_query_length)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, found {value}")
    builder = RowBuilder(tokenizer, max_length)
    room = builder.room(2)
    longest = min(max_query_length, room - max(1, room // 4))
    rows, windows = [], []
    for number, (example, encoded) in enumerate(zip(examples, _encode(examples, tokenizer), strict=True)):
        query, context, offsets = encoded[0][:longest], *encoded[1:]
        answer = _answer_tokens(example, offsets) if with_labels else None
        for start, end in context_windows(len(context), room - len(query), doc_stride):
            position = builder.start(1, len(query), end - start)
            window = Window(position, start, len(context), offsets[start:end])
            labels = _labels(window, answer, example, head) if with_labels else {}
            rows.append(Row(builder.build(query, context[start:end]), labels, number))
            windows.append(window)
    return rows, windows


def _encode(examples: Sequence[Question], tokenizer: Any) -> Iterator[tuple[Ids, Ids, NDArray[np.int32]]]:
    """Yield for each question its ids, the context's ids, and their offsets [tokens, 2]."""
    for chunk in chunks(examples, _QUESTIONS_AT_ONCE):
        contexts = list(dict.fromkeys(example.context for example in chunk))
        encoded = dict(zip(contexts, encode_with_offsets(tokenizer, contexts), strict=True))
        queries = encode_texts(tokenizer, [example.question for example in chunk])
        for example, query in zip(chunk, queries, strict=True):
            yield query, *encoded[example.context]


def _answer_tokens(example: Question, offsets: NDArray[np.int32]) -> tuple[int, int] | None:
    """Return the context's first and last token that share a character with the first answer, None without any."""
    if not example.answers:
        return None
    answer = example.answers[0]
    if answer.start < 0:  # it need not stand in the context
        return None
    first = int(np.searchsorted(offsets[:, 1], answer.start, side="right"))
    last = int(np.searchsorted(offsets[:, 0], answer.start + len(answer.text), side="left")) - 1
    return (first, last) if first <= last else None


def _labels(window: Window, answer: tuple[int, int] | None, example: Question, head: str) -> Arrays:
    start = end = 0
    if answer is not None and window.start <= answer[0] and answer[1] < window.end:
        shift = window.position - window.start
        start, end = answer[0] + shift, answer[1] + shift
    labels: Arrays = {"start_positions": np.array(start, np.int64), "end_positions": np.array(end, np.int64)}
    if head == "google":
        labels["is_impossible"] = np.array(not example.answers, np.int64)
    return labels
