"""The programs that compute a run together, seen from around the arithmetic: how many, and what they agree on.

What it is for: all of them stop at the same step, and one that fails ends all of them with one message. What it is not:
the frameworks' way to add gradients up, which is in their own ``processes.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class AnotherProcessFailedError(RuntimeError):
    """Another process of the run failed, and tells why."""


def _alone(values: Vector) -> Vector:
    return values


@dataclass(frozen=True)
class Processes:
    """How many processes (or replicas) compute a run together, and which of them this program drives.

    Attributes:
        count: of all.
        numbers: of this program's.
        add_up: gives the sum of a vector over all programs, which wait for each other there.
    """

    count: int = 1
    numbers: tuple[int, ...] = (0,)
    add_up: Callable[[Vector], Vector] = _alone

    @property
    def is_first(self) -> bool:
        """Whether this program logs, saves and speaks for all."""
        return 0 in self.numbers

    @property
    def has_others(self) -> bool:
        """Whether there are other programs than this."""
        return len(self.numbers) < self.count

    def gather(self, value: float) -> list[float]:
        """Return a value of each program, for each of its processes."""
        values = np.zeros(self.count)
        values[list(self.numbers)] = value
        return [float(found) for found in self.add_up(values)] if self.has_others else values.tolist()

    def anywhere(self, flag: bool) -> bool:
        """Whether a flag is set in any program."""
        return any(self.gather(float(flag)))

    def check_alike(self, facts: Mapping[str, Any]) -> None:
        """Compare what the programs were started with; all of them come here, with the same names.

        Args:
            facts: JSON values by name.

        Raises:
            ValueError: the programs have different values for a name.
        """
        for name, value in facts.items():
            if (other := self.find_other(json.dumps(value, sort_keys=True).encode())) is not None:
                raise ValueError(
                    f"{name}: process {other} was started with another value than process 0; start all with the same "
                    "arguments and data"
                )

    def find_other(self, content: bytes) -> int | None:
        """Return the first process that has something else than process 0; all programs come here."""
        if not self.has_others:
            return None
        found = self.gather(int.from_bytes(hashlib.sha256(content).digest()[:6], "big"))  # a float64 holds 48 bits
        return next((number for number in range(self.count) if found[number] != found[0]), None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let what fails in one program fail in all of them, when all have come to the end of the block.

        Raises:
            AnotherProcessFailedError: in all but the first that failed, which raises what it met.
        """
        error = None
        try:
            yield
        except Exception as found:
            error = found
        failed = self.gather(float(error is not None))
        if not any(failed):
            return
        speaker = failed.index(1.0)
        if error is not None and speaker in self.numbers:
            raise error
        raise AnotherProcessFailedError(f"process {speaker} of {self.count} failed, and tells why") from error
