"""What each process computes in each update of fine-tuning: rows in a new order every pass, cut into equal parts.

Which rows make an update is a function of (seed, step) and of nothing else: whoever resumes at a step, or computes a
share of it, asks for the same rows. Where rows are grouped by length, those of up to 16 updates of one pass are put in
order by length, cut into as many batches, and the batches take turns at random; so each pass has every row once. The
batch that begins in one pass and ends in the next is left as it is: in one order of two passes a row stands beside
itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.head_options import IGNORED_LABEL
from electra_common.runs.data_order import example_numbers
from electra_common.runs.division import Division
from electra_common.runs.prefetch import prefetched
from electra_common.runs.seeds import philox
from electra_common.tasks.features.rows import Arrays, Row, pad_rows

_POOL: Final = 16  # batches


@dataclass(frozen=True)
class FineTuningBatch:
    """What one process computes at once.

    Attributes:
        inputs: ``input_ids``, ``attention_mask``, ``token_type_ids``: [rows, length] or [rows, choices, length].
        labels: by the names of the model's arguments, [rows] or [rows, length].
        weights: how much each label counts, shaped as the labels are; None where all count alike.
        share: how much of the whole update's labels is here, 0 … 1. Losses are means over what is labelled; weighed by
            their shares, they add up to the mean of the whole update.
        step_tokens: real tokens of the whole update, over all processes.
    """

    inputs: Arrays
    labels: Arrays
    weights: NDArray[np.float32] | None
    share: float
    step_tokens: int


class FineTuningBatches:
    """The batches of a run, for one process.

    Args:
        rows: with labels.
        seed: of the run.
        division: how each batch is divided among processes and micro-batches.
        processes: the numbers of those whose parts are wanted.
        pad_token_id: fills rows up.
        group_by_length: rows of like length together.
        class_weights: of each class, in the order of their numbers; None where all labels count alike.

    Raises:
        ValueError: there is no row.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        seed: int,
        division: Division,
        processes: Sequence[int],
        pad_token_id: int,
        group_by_length: bool = True,
        class_weights: NDArray[np.float32] | None = None,
    ) -> None:
        if not rows:
            raise ValueError("there is no example to train on")
        self._rows, self._seed, self._division, self._processes = rows, seed, division, processes
        self._pad_token_id, self._group_by_length = pad_token_id, group_by_length
        self._class_weights = class_weights
        self._lengths = np.array([row.length for row in rows])

    def steps_for(self, epochs: float) -> int:
        """Return how many updates so many passes take, at least 1."""
        return max(1, math.ceil(len(self._rows) * epochs / self._division.batch_size))

    def ends_epoch(self, updates: int) -> bool:
        """Whether a pass over the rows ends in the last of so many updates."""
        size, rows = self._division.batch_size, len(self._rows)
        return updates * size // rows > (updates - 1) * size // rows

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of the rows of an update, [batch size]."""
        size = self._division.batch_size
        if not self._group_by_length:
            return example_numbers(len(self._rows), seed=self._seed, first=step * size, count=size)
        first, updates = self._pool(step)
        found = example_numbers(len(self._rows), seed=self._seed, first=first * size, count=updates * size)
        ordered = found[np.argsort(self._lengths[found], kind="stable")]
        turns = philox(self._seed, "batch order", first).permutation(updates)
        start = int(turns[step - first]) * size
        return ordered[start : start + size]

    def step(self, step: int) -> list[list[FineTuningBatch]]:
        """Return the micro-batches of an update, a list for each process in turn."""
        rows = [self._rows[number] for number in self.numbers(step)]
        tokens = sum(row.tokens for row in rows)
        whole = self._label_count(rows)
        return [
            [
                self._part(rows[self._division.rows(process, part)], whole, tokens)
                for part in range(self._division.accumulation)
            ]
            for process in self._processes
        ]

    def steps(self, first: int, stop: int) -> Iterator[list[list[FineTuningBatch]]]:
        """Return the updates from ``first`` on; the next one is prepared in a thread while one is computed."""
        return prefetched(self.step, first, stop)

    def _pool(self, step: int) -> tuple[int, int]:
        """Return the first of the updates whose rows are put in order together with those of one, and their number."""
        size, rows = self._division.batch_size, len(self._rows)
        number = step * size // rows  # of the pass that the update begins in
        first, stop = -(-number * rows // size), (number + 1) * rows // size  # updates that lie in the pass as a whole
        if step >= stop:
            return step, 1
        first += (step - first) // _POOL * _POOL
        return first, min(_POOL, stop - first)

    def _part(self, rows: Sequence[Row], whole: float, tokens: int) -> FineTuningBatch:
        inputs, labels = pad_rows(rows, pad_token_id=self._pad_token_id)
        weights = self._weights(labels)
        return FineTuningBatch(inputs, labels, weights, self._label_count(rows) / max(whole, 1e-9), tokens)

    def _weights(self, labels: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
        if self._class_weights is None:
            return None
        numbers = labels["labels"]
        return np.where(numbers == IGNORED_LABEL, np.float32(0), self._class_weights[np.maximum(numbers, 0)])

    def _label_count(self, rows: Sequence[Row]) -> float:
        """Return what the means of losses divide by: labels, or the weights of their classes."""
        if "labels" not in rows[0].labels or rows[0].labels["labels"].dtype.kind == "f":
            return float(len(rows))
        numbers = np.concatenate([np.atleast_1d(row.labels["labels"]) for row in rows])
        numbers = numbers[numbers != IGNORED_LABEL]
        return float(numbers.size if self._class_weights is None else self._class_weights[numbers].sum())


def balanced_class_weights(rows: Sequence[Row], classes: int) -> NDArray[np.float32]:
    """Return for each class by how much its labels are rarer than in a set where all classes are as frequent.

    The weights that scikit-learn calls ``balanced``: labels / (classes * labels of the class). A class that does not
    occur has weight 0.

    Args:
        rows: with labels of classes.
        classes: how many there are.
    """
    numbers = np.concatenate([np.atleast_1d(row.labels["labels"]) for row in rows])
    counts = np.bincount(numbers[numbers != IGNORED_LABEL], minlength=classes)
    weights = counts.sum() / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)
