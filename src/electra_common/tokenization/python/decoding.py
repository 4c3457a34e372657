"""Pieces back to text: continuations are joined, and the blanks that splitting put in are taken out again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# What cleaning up replaces within each piece, one after the other.
_CLEANUPS: Final = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


@dataclass(frozen=True)
class WordPieceDecoder:
    """``tokenizers.decoders.WordPiece``.

    Args:
        prefix: marks a continuation.
        cleanup: take out blanks before punctuation and in English contractions, within each piece.
    """

    prefix: str
    cleanup: bool

    def decode(self, tokens: Iterable[str]) -> str:
        """Return the text of pieces as they stand in the vocabulary."""
        text = []
        for index, piece in enumerate(tokens):
            part = piece
            if index:
                part = piece.removeprefix(self.prefix) if piece.startswith(self.prefix) else f" {piece}"
            if self.cleanup:
                for before, after in _CLEANUPS:
                    part = part.replace(before, after)
            text.append(part)
        return "".join(text)
