"""Pieces back to text: continuations are joined, and the blanks that splitting put in are taken out again."""

from __future__ import annotations

from collections.abc import Iterable
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


def decode_pieces(pieces: Iterable[str], *, prefix: str, cleanup: bool) -> str:
    """Return the text of pieces.

    Args:
        pieces: as they stand in the vocabulary.
        prefix: marks a continuation.
        cleanup: take out blanks before punctuation and in English contractions, within each piece.
    """
    text = []
    for index, piece in enumerate(pieces):
        part = piece
        if index:
            part = piece.removeprefix(prefix) if piece.startswith(prefix) else f" {piece}"
        if cleanup:
            for before, after in _CLEANUPS:
                part = part.replace(before, after)
        text.append(part)
    return "".join(text)
