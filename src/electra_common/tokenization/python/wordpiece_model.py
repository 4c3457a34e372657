"""A word to pieces of the vocabulary: greedily the longest one first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Piece(NamedTuple):
    """One piece of a word: its id, its text in the vocabulary, and (start, end) in the word."""

    id: int
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class WordPieceModel:
    """A vocabulary and how it is used.

    Args:
        vocabulary: {piece: id}.
        unk_token: a piece that stands for a word which is not made of pieces.
        prefix: starts every piece that continues a word.
        max_input_chars_per_word: a longer word is unknown.
    """

    vocabulary: Mapping[str, int]
    unk_token: str = "[UNK]"
    prefix: str = "##"
    max_input_chars_per_word: int = 100
    _longest: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_longest", max(map(len, self.vocabulary)))

    def __call__(self, word: str) -> list[Piece]:
        """Return the pieces of a word, or the unknown token for all of it."""
        unknown = [Piece(self.vocabulary[self.unk_token], self.unk_token, 0, len(word))]
        if len(word) > self.max_input_chars_per_word:
            return unknown
        pieces: list[Piece] = []
        start = 0
        while start < len(word):
            piece = self._longest_piece(word, start)
            if piece is None:
                return unknown
            pieces.append(piece)
            start = piece.end
        return pieces

    def _longest_piece(self, word: str, start: int) -> Piece | None:
        prefix = self.prefix if start else ""
        for end in range(min(len(word), start + self._longest), start, -1):
            text = prefix + word[start:end]
            if (number := self.vocabulary.get(text)) is not None:
                return Piece(number, text, start, end)
        return None
