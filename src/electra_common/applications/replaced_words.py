"""Which words of a text a discriminator takes for replaced.

A text of any length is read through windows. A word's probability is that of its most suspicious piece: a generator
replaces pieces, and one of them is enough to make a word another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from electra_common.applications.batches import Predict, check_logits, check_texts, make_batch
from electra_common.windows import context_in_window, plan_windows

DEFAULT_THRESHOLD: Final = 0.5
DEFAULT_BATCH_SIZE: Final = 16


@dataclass(frozen=True)
class Word:
    """A word of a text, as the tokenizer splits it: punctuation marks are words.

    Attributes:
        text: as it stands in the text.
        start: its first character in the text.
        end: its last character + 1.
        probability: of being replaced, the highest of its pieces.
        pieces: each piece of it and that one's probability.
    """

    text: str
    start: int
    end: int
    probability: float
    pieces: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Detection:
    """A text and its words."""

    text: str
    words: tuple[Word, ...]

    def replaced(self, threshold: float = DEFAULT_THRESHOLD) -> list[Word]:
        """Return the words whose probability is the threshold or higher."""
        return [word for word in self.words if word.probability >= threshold]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the detection that :func:`dataclasses.asdict` took apart."""
        words = (
            Word(**{**word, "pieces": tuple((piece, value) for piece, value in word["pieces"])})
            for word in data["words"]
        )
        return cls(data["text"], tuple(words))


def detect_replaced_words(
    texts: Sequence[str],
    tokenizer: Any,
    predict: Predict,
    *,
    max_length: int,
    stride: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> list[Detection]:
    """Return for each text its words with the probability of being replaced.

    A text that does not fit is read through windows that overlap. A token that stands in two of them gets the answer of
    the one in which it has more context, that is, in which the nearer edge that is not an end of the text is farther.

    Args:
        texts: of any length, but not empty.
        tokenizer: the model's.
        predict: gives logits [rows, length] of being replaced.
        max_length: most tokens of a row, special ones included.
        stride: tokens that two windows share; by default a quarter of a window.
        batch_size: windows computed at once.

    Raises:
        ValueError: a text is empty, or a number is out of its range.
    """
    room = max_length - tokenizer.num_special_tokens_to_add(pair=False)
    stride = room // 4 if stride is None else stride
    if room < 1 or not 0 <= stride < room:
        raise ValueError(f"stride must be 0 to {room - 1}, less than the {room} tokens of a window; found {stride}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    texts = check_texts(texts)
    rows, encoded = [], []
    for number, text in enumerate(texts, 1):
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if not encoding["input_ids"]:
            raise ValueError(f"text {number} is empty: it has no word")
        encoded.append(encoding)
        rows.append(encoding["input_ids"])
    probabilities = _probabilities(rows, tokenizer, predict, room, stride, batch_size)
    return [
        Detection(text, tuple(_words(text, tokenizer, encoding, values)))
        for text, encoding, values in zip(texts, encoded, probabilities, strict=True)
    ]


def _probabilities(
    rows: Sequence[Sequence[int]], tokenizer: Any, predict: Predict, room: int, stride: int, batch_size: int
) -> list[NDArray[np.float64]]:
    """Return for each text the probabilities of its tokens."""
    windows = [(number, window) for number, row in enumerate(rows) for window in plan_windows(len(row), room, stride)]
    windows.sort(key=lambda item: item[1][1] - item[1][0])  # rows of like length together, so little is padding
    result = [np.zeros(len(row)) for row in rows]
    context = [np.full(len(row), -1.0) for row in rows]
    for first in range(0, len(windows), batch_size):
        chosen = windows[first : first + batch_size]
        pieces = [rows[number][start:end] for number, (start, end) in chosen]
        logits = check_logits(predict(make_batch(tokenizer, pieces)), axes=2, of="a discriminator")  # [windows, length]
        for (number, window), ids, scores in zip(chosen, pieces, logits, strict=True):
            special = tokenizer.get_special_tokens_mask(list(ids))
            values = _sigmoid(scores[: len(special)][np.array(special) == 0].astype(np.float64))
            place = slice(*window)
            found = context_in_window(len(rows[number]), window)
            better = found > context[number][place]
            result[number][place][better] = values[better]
            context[number][place][better] = found[better]
    return result


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -logits))


def _words(text: str, tokenizer: Any, encoding: Any, probabilities: NDArray[np.float64]) -> Iterator[Word]:
    pieces = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
    offsets = encoding["offset_mapping"]
    members: dict[int, list[int]] = {}
    for token, word in enumerate(encoding.word_ids(0)):
        members.setdefault(word, []).append(token)
    for tokens in members.values():
        start = min(offsets[token][0] for token in tokens)
        end = max(offsets[token][1] for token in tokens)
        start += len(text[start:end]) - len(text[start:end].lstrip())  # byte-level pieces bring the blank before them
        parts = tuple((pieces[token], float(probabilities[token])) for token in tokens)
        yield Word(text[start:end], start, end, max(value for _, value in parts), parts)
