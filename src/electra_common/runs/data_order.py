"""In which order examples are read: a new order every pass, none repeated or left out, and nothing kept in memory.

Each pass takes its examples through a permutation of their numbers that is computed rather than stored (a Feistel
network, walked until it ends inside the range), so that the example at any place of any step is a function of the seed:
whoever resumes at a step, or computes a share of it, asks for the same rows. Google's code shuffles file names and a
buffer of 100 examples instead.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from electra_common.runs.seeds import philox

_ROUNDS: Final = 6
_PURPOSE: Final = "data order"

Numbers = NDArray[np.int64]


def example_numbers(examples: int, *, seed: int, first: int, count: int) -> Numbers:
    """Return [count] example numbers, those at places ``first`` … of an endless run of passes over all examples.

    Args:
        examples: how many there are.
        seed: of the run.
        first: the place of the first one, 0 at the start of the run.
        count: how many are wanted.

    Raises:
        ValueError: there are no examples.
    """
    if examples < 1:
        raise ValueError(f"there are no examples to read: expected at least 1, found {examples}")
    places = np.arange(first, first + count, dtype=np.int64)
    found = np.empty(count, np.int64)
    for each in np.unique(places // examples).tolist():
        inside = places // examples == each
        found[inside] = permute(places[inside] % examples, examples, seed=seed, number=each)
    return found


def permute(values: Numbers, size: int, *, seed: int, number: int) -> Numbers:
    """Return where a permutation of 0 … size - 1 sends some values; ``number`` says which one of the seed's."""
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = philox(seed, _PURPOSE, number).integers(0, 1 << 32, size=_ROUNDS, dtype=np.uint64)
    result = _feistel(values.astype(np.uint64), half_bits, keys)
    while (outside := result >= size).any():  # the network permutes the next power of 4, so walking on comes back
        result[outside] = _feistel(result[outside], half_bits, keys)
    return result.astype(np.int64)


def _feistel(values: NDArray[np.uint64], half_bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mask = np.uint64((1 << half_bits) - 1)
    left, right = values >> np.uint64(half_bits), values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << np.uint64(half_bits)) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all others (the finaliser of splitmix64); products wrap."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
