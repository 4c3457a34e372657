"""Where the real tokens of a padded batch go when they are put into one row, without the padding between them.

Sequences are sorted by length, so that those of one length lie side by side: attention then takes each such run as one
dense batch. Plain numbers here; the layouts of both families move tensors by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PADDED_RANK: Final = 2  # [batch, length]; a packed row has one axis
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """Neighbouring sequences of one length: ``sequences * length`` tokens of the row, from ``start`` on."""

    start: int
    sequences: int
    length: int

    @property
    def stop(self) -> int:
        """Where the next run starts."""
        return self.start + self.sequences * self.length


@dataclass(eq=False)  # not frozen: torch.compile looks at all that is in a frozen one, at what it does not need too
class Packing:
    """The way between [batch, length] and one row of tokens.

    Attributes:
        shape: (batch, length) of the padded arrangement.
        index: [tokens], the place of each token of the row in the padded batch, counted row by row.
        first: [batch], where in the row each sequence's first token stands.
        runs: the sequences of the row, neighbours of one length together.
    """

    shape: tuple[int, int]
    index: Numbers
    first: Numbers
    runs: tuple[Run, ...]

    @property
    def positions(self) -> Numbers:
        """[tokens], each token's column in the padded batch, which is its position."""
        return self.index % self.shape[1]

    @property
    def starts(self) -> Numbers:
        """[sequences], where in the row each sequence starts, in the order of the row."""
        return np.sort(self.first)

    @property
    def order(self) -> Numbers:
        """[batch], which sequence of the row each sequence of the batch is."""
        return np.searchsorted(self.starts, self.first)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """[batch, length], true for real tokens."""
        mask = np.zeros(self.shape[0] * self.shape[1], bool)
        mask[self.index] = True
        return mask.reshape(self.shape)


def pack_mask(attention_mask: NDArray[Any]) -> Packing:
    """Return the packing of a padded batch; a row may have padding anywhere.

    Args:
        attention_mask: [..., length], not 0 for real tokens.

    Raises:
        ValueError: a row has no real token.
    """
    mask = attention_mask.reshape(-1, attention_mask.shape[-1]) != 0  # [batch, length]
    lengths = mask.sum(axis=1)
    if not lengths.all():
        raise ValueError(f"row {int(np.argmin(lengths))} has no real token: a packed row has no place for it")
    order = np.argsort(lengths, kind="stable")
    rows, columns = mask[order].nonzero()
    index = order[rows] * mask.shape[1] + columns
    return _packing((mask.shape[0], mask.shape[1]), index.astype(np.int64), lengths[order], order)


def pack_lengths(lengths: Sequence[int]) -> Packing:
    """Return the packing of a row that was put together elsewhere, its sequences in the order given.

    Args:
        lengths: tokens of each sequence.

    Raises:
        ValueError: there is no sequence, or an empty one.
    """
    counts = np.asarray(lengths, np.int64)
    if counts.ndim != 1 or counts.size == 0 or counts.min() < 1:
        raise ValueError(f"lengths must be one or more numbers of at least 1, found {list(lengths)}")
    longest = int(counts.max())
    rows, columns = (np.arange(longest) < counts[:, None]).nonzero()
    return _packing((counts.size, longest), rows * longest + columns, counts, np.arange(counts.size))


def _packing(shape: tuple[int, int], index: Numbers, lengths: Numbers, order: Numbers) -> Packing:
    """``lengths`` and ``order`` are those of the row: its k-th sequence is row ``order[k]`` of the batch."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    first = np.empty(shape[0], np.int64)
    first[order] = starts
    runs, start = [], 0
    for length, members in groupby(lengths.tolist()):
        runs.append(Run(start, len(list(members)), length))
        start = runs[-1].stop
    return Packing(shape, index, first, tuple(runs))


def check_layout(
    layout: object, input_ids: Any, inputs_embeds: Any, attention_mask: object, output_attentions: bool
) -> bool:
    """Return whether inputs are to be packed: they are padded, and there is a packed layout.

    Raises:
        ValueError: inputs are packed without a layout, or arguments do not go together with one.
    """
    shape = _input_shape(input_ids, inputs_embeds)
    if layout is None:
        if shape is not None and len(shape) != PADDED_RANK:
            raise ValueError(f"inputs must be [batch, length], found {list(shape)}: a packed row needs its layout")
        return False
    if attention_mask is not None:
        raise ValueError("the layout says which tokens are real: leave attention_mask out")
    if output_attentions:
        raise ValueError("a packed row has no attention maps: leave layout or output_attentions out")
    return shape is not None and len(shape) == PADDED_RANK


def _input_shape(input_ids: Any, inputs_embeds: Any) -> Any:
    if input_ids is not None:
        return input_ids.shape
    return None if inputs_embeds is None else inputs_embeds.shape[:-1]
