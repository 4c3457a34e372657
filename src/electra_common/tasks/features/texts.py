"""Rows of texts and pairs of texts, with a class or a number each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.examples import TextExample
from electra_common.tasks.features.row_builder import Ids, RowBuilder, encode_texts
from electra_common.tasks.features.rows import Row
from electra_common.tasks.readers.labels import label_number, label_value
from electra_common.tasks.task import Task


def make_rows(
    task: Task,
    examples: Sequence[TextExample],
    tokenizer: Any,
    labels: Sequence[str],
    *,
    max_length: int,
    is_training: bool,
    with_labels: bool,
) -> list[Row]:
    """Return one row for each example; two for a pair, one in each order, where training swaps pairs.

    Texts that are too long are cut; of a pair the longer one loses tokens until both fit.

    Args:
        task: a classification, or a regression, whose ``label_range`` becomes 0 to 1.
        examples: texts.
        tokenizer: the model's.
        labels: names of the classes.
        max_length: most tokens of a row.
        is_training: whether pairs may be swapped.
        with_labels: whether rows get ``labels``: a whole number, of a regression a float32.

    Raises:
        ValueError: a label is unknown, or ``max_length`` leaves no room.
    """
    builder = RowBuilder(tokenizer, max_length)
    builder.room(2 if any(example.text_pair is not None for example in examples) else 1)
    rows = []
    for number, (example, texts) in enumerate(zip(examples, _encode(examples, tokenizer), strict=True)):
        found = {"labels": _label(task, example, labels)} if with_labels else {}
        rows.append(Row(builder.build_cut(*texts), found, number))
        if is_training and task.swaps_pairs and len(texts) > 1:
            rows.append(Row(builder.build_cut(*texts[::-1]), found, number))
    return rows


def _encode(examples: Sequence[TextExample], tokenizer: Any) -> Iterator[tuple[Ids, ...]]:
    """Yield the ids of each example's text, or of both."""
    firsts = encode_texts(tokenizer, (example.text for example in examples))
    seconds = encode_texts(tokenizer, (example.text_pair for example in examples if example.text_pair is not None))
    for example in examples:
        yield (next(firsts),) if example.text_pair is None else (next(firsts), next(seconds))


def _label(task: Task, example: TextExample, labels: Sequence[str]) -> NDArray[Any]:
    assert example.label is not None
    if task.kind == "classification":
        return np.array(label_number(labels, example.label, example.place), np.int64)
    low, high = task.label_range or (0.0, 1.0)
    return np.array((label_value(example.label, example.place) - low) / (high - low), np.float32)
