"""Rows of a text with several continuations, one row of tokens for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from electra_common.tasks.examples import Choice
from electra_common.tasks.features.row_builder import RowBuilder, encode_texts
from electra_common.tasks.features.rows import Arrays, Row, pad_rows


def make_rows(examples: Sequence[Choice], tokenizer: Any, *, max_length: int, with_labels: bool) -> list[Row]:
    """Return one row for each example, its inputs [choices, length], filled up to its longest choice.

    Each choice is read behind the text, as a pair; alone where the text is empty.

    Args:
        examples: all with the same number of choices.
        tokenizer: the model's.
        max_length: most tokens of a choice with its text.
        with_labels: whether rows get ``labels``, the number of the right choice.

    Raises:
        ValueError: numbers of choices differ, a label is none of them, or ``max_length`` leaves no room.
    """
    _check(examples, with_labels=with_labels)
    builder = RowBuilder(tokenizer, max_length)
    builder.room(2 if any(example.text for example in examples) else 1)
    texts = encode_texts(tokenizer, (example.text for example in examples))
    continuations = encode_texts(tokenizer, (choice for example in examples for choice in example.choices))
    rows = []
    for number, (example, text) in enumerate(zip(examples, texts, strict=True)):
        front = (text,) if example.text else ()
        choices = [builder.build_cut(*front, next(continuations)) for _ in example.choices]
        labels: Arrays = {"labels": np.array(example.label, np.int64)} if with_labels else {}
        inputs, _ = pad_rows([Row(choice, {}, number) for choice in choices], pad_token_id=tokenizer.pad_token_id)
        rows.append(Row(inputs, labels, number))
    return rows


def _check(examples: Sequence[Choice], *, with_labels: bool) -> None:
    for example in examples:
        count, expected = len(example.choices), len(examples[0].choices)
        if count != expected:
            raise ValueError(
                f"{example.place}: expected {expected} choices as in {examples[0].place}, found {count}; "
                "a task has the same number everywhere"
            )
        if not count:
            raise ValueError(f"{example.place}: expected choices, found none")
        if with_labels and example.label not in range(count):
            raise ValueError(f"{example.place}: expected a label of 0 to {count - 1}, found {example.label}")
