"""From the examples of any task to rows, together with what decoding has to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from electra_common.config import HEADS
from electra_common.tasks.examples import Choice, Example, Question, TaggedSentence, TextExample
from electra_common.tasks.features import choices, questions, tagging, texts
from electra_common.tasks.features.rows import Row
from electra_common.tasks.features.windows import Window
from electra_common.tasks.task import Task

DOC_STRIDE = 128
MAX_QUERY_LENGTH = 64


@dataclass(frozen=True)
class Features:
    """The rows of some examples.

    Attributes:
        rows: in the order of their examples; one example may have several.
        examples: what they were made from; ``row.example`` counts here.
        windows: of tags and answers, for each row the part of the sentence or context that it holds; else empty.
    """

    rows: list[Row]
    examples: list[Example]
    windows: list[Window] = field(default_factory=list)

    def rows_of_examples(self) -> list[list[int]]:
        """Return for each example the numbers of its rows."""
        numbers: list[list[int]] = [[] for _ in self.examples]
        for number, row in enumerate(self.rows):
            numbers[row.example].append(number)
        return numbers


def make_rows(
    task: Task,
    examples: Sequence[Example],
    tokenizer: Any,
    labels: tuple[str, ...],
    *,
    max_length: int,
    is_training: bool,
    with_labels: bool = True,
    doc_stride: int = DOC_STRIDE,
    max_query_length: int = MAX_QUERY_LENGTH,
    head: str = "transformers",
) -> Features:
    """Return the rows of some examples.

    Args:
        task: says what they are examples of.
        examples: of the task's kind.
        tokenizer: the model's.
        labels: names of classes or tags in the order of their numbers; unused by other kinds.
        max_length: most tokens of a row.
        is_training: whether the rows are to learn from: then each answer must be known, and pairs may be swapped.
        with_labels: whether rows get labels. Without ``is_training`` none gets any where an answer is not known.
        doc_stride: of answers, how many tokens a window over the context stands behind the one before.
        max_query_length: of answers, how many tokens of a question are kept.
        head: of answers, ``"transformers"``, or ``"google"``, which also learns whether there is an answer.

    Raises:
        ValueError: an answer is missing or none of the labels, ``max_length`` leaves no room, or an example is not
            like the others.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}; found {head!r}")
    has_labels = with_labels and _are_known(examples, is_training=is_training)
    windows: list[Window] = []
    given: Any = examples  # of the kind that the task says
    if task.kind == "tagging":
        rows, windows = tagging.make_rows(given, tokenizer, labels, max_length=max_length, with_labels=has_labels)
    elif task.kind == "answers":
        rows, windows = questions.make_rows(
            given, tokenizer, max_length=max_length, with_labels=has_labels, doc_stride=doc_stride,
            max_query_length=max_query_length, head=head,
        )  # fmt: skip
    elif task.kind == "choice":
        rows = choices.make_rows(given, tokenizer, max_length=max_length, with_labels=has_labels)
    else:
        rows = texts.make_rows(
            task, given, tokenizer, labels, max_length=max_length, is_training=is_training, with_labels=has_labels
        )
    return Features(rows, list(examples), windows)


def known_answer(example: Example) -> Any:
    """Return what is to be learnt of an example: label, tags, answers or number of a choice; None if not known."""
    if isinstance(example, TaggedSentence):
        return example.tags
    if isinstance(example, Question):
        return example.answers
    assert isinstance(example, TextExample | Choice)
    return example.label


def _are_known(examples: Sequence[Example], *, is_training: bool) -> bool:
    unknown = next((example for example in examples if known_answer(example) is None), None)
    if unknown is not None and is_training:
        raise ValueError(f"{unknown.place}: expected an answer to learn from, found none; give a file with labels")
    return unknown is None
