"""The next step's batches are made in a thread while one is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Batches = TypeVar("_Batches")


def prefetched(make: Callable[[int], _Batches], first: int, stop: int) -> Iterator[_Batches]:
    """Yield what is made for each step from ``first`` on, before ``stop``; one step is made ahead.

    Args:
        make: gives the batches of a step, by its number.
        first: the first step.
        stop: the step behind the last one.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, first)
        for number in range(first, stop):
            ready = coming
            if number + 1 < stop:
                coming = pool.submit(make, number + 1)
            yield ready.result()
