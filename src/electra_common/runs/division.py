"""How a step's batch is divided among processes and micro-batches: evenly, so that their number changes no loss."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Division:
    """How a step's batch is divided.

    Raises:
        ValueError: the batch does not divide evenly.
    """

    batch_size: int
    processes: int = 1
    accumulation: int = 1

    def __post_init__(self) -> None:
        parts = self.processes * self.accumulation
        if self.batch_size % parts:
            raise ValueError(
                f"a batch of {self.batch_size} does not divide into {self.processes} process(es) "
                f"of {self.accumulation} micro-batch(es) each"
            )

    def rows(self, process: int, part: int) -> slice:
        """Return the rows of the batch that a process computes in one of its micro-batches."""
        size = self.batch_size // (self.processes * self.accumulation)
        start = (process * self.accumulation + part) * size
        return slice(start, start + size)
