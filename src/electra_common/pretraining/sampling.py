"""The noise that the generator's tokens are sampled with, stated in numpy: a function of where it is used, and no more.

``argmax(logits / temperature + noise)`` with Gumbel noise draws from the softmax of the logits. Here the noise of a
row, a position and a vocabulary id is a hash of these numbers, so what is drawn depends neither on the number of
processes nor on the framework. :mod:`electra_pt.sampling` and its twin compute the same bits on the device.

The key is the position and not the number of the slot: where masking with replacement points two slots at one position,
both draw the same token, and nothing has to decide between them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# A mixer of 32-bit words: shifts and multipliers of hash-prospector's "lowbias32" (public domain).
SHIFTS: Final = (16, 15, 16)
MULTIPLIERS: Final = (0x7FEB352D, 0x846CA68B)
# 2**32 over the golden ratio: spreads neighbouring ids over all words before they are mixed.
SPREAD: Final = 0x9E3779B9
KEPT_BITS: Final = 0x7FFFFFFF
# 2**-31, one rounding below, so that the largest word gives a number below 1.
SCALE: Final = float.fromhex("0x1.fffffep-32")

Words = NDArray[np.uint32]


def mix_words(words: Words) -> Words:
    """Return 32-bit words, each well mixed: neighbours have nothing in common any more."""
    mixed = words ^ (words >> np.uint32(SHIFTS[0]))
    for multiplier, shift in zip(MULTIPLIERS, SHIFTS[1:], strict=True):
        mixed = mixed * np.uint32(multiplier)
        mixed = mixed ^ (mixed >> np.uint32(shift))
    return mixed


def noise_words(seeds: NDArray[Any], positions: NDArray[Any], vocabulary: int) -> Words:
    """Return the random words [batch, slots, vocabulary] of a draw.

    Args:
        seeds: [batch], of each row; what is beyond 32 bits is dropped.
        positions: [batch, slots], in the row.
        vocabulary: how many ids there are.
    """
    keys = mix_words(mix_words(seeds.astype(np.uint32))[:, None] + positions.astype(np.uint32))  # [batch, slots]
    # From 1 on: the mixer leaves 0 as it is, and seed, position and id may all be 0.
    ids = mix_words(np.arange(1, vocabulary + 1, dtype=np.uint32) * np.uint32(SPREAD))  # [vocabulary]
    return mix_words(keys[:, :, None] ^ ids)


def gumbel_from_words(words: Words) -> NDArray[np.float32]:
    """Return standard Gumbel noise of 31 bits of each word, in float32.

    The upper tail, which decides about the argmax, comes from the smallest words and is resolved to 2**-31.
    """
    below_one = ((words & np.uint32(KEPT_BITS)).astype(np.float32) + np.float32(0.5)) * np.float32(SCALE)
    noise: NDArray[np.float32] = -np.log(-np.log1p(-below_one))
    return noise
