"""Rows of ids: how texts become ids, many at a time, and how ids and special tokens become a row.

Not for windows over long texts nor for labels, which differ from task to task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.features.rows import Arrays

Ids = NDArray[np.int64]

_TEXTS_AT_ONCE: Final = 1024
_FRAMES_KEPT: Final = 4096


@dataclass(frozen=True)
class _Frame:
    """A row whose texts have certain lengths: the special tokens, where each text goes, mask and segments."""

    input_ids: Ids  # [length]
    starts: tuple[int, ...]
    attention_mask: Ids  # [length]
    token_type_ids: Ids  # [length]


class RowBuilder:
    """Makes rows as the tokenizer would, of ids that are there already.

    Args:
        tokenizer: says where special tokens stand, and on which side texts are cut.
        max_length: most tokens of a row.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.max_length = max_length
        self._cuts_left = tokenizer.truncation_side == "left"
        self._layouts = [tokenizer.row_layout(texts) for texts in (1, 2)]
        self._frame = lru_cache(_FRAMES_KEPT)(self._make_frame)  # rows of like lengths share mask and segments

    def room(self, texts: int = 1) -> int:
        """Return how many tokens one text, or two together, may have.

        Raises:
            ValueError: not even one token of each fits.
        """
        special = sum(piece.sequence is None for piece in self._layouts[texts - 1].pieces)
        if self.max_length < special + texts:
            raise ValueError(
                f"max_length {self.max_length} leaves no room for text beside {special} special tokens: "
                f"give at least {special + texts}"
            )
        return self.max_length - special

    def build(self, *texts: Ids) -> Arrays:
        """Return the inputs [length] of a row of one text or two; mask and segments are shared and read-only."""
        frame = self._frame(*map(len, texts))
        input_ids = frame.input_ids.copy()
        for start, ids in zip(frame.starts, texts, strict=True):
            input_ids[start : start + len(ids)] = ids
        return {
            "input_ids": input_ids,
            "attention_mask": frame.attention_mask,
            "token_type_ids": frame.token_type_ids,
        }

    def build_cut(self, *texts: Ids) -> Arrays:
        """Return the same, with texts cut to fit: the longer one first, as Google does it."""
        room = self.room(len(texts))
        lengths = (min(len(texts[0]), room),) if len(texts) == 1 else pair_lengths(len(texts[0]), len(texts[1]), room)
        return self.build(*(self._cut(ids, length) for ids, length in zip(texts, lengths, strict=True)))

    def start(self, number: int, *lengths: int) -> int:
        """Return the position of the first token of a text, by its number, in a row of texts of these lengths."""
        return self._frame(*lengths).starts[number]

    def _cut(self, ids: Ids, length: int) -> Ids:
        return ids[len(ids) - length :] if self._cuts_left else ids[:length]

    def _make_frame(self, *lengths: int) -> _Frame:
        layout = self._layouts[len(lengths) - 1]
        zeros = [[0] * length for length in lengths]
        ids = np.array(layout.ids(*zeros), np.int64)
        types = np.array(layout.type_ids(*zeros), np.int64)
        mask = np.ones(len(ids), np.int64)
        types.setflags(write=False)
        mask.setflags(write=False)
        starts, position = {}, 0
        for piece in layout.pieces:
            if piece.sequence is not None:
                starts[piece.sequence] = position
            position += 1 if piece.sequence is None else lengths[piece.sequence]
        return _Frame(ids, tuple(starts[number] for number in range(len(lengths))), mask, types)


def pair_lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """Return what is left of two texts when the longer one loses tokens until both fit; the second, of equal ones."""
    if first + second <= room:
        return first, second
    if 2 * min(first, second) > room:
        return room - room // 2, room // 2
    return (first, room - first) if first < second else (room - second, second)


def encode_texts(tokenizer: Any, texts: Iterable[str]) -> Iterator[Ids]:
    """Yield the ids of each text, whole and without special tokens."""
    for chunk in chunks(texts, _TEXTS_AT_ONCE):
        yield from (np.array(ids, np.int64) for ids in _encode(tokenizer, chunk)["input_ids"])


def encode_with_offsets(tokenizer: Any, texts: Sequence[str]) -> Iterator[tuple[Ids, NDArray[np.int32]]]:
    """Yield the ids of each text, and start and end of each token in its characters, [tokens, 2]."""
    for chunk in chunks(texts, _TEXTS_AT_ONCE):
        encoding = _encode(tokenizer, chunk, return_offsets_mapping=True)
        for ids, offsets in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
            yield np.array(ids, np.int64), np.array(offsets, np.int32).reshape(len(ids), 2)  # [tokens, 2], none as well


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items, so many at a time."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _encode(tokenizer: Any, texts: list[str], **options: bool) -> Any:
    return tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False,
        **options,
    )  # fmt: skip
