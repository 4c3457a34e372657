"""Rows of like length together: in batches as long as their longest row, or of a few fixed shapes for a compiler.

Plain numpy: which rows make a batch, how they are cut, and where their outputs go. Running the model is
:mod:`electra_pt.bucketing` and its twin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

DEFAULT_BOUNDARIES: Final = (16, 32, 64, 128, 256, 512)
_ONE_OUTPUT_A_ROW: Final = ("ElectraForSequenceClassification",)


@dataclass(frozen=True)
class Bucket:
    """One batch: the numbers of its rows, and the length that they are cut or filled up to."""

    rows: NDArray[np.int64]
    length: int


def plan_buckets(lengths: NDArray[np.int64], boundaries: Sequence[int] | None, batch_size: int) -> Iterator[Bucket]:
    """Yield the batches that together hold every row once, short rows first.

    Args:
        lengths: [rows], up to where each row has real tokens.
        boundaries: the lengths of batches, ascending; None for batches as long as their longest row.
        batch_size: the most rows of a batch.

    Raises:
        ValueError: boundaries do not ascend, a number is below 1, or a row is longer than the last boundary.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1, found {batch_size}")
    if boundaries is None:
        yield from _plan_by_length(lengths, batch_size)
        return
    if not boundaries or min(boundaries) < 1 or list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"expected ascending boundaries of at least 1, found {list(boundaries)}")
    if lengths.size and lengths.max() > boundaries[-1]:
        raise ValueError(f"a row has {lengths.max()} tokens, but the last boundary is {boundaries[-1]}")
    bucket_of = np.searchsorted(np.asarray(boundaries), lengths)
    for number, length in enumerate(boundaries):
        members = np.flatnonzero(bucket_of == number)
        for start in range(0, members.size, batch_size):
            yield Bucket(members[start : start + batch_size], length)


def _plan_by_length(lengths: NDArray[np.int64], batch_size: int) -> Iterator[Bucket]:
    order = np.argsort(lengths, kind="stable")
    for start in range(0, order.size, batch_size):
        members = order[start : start + batch_size]
        yield Bucket(members, max(1, int(lengths[members[-1]])))


def plan_full_batches(lengths: NDArray[np.int64], most_tokens: int) -> Iterator[Bucket]:
    """Yield batches that hold every row once, short rows first, each with as many rows as the tokens allow.

    Args:
        lengths: [rows], tokens of each row.
        most_tokens: rows of a batch times its longest row; a longer row is a batch by itself.
    """
    order = np.argsort(lengths, kind="stable")
    ascending, start = lengths[order], 0
    while start < order.size:
        longest = ascending[start : start + max(1, most_tokens)]  # no batch has more rows than tokens
        tokens = longest * np.arange(1, longest.size + 1)
        stop = start + max(1, int(np.searchsorted(tokens, most_tokens, side="right")))
        yield Bucket(order[start:stop], max(1, int(ascending[stop - 1])))
        start = stop


def real_lengths(inputs: Arrays) -> NDArray[np.int64]:
    """Return [rows], one more than the column of each row's last real token.

    Raises:
        ValueError: there is no ``attention_mask``, or an input is not [rows, length].
    """
    if "attention_mask" not in inputs:
        raise ValueError("attention_mask is needed to tell which rows are short")
    shape = inputs["attention_mask"].shape
    if wrong := {name: array.shape for name, array in inputs.items() if len(shape) != 2 or array.shape[:2] != shape}:
        raise ValueError(f"every input must be [rows, length] as the mask is, {list(shape)}; found {wrong}")
    columns = np.arange(1, shape[1] + 1)
    lengths: NDArray[np.int64] = np.where(inputs["attention_mask"] != 0, columns, 0).max(axis=1, initial=0)
    return lengths


def cut_batch(inputs: Arrays, bucket: Bucket, batch_size: int) -> dict[str, NDArray[Any]]:
    """Return a batch of exactly [batch size, bucket length]; too few rows are filled up with the first one again."""
    filled = np.full(batch_size, bucket.rows[0])
    filled[: bucket.rows.size] = bucket.rows
    batch = {}
    for name, array in inputs.items():
        rows = array[filled, : bucket.length]
        missing = bucket.length - rows.shape[1]
        batch[name] = np.pad(rows, [(0, 0), (0, missing), *[(0, 0)] * (rows.ndim - 2)])
    return batch


class BucketedOutputs:
    """Puts the outputs of batches together again, [rows, ...] in the order of the inputs, 0 where padding was cut."""

    def __init__(self, architecture: str, rows: int, length: int) -> None:
        self.is_per_token = architecture not in _ONE_OUTPUT_A_ROW
        self.shape = (rows, length)
        self.outputs: dict[str, NDArray[Any]] = {}

    def place(self, bucket: Bucket, outputs: Arrays) -> None:
        """Take a batch's outputs, [batch size, bucket length, ...] or [batch size, ...]."""
        for name, output in outputs.items():
            if name not in self.outputs:
                leading = self.shape if self.is_per_token else self.shape[:1]
                self.outputs[name] = np.zeros((*leading, *output.shape[len(leading) :]), output.dtype)
            whole, found = self.outputs[name], output[: bucket.rows.size]
            if self.is_per_token:
                width = min(bucket.length, self.shape[1])
                whole[bucket.rows, :width] = found[:, :width]
            else:
                whole[bucket.rows] = found
