"""Sampling the generator's tokens on the device: the bits of :mod:`electra_common.pretraining.sampling` in int32.

Torch multiplies no unsigned words, so words are int32 here: products wrap, and a mask makes a shift a logical one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from electra_common.pretraining.sampling import KEPT_BITS, MULTIPLIERS, SCALE, SHIFTS, SPREAD

DISALLOWED = -1000.0  # what Google's code adds to the score of the true token


def noise_words(seeds: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Return the random words [batch, slots, vocabulary] of a draw, as int32.

    Args:
        seeds: [batch], of each row; what is beyond 32 bits is dropped.
        positions: [batch, slots], in the row.
        vocabulary: how many ids there are.
    """
    keys = mix_words(mix_words(_as_words(seeds))[:, None] + positions.to(torch.int32))  # [batch, slots]
    numbers = torch.arange(1, vocabulary + 1, dtype=torch.int32, device=seeds.device)
    ids = mix_words(numbers * _signed(SPREAD))  # [vocabulary]
    return mix_words(keys[:, :, None] ^ ids)


def gumbel_noise(seeds: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Return standard Gumbel noise [batch, slots, vocabulary] in float32; arguments as in :func:`noise_words`."""
    # In place: the grid is as large as the logits, and on a CPU each new one costs as much as the arithmetic.
    noise = (noise_words(seeds, positions, vocabulary) & KEPT_BITS).float()
    return noise.add_(0.5).mul_(-SCALE).log1p_().neg_().log_().neg_()


@torch.no_grad()
def sample_tokens(
    logits: Tensor, seeds: Tensor, positions: Tensor, *, temperature: float, disallowed: Tensor | None = None
) -> Tensor:
    """Draw a token for each slot from the softmax of its logits: [batch, slots]. No gradient passes.

    Args:
        logits: [batch, slots, vocabulary]; computed with in float32.
        seeds: [batch], of each row.
        positions: [batch, slots], in the row; slots at one position draw alike.
        temperature: the logits are divided by it.
        disallowed: [batch, slots], an id that is not to be drawn.
    """
    scores = gumbel_noise(seeds, positions, logits.shape[-1]).add_(logits.float(), alpha=1 / temperature)
    if disallowed is not None:
        taken_off = torch.full_like(disallowed[..., None], DISALLOWED, dtype=scores.dtype)
        scores = scores.scatter_add_(-1, disallowed[..., None].long(), taken_off)
    return scores.argmax(dim=-1)


def mix_words(words: Tensor) -> Tensor:
    """Mix int32 words so that every bit depends on all others, changing them in place."""
    words ^= _shifted(words, SHIFTS[0])
    for multiplier, shift in zip(MULTIPLIERS, SHIFTS[1:], strict=True):
        words *= _signed(multiplier)
        words ^= _shifted(words, shift)
    return words


def _shifted(words: Tensor, shift: int) -> Tensor:
    return (words >> shift).bitwise_and_((1 << (32 - shift)) - 1)


def _as_words(numbers: Tensor) -> Tensor:
    """Return the lower 32 bits of integers as a new int32 tensor."""
    low = numbers.long() & 0xFFFFFFFF
    return torch.where(low > KEPT_BITS, low - (1 << 32), low).to(torch.int32)


def _signed(word: int) -> int:
    return word - (1 << 32) if word > KEPT_BITS else word
