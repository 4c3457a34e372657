"""What each process computes in each step: rows of the shards, masked, cut into equal parts.

Which rows make a step, how they are masked and how they count is a function of (seed, step) and of the place in the
batch. Processes and micro-batches only divide it, so their number changes no loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_common.pretraining.masking import MaskingRules, mask_rows
from electra_common.pretraining.shards import ExampleShards
from electra_common.runs.data_order import example_numbers
from electra_common.runs.division import Division
from electra_common.runs.prefetch import prefetched
from electra_common.runs.seeds import derived_seed

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at once.

    Attributes:
        inputs: arguments of the model's call, [rows, ...].
        generator_share: how much of the whole step's masked tokens are here, 0 … 1. The model's losses are means over
            the rows it is given; weighed by their shares, they add up to the means of the whole step.
        discriminator_share: the same of real tokens.
        step_tokens: real tokens of the whole step, over all processes.
    """

    inputs: Arrays
    generator_share: float
    discriminator_share: float
    step_tokens: int


class PretrainingBatches:
    """The batches of a run, for one process.

    Args:
        shards: the examples.
        rules: how they are masked.
        seed: of the run.
        division: how each batch is divided.
        processes: the numbers of the processes whose parts are wanted: one, or several where one program drives many.
    """

    def __init__(
        self, shards: ExampleShards, rules: MaskingRules, *, seed: int, division: Division, processes: Sequence[int]
    ) -> None:
        self._shards, self._rules, self._seed = shards, rules, seed
        self._division, self._processes = division, processes

    def step(self, step: int) -> list[list[MicroBatch]]:
        """Return the micro-batches of a step, a list for each process in turn."""
        size = self._division.batch_size
        numbers = example_numbers(len(self._shards), seed=self._seed, first=step * size, count=size)
        masked = mask_rows(self._shards.rows(numbers), self._rules, seed=self._seed, step=step, first_row=0)
        totals = _weights(masked)
        return [
            [
                _micro_batch(masked, self._division.rows(process, part), totals)
                for part in range(self._division.accumulation)
            ]
            for process in self._processes
        ]

    def steps(self, first: int, stop: int) -> Iterator[list[list[MicroBatch]]]:
        """Return the steps from ``first`` on; the next one is prepared in a thread while one is computed."""
        return prefetched(self.step, first, stop)


def evaluation_batches(
    shards: ExampleShards, rules: MaskingRules, *, seed: int, batch_size: int, examples: int
) -> Iterator[Arrays]:
    """Yield the first examples of the held-out part in batches of one size, masked the same way every time.

    The last batch is filled up with examples of weight 0: their ``attention_mask`` and ``masked_weights`` are 0.
    """
    evaluation_seed = derived_seed(seed, "evaluation")
    count = min(examples, len(shards))
    for start in range(0, count, batch_size):
        numbers = np.arange(start, start + batch_size, dtype=np.int64)
        masked = mask_rows(shards.rows(numbers % len(shards)), rules, seed=evaluation_seed, step=0, first_row=start)
        for name in ("attention_mask", "masked_weights"):
            masked[name][numbers >= count] = 0
        yield masked


def _weights(masked: Arrays) -> tuple[float, int]:
    return float(masked["masked_weights"].sum()), int(masked["attention_mask"].sum())


def _micro_batch(masked: Arrays, rows: slice, totals: tuple[float, int]) -> MicroBatch:
    inputs = {name: array[rows] for name, array in masked.items()}
    slots, tokens = _weights(inputs)
    return MicroBatch(inputs, slots / max(totals[0], 1.0), tokens / totals[1], totals[1])
