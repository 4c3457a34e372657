"""Rows of ids as a model takes them, of any length, and the batches that they are put together into.

A row is what a model computes at once for one text, one window over a long text, or one question with all its choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.head_options import IGNORED_LABEL

Arrays = dict[str, NDArray[Any]]

INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids``, [length] each, of a choice [choices, length].
        labels: by the names of the model's arguments: a scalar array, or for a label each token [length]; empty where
            the answer is not known.
        example: the number of the example that it belongs to.
    """

    inputs: Mapping[str, NDArray[Any]]
    labels: Mapping[str, NDArray[Any]]
    example: int

    @property
    def length(self) -> int:
        """Tokens of the row; of the longest choice."""
        return int(self.inputs["input_ids"].shape[-1])

    @property
    def tokens(self) -> int:
        """Real tokens of the row, of all choices together."""
        return int(self.inputs["attention_mask"].sum())


def pad_rows(rows: Sequence[Row], *, pad_token_id: int, length: int | None = None) -> tuple[Arrays, Arrays]:
    """Return the inputs and the labels of some rows as batches, filled up on the right.

    Args:
        rows: of one kind; either all have labels or none has.
        pad_token_id: fills up ``input_ids``; 0 fills up the mask and the segments, -100 the labels of tokens.
        length: of the batch; by default that of its longest row.

    Returns:
        Inputs [rows, length] or [rows, choices, length], and labels [rows] or [rows, length].

    Raises:
        ValueError: a row is longer than ``length``, or rows differ in their number of choices.
    """
    longest = max(row.length for row in rows)
    width = longest if length is None else length
    if longest > width:
        raise ValueError(f"a row has {longest} tokens, the batch has room for {width}")
    fills = {"input_ids": pad_token_id}
    inputs = {name: _stack([row.inputs[name] for row in rows], width, fills.get(name, 0)) for name in INPUTS}
    labels = {name: _stack([row.labels[name] for row in rows], width, IGNORED_LABEL) for name in rows[0].labels}
    return inputs, labels


def _stack(arrays: Sequence[NDArray[Any]], width: int, fill: int) -> NDArray[Any]:
    """Scalars -> [rows]; [..., length] each -> [rows, ..., width]."""
    if arrays[0].ndim == 0:
        return np.stack(arrays)
    if len({array.shape[:-1] for array in arrays}) > 1:
        counts = sorted({array.shape[0] for array in arrays})
        raise ValueError(f"rows with {' and '.join(map(str, counts))} choices do not go into one batch")
    whole = np.full((len(arrays), *arrays[0].shape[:-1], width), fill, arrays[0].dtype)
    for target, array in zip(whole, arrays, strict=True):
        target[..., : array.shape[-1]] = array
    return whole
