"""Text to ids for a whole corpus: the same ids as the tokenizer's, faster, because words repeat.

The tokenizer is asked once for each different stretch of text between two blanks; the rest is a table. That is exact
for tokenizers that never look across a blank, which BERT's rules do not. Others get whole lines.

Text is text: a ``[MASK]`` that stands in a corpus is split like any other word, and never becomes the special token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast

# Longer stretches of text are handed to the tokenizer in parts, cut at blanks where there are any.
_MOST_CHARACTERS_AT_ONCE: Final = 1 << 20
# The table is dropped and made anew beyond these, so that memory does not grow with the corpus.
_MOST_WORDS: Final = 1 << 20
_MOST_WORD_CHARACTERS: Final = 1 << 25
_LINE_END: Final = "\n"


class _Numbers(dict[str, int]):
    """Gives each new word the next number, and remembers which are new."""

    def __init__(self) -> None:
        super().__init__({_LINE_END: 0})
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.new.append(word)
        return number


class CorpusEncoder:
    """Encodes many lines without special tokens.

    Args:
        tokenizer: any; its own special tokens are not looked for in the text.
    """

    def __init__(self, tokenizer: ElectraTokenizerFast) -> None:
        self._rust = tokenizer._rust_tokenizer()
        self._rust.encode_special_tokens = True
        self._rust.no_padding()
        self._by_word = splits_at_blanks(self._rust)
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._characters = 0
        self._pieces: NDArray[np.int32] = np.zeros(0, np.int32)
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)  # the end of a line is a word without pieces
        self._counts: NDArray[np.int64] = np.zeros(1, np.int64)

    def encode(self, lines: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of all lines, one after the other, and where each line ends.

        Args:
            lines: text without line ends.

        Returns:
            ids ``[tokens]`` and ends ``[lines]``: line i is ``ids[ends[i - 1]:ends[i]]``.
        """
        encode = self._encode_words if self._by_word else self._encode_lines
        ids, counts = [], []
        for batch in _batches(_parts(lines)):
            batch_ids, batch_counts = encode([text for text, _ in batch])
            ids.append(batch_ids)
            counts.append(batch_counts)
        is_last = np.fromiter((last for _, last in _parts(lines)), np.bool_)
        ends = np.cumsum(np.concatenate([np.zeros(0, np.int64), *counts]))[is_last]
        return np.concatenate([np.zeros(0, np.int32), *ids]), ends

    def _encode_lines(self, lines: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        rows = [row.ids for row in self._rust.encode_batch_fast(lines, add_special_tokens=False)]
        counts = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), np.int32, int(counts.sum())), counts

    def _encode_words(self, lines: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        words = " \n ".join(lines).split(" ")
        words.append(_LINE_END)
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        if self._numbers.new:
            self._learn()
        counts = self._counts[numbers]
        ends = np.cumsum(counts)
        total = int(ends[-1])
        # Piece k of the text is piece (k - where its word begins in the text) of its word's pieces.
        places = np.arange(total) + np.repeat(self._starts[numbers] - (ends - counts), counts)
        ids = self._pieces[places]
        line_ends = ends[numbers == 0]
        if len(self._numbers) > _MOST_WORDS or self._characters > _MOST_WORD_CHARACTERS:
            self._forget()
        return ids, np.diff(line_ends, prepend=0)

    def _learn(self) -> None:
        new, self._numbers.new = self._numbers.new, []
        pieces, counts = self._encode_lines(new)
        first = len(self._pieces)
        self._pieces = np.concatenate([self._pieces, pieces])
        self._starts = np.concatenate([self._starts, first + np.cumsum(counts) - counts])
        self._counts = np.concatenate([self._counts, counts])
        self._characters += sum(map(len, new))


def splits_at_blanks(rust: Any) -> bool:
    """Whether a tokenizer of the Rust library gives a text the ids of its words, one after the other.

    True for WordPiece with BERT's rules: each character is normalised by itself or with the marks that follow it, and
    words end at blanks. A token that was added with a blank in it would be an exception.
    """
    parts = json.loads(rust.to_str())
    is_bert = (
        parts["model"]["type"] == "WordPiece"
        and (parts["normalizer"] or {}).get("type") == "BertNormalizer"
        and (parts["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
    )
    return is_bert and not any(" " in token["content"] for token in parts["added_tokens"] if not token["special"])


def _parts(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield lines, long ones in parts, with whether the line ends there."""
    for line in lines:
        start = 0
        while len(line) - start > _MOST_CHARACTERS_AT_ONCE:
            limit = start + _MOST_CHARACTERS_AT_ONCE
            blank = line.rfind(" ", start + 1, limit)
            end = limit if blank < 0 else blank
            yield line[start:end], False
            start = end
        yield (line[start:] if start else line), True


def _batches(parts: Iterable[tuple[str, bool]]) -> Iterator[list[tuple[str, bool]]]:
    batch: list[tuple[str, bool]] = []
    characters = 0
    for part in parts:
        batch.append(part)
        characters += len(part[0])
        if characters >= _MOST_CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
