"""Text to ids for a whole corpus: the same ids as the tokenizer's, faster, because words repeat.

The tokenizer is asked once for each different stretch of text between two blanks; the rest is a table. That is exact
for tokenizers that never look across a blank, which BERT's rules do not. Others get whole lines.

Text is text: a ``[MASK]`` that stands in a corpus is split like any other word, and never becomes the special token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
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
# Characters that BERT's rules keep as they are, but for case, and how they split them: letters and digits stay
# together, each mark stands alone. ASCII without its controls, and the marks of printed English.
_IS_PLAIN: Final = re.compile("[!-~\u2018\u2019\u201c\u201d\u2013\u2014\u2026]+").fullmatch
_ATOMS: Final = re.compile("[0-9A-Za-z]+|[^0-9A-Za-z]")

Ids = NDArray[np.int32]
Encode = Callable[[list[str]], tuple[Ids, NDArray[np.int64]]]


class _Numbers(dict[str, int]):
    """Gives each new word the next number, and remembers which are new."""

    def __init__(self) -> None:
        super().__init__({_LINE_END: 0})
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.new.append(word)
        return number


class _WordTable:
    """The pieces of every word seen so far; new words are encoded together, by a function.

    The end of a line counts as a word, number 0, without pieces.
    """

    def __init__(self, encode_new: Encode) -> None:
        self._encode_new = encode_new
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._characters = 0
        self._pieces: Ids = np.zeros(0, np.int32)
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)
        self._counts: NDArray[np.int64] = np.zeros(1, np.int64)

    def encode(self, words: list[str]) -> tuple[Ids, NDArray[np.int64], NDArray[np.bool_]]:
        """Return the pieces of words, one after the other, how many each has, and which words are line ends."""
        if len(self._numbers) > _MOST_WORDS or self._characters > _MOST_WORD_CHARACTERS:
            self._forget()
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        if self._numbers.new:
            self._learn()
        counts = self._counts[numbers]
        ends = np.cumsum(counts)
        # Piece k of the text is piece (k - where its word begins in the text) of its word's pieces.
        places = np.arange(int(ends[-1])) + np.repeat(self._starts[numbers] - (ends - counts), counts)
        return self._pieces[places], counts, numbers == 0

    def _learn(self) -> None:
        new, self._numbers.new = self._numbers.new, []
        pieces, counts = self._encode_new(new)
        first = len(self._pieces)
        self._pieces = np.concatenate([self._pieces, pieces])
        self._starts = np.concatenate([self._starts, first + np.cumsum(counts) - counts])
        self._counts = np.concatenate([self._counts, counts])
        self._characters += sum(map(len, new))


class CorpusEncoder:
    """Encodes many lines without special tokens.

    Args:
        tokenizer: any; its own special tokens are not looked for in the text.
    """

    def __init__(self, tokenizer: ElectraTokenizerFast) -> None:
        self._rust = tokenizer._rust_tokenizer()
        self._rust.encode_special_tokens = True
        self._rust.no_padding()
        self._encode = self._encode_lines
        if splits_at_blanks(self._rust):
            self._atoms = _WordTable(self._encode_lines)
            has_only_words = all(token.special for token in self._rust.get_added_tokens_decoder().values())
            self._words = _WordTable(self._encode_by_atom if has_only_words else self._encode_lines)
            self._encode = self._encode_by_word

    def encode(self, lines: Sequence[str]) -> tuple[Ids, NDArray[np.int64]]:
        """Return the ids of all lines, one after the other, and where each line ends.

        Args:
            lines: text without line ends.

        Returns:
            ids ``[tokens]`` and ends ``[lines]``: line i is ``ids[ends[i - 1]:ends[i]]``.
        """
        ids, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        for batch in _batches(lines):
            batch_ids, batch_counts = self._encode(batch)
            ids.append(batch_ids)
            counts.append(batch_counts)
        ends = np.cumsum(np.concatenate(counts))
        if any(len(line) > _MOST_CHARACTERS_AT_ONCE for line in lines):
            parts = np.fromiter((sum(1 for _ in _parts(line)) for line in lines), np.int64, len(lines))
            ends = ends[np.cumsum(parts) - 1]
        return np.concatenate(ids), ends

    def _encode_lines(self, lines: list[str]) -> tuple[Ids, NDArray[np.int64]]:
        rows = [row.ids for row in self._rust.encode_batch_fast(lines, add_special_tokens=False)]
        counts = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), np.int32, int(counts.sum())), counts

    def _encode_by_word(self, lines: list[str]) -> tuple[Ids, NDArray[np.int64]]:
        words = " \n ".join(lines).split(" ")
        words.append(_LINE_END)
        ids, counts, is_line_end = self._words.encode(words)
        return ids, np.diff(np.cumsum(counts)[is_line_end], prepend=0)

    def _encode_by_atom(self, words: list[str]) -> tuple[Ids, NDArray[np.int64]]:
        """Encode words by what BERT's rules make of them before any vocabulary: a word and a comma are two."""
        atoms = [_ATOMS.findall(word) if _IS_PLAIN(word) else [word] for word in words]
        ids, counts, _ = self._atoms.encode(list(chain.from_iterable(atoms)))
        ends = np.cumsum(np.fromiter(map(len, atoms), np.int64, len(atoms)))
        return ids, np.diff(np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])[ends], prepend=0)


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


def _parts(line: str) -> Iterator[str]:
    """Yield a line, or a long one in parts, cut at blanks where there are any."""
    start = 0
    while len(line) - start > _MOST_CHARACTERS_AT_ONCE:
        limit = start + _MOST_CHARACTERS_AT_ONCE
        blank = line.rfind(" ", start + 1, limit)
        end = limit if blank < 0 else blank
        yield line[start:end]
        start = end
    yield line[start:] if start else line


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for line in lines:
        for part in _parts(line):
            batch.append(part)
            characters += len(part)
            if characters >= _MOST_CHARACTERS_AT_ONCE:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch
