"""Rows of words with a tag each. The tag of a word is learnt and read at its first piece.

A word that the tokenizer makes nothing of, such as a lone control character, has no piece: its tag is not learnt, and
decoding gives it "O", or the first tag where no tag is called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_common.head_options import IGNORED_LABEL
from electra_common.tasks.examples import TaggedSentence
from electra_common.tasks.features.row_builder import Ids, RowBuilder, encode_texts
from electra_common.tasks.features.rows import Row
from electra_common.tasks.features.windows import Window
from electra_common.tasks.readers.labels import label_number
from electra_common.windows import plan_windows


def make_rows(
    examples: Sequence[TaggedSentence],
    tokenizer: Any,
    labels: Sequence[str],
    *,
    max_length: int,
    with_labels: bool,
) -> tuple[list[Row], list[Window]]:
    """Return rows, and the window that each is.

    A sentence that does not fit is read through windows that share a quarter of their tokens. A word whose first piece
    stands in two of them is learnt in both.

    Args:
        examples: sentences.
        tokenizer: the model's.
        labels: names of the tags.
        max_length: most tokens of a row.
        with_labels: whether rows get ``labels`` [length]: the tag at a word's first piece, -100 elsewhere.

    Raises:
        ValueError: a tag is unknown, a sentence has not as many tags as words, or ``max_length`` leaves no room.
    """
    builder = RowBuilder(tokenizer, max_length)
    room = builder.room()
    pieces = _pieces_of_words(examples, tokenizer)
    numbers: dict[str, int] = {}
    rows, windows = [], []
    for number, sentence in enumerate(examples):
        ids, firsts = _pieces_of_sentence(sentence, pieces)
        tags = _tag_numbers(sentence, labels, numbers) if with_labels else None
        for start, end in plan_windows(len(ids), room, room // 4):
            window = Window(builder.start(0, end - start), start, len(ids), firsts[start:end])
            inputs = builder.build(ids[start:end])
            found = {} if tags is None else {"labels": _labels(window, tags, len(inputs["input_ids"]))}
            rows.append(Row(inputs, found, number))
            windows.append(window)
    return rows, windows


def _pieces_of_words(examples: Sequence[TaggedSentence], tokenizer: Any) -> dict[str, Ids]:
    """Words come again and again, and none looks at its neighbours: each is encoded once."""
    words = list(dict.fromkeys(word for sentence in examples for word in sentence.words))
    return dict(zip(words, encode_texts(tokenizer, words), strict=True))


def _pieces_of_sentence(sentence: TaggedSentence, pieces: dict[str, Ids]) -> tuple[Ids, NDArray[np.int32]]:
    """Return the ids of a sentence, and for each the number of the word that it is the first piece of, else -1."""
    parts = [pieces[word] for word in sentence.words]
    ids = np.concatenate([np.zeros(0, np.int64), *parts])
    lengths = np.array([len(part) for part in parts], np.int64)
    firsts = np.full(len(ids), -1, np.int32)
    has_piece = lengths > 0
    firsts[(np.cumsum(lengths) - lengths)[has_piece]] = np.flatnonzero(has_piece)
    return ids, firsts


def _tag_numbers(sentence: TaggedSentence, labels: Sequence[str], known: dict[str, int]) -> Ids:
    assert sentence.tags is not None
    if len(sentence.tags) != len(sentence.words):
        raise ValueError(
            f"{sentence.place}: expected a tag for each word, found {len(sentence.tags)} tags "
            f"and {len(sentence.words)} words"
        )
    for tag in sentence.tags:
        if tag not in known:
            known[tag] = label_number(labels, tag, sentence.place)
    return np.array([known[tag] for tag in sentence.tags], np.int64)


def _labels(window: Window, tags: Ids, length: int) -> Ids:
    labels = np.full(length, IGNORED_LABEL, np.int64)
    is_first = window.targets >= 0
    labels[window.tokens][is_first] = tags[window.targets[is_first]]
    return labels
