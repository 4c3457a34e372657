"""Position embeddings to start from: drawn like all others, or sines and cosines, which are learned on from there.

Drawn ones tell nothing of which positions are neighbours, and a network has to find that out before it can use any
context. That is cheap among billions of tokens and takes most of a run of an hour.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

STARTS: Final = ("drawn", "sinusoidal")
_LONGEST_WAVE: Final = 10_000.0


def sinusoidal_positions(count: int, width: int, deviation: float) -> NDArray[np.float32]:
    """Return [count, width] sines and cosines of waves from 2 pi to 10,000 times that (Vaswani et al., 2017).

    Args:
        count: positions.
        width: of the embeddings.
        deviation: root mean square of all values, so that they count as much as drawn ones.
    """
    frequencies = _LONGEST_WAVE ** (-np.arange(0, width, 2) / width)  # [half width]
    angles = np.arange(count)[:, None] * frequencies  # [count, half width]
    table: NDArray[Any] = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(count, -1)[:, :width]
    scaled: NDArray[np.float32] = (table * (deviation / np.sqrt(np.square(table).mean()))).astype(np.float32)
    return scaled
