"""Where special tokens stand in a row, found out by looking at one that the backend made.

BERT's is ``[CLS] A [SEP]`` and ``[CLS] A [SEP] B [SEP]``, but a ``tokenizer.json`` may say anything; asking the backend
serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from electra_common.tokenization.backend import Encoding


@dataclass(frozen=True, slots=True)
class RowPart:
    """A part of a row: the first (0) or second (1) sequence, or a special token (None) with its id."""

    sequence: int | None
    token_id: int
    token_type_id: int


class RowLayout:
    """The parts of a row, in order, with what they give for sequences of ids; ``has_zero_types`` if no type is 1.

    Args:
        row: an encoded text, or pair of texts, of which each has a token at least.
    """

    def __init__(self, row: Encoding) -> None:
        parts = zip(row.sequence_ids, row.ids, row.type_ids, strict=True)
        self.pieces: list[RowPart] = []
        for sequence, group in groupby(parts, key=lambda part: part[0]):
            pieces = [RowPart(*part) for part in group]
            self.pieces += pieces if sequence is None else pieces[:1]
        self.has_zero_types = all(piece.token_type_id == 0 for piece in self.pieces)

    def ids(self, *sequences: Sequence[int]) -> list[int]:
        """Return a row of ids, special tokens included."""
        return self._spread(sequences, lambda piece: [piece.token_id], lambda _, ids: list(ids))

    def type_ids(self, *sequences: Sequence[int]) -> list[int]:
        """Return the token types of that row."""
        return self._spread(
            sequences, lambda piece: [piece.token_type_id], lambda piece, ids: [piece.token_type_id] * len(ids)
        )

    def special_tokens_mask(self, *sequences: Sequence[int]) -> list[int]:
        """Return 1 for each special token of that row, 0 for the others."""
        return self._spread(sequences, lambda _: [1], lambda _, ids: [0] * len(ids))

    def _spread(self, sequences: Sequence[Sequence[int]], special: Any, given: Any) -> list[int]:
        result: list[int] = []
        for piece in self.pieces:
            result += special(piece) if piece.sequence is None else given(piece, sequences[piece.sequence])
        return result
