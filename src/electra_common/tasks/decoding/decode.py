"""From the outputs of any task's model to predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from electra_common.tasks.decoding.answers import MAX_ANSWER_LENGTH, N_BEST, decode_answer
from electra_common.tasks.decoding.choices import decode_choice
from electra_common.tasks.decoding.classes import decode_class
from electra_common.tasks.decoding.numbers import decode_number
from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.decoding.tags import decode_tags
from electra_common.tasks.features.make import Features
from electra_common.tasks.task import Task


def decode(
    task: Task,
    features: Features,
    outputs: Sequence[Mapping[str, NDArray[Any]]],
    labels: Sequence[str],
    *,
    null_threshold: float | None = None,
    n_best: int = N_BEST,
    max_answer_length: int = MAX_ANSWER_LENGTH,
) -> list[Prediction]:
    """Return one prediction for each example, in their order.

    Args:
        task: says how to read the outputs.
        features: what the model was given.
        outputs: of each row by the names of the model's output, cut to the row's length: ``logits`` [labels],
            [length, labels] or [choices], or those of :func:`~.answers.decode_answer`.
        labels: names of classes or tags in the order of their numbers; unused by other kinds.
        null_threshold: of answers: "" where the odds against an answer are above it; by default the head's usual one.
        n_best: of answers, how many stand among the details.
        max_answer_length: of answers, most tokens.

    Raises:
        ValueError: outputs do not fit the rows or the labels, or rows of one example are copies made for training.
    """
    if len(outputs) != len(features.rows):
        raise ValueError(f"expected outputs for each of {len(features.rows)} rows, found {len(outputs)}")
    predictions = []
    for example, rows in zip(features.examples, features.rows_of_examples(), strict=True):
        given: Any = example  # of the kind that the task says
        found = [outputs[row] for row in rows]
        windows = [features.windows[row] for row in rows] if features.windows else []
        if task.kind == "tagging":
            logits = [output["logits"] for output in found]
            predictions.append(decode_tags(given, windows, logits, labels, has_spans=task.scheme == "BIO"))
        elif task.kind == "answers":
            predictions.append(
                decode_answer(
                    given, windows, found, has_impossible=task.has_impossible, null_threshold=null_threshold,
                    n_best=n_best, max_answer_length=max_answer_length,
                )
            )  # fmt: skip
        else:
            predictions.append(_decode_one_row(task, given, found, labels))
    return predictions


def _decode_one_row(
    task: Task, example: Any, outputs: Sequence[Mapping[str, NDArray[Any]]], labels: Sequence[str]
) -> Prediction:
    if len(outputs) != 1:
        raise ValueError(f"{example.place}: expected one row, found {len(outputs)}: make rows with is_training=False")
    logits = outputs[0]["logits"]
    if task.kind == "choice":
        return decode_choice(example, logits)
    if task.kind == "regression":
        return decode_number(example.id, logits, task.label_range)
    return decode_class(example.id, logits, labels)
