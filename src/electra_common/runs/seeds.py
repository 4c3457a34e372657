"""Random numbers as a function of (seed, purpose, step, …): never of how many were drawn before."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def derived_seed(seed: int, purpose: str, *numbers: int) -> int:
    """Return 64 random bits for one purpose; other purposes, numbers and seeds give others.

    Args:
        seed: of the run.
        purpose: what the numbers are for, in words.
        *numbers: what tells this draw from others of the purpose: a step, a process, a row.
    """
    text = "/".join([str(seed), purpose, *map(str, numbers)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def philox(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return a generator of numpy's for one purpose, on the counter-based Philox."""
    return np.random.Generator(np.random.Philox(key=derived_seed(seed, purpose, *numbers)))
