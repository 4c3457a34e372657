"""Windows that overlap, over a row that is longer than a model reads, and which of them knows a token best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def plan_windows(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return start and end of the windows over so many tokens; the last one is moved back to be full."""
    if length <= room:
        return [(0, length)]
    starts = [*range(0, length - room, room - stride), length - room]
    return [(start, start + room) for start in starts]


def context_in_window(length: int, window: tuple[int, int]) -> NDArray[np.float64]:
    """Return for each token of a window its distance from the nearer edge; an end of the text is no edge."""
    start, end = window
    places = np.arange(start, end)
    before = places - start if start > 0 else np.full(places.size, np.inf)
    behind = end - 1 - places if end < length else np.full(places.size, np.inf)
    nearer: NDArray[np.float64] = np.minimum(before, behind).astype(np.float64)
    return nearer
