"""Dropout whose mask is drawn quickly on a CPU and in programs that ``torch.compile`` makes.

On a CPU torch draws one number per value, which takes a tenth of a training step; here sixteen random bits per value
are enough. A compiled program draws four numbers for each that it uses, which on a GPU takes longer than reading and
writing the values; here a hash of the value's index and of a key drawn at every call decides. The probability is
rounded to that many bits, and the kept values are scaled by the rounded one, so the mean is unchanged. Other devices
and traced graphs use torch's own dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from electra_common.pretraining.sampling import KEPT_BITS
from electra_pt.sampling import mix_words

_LEVELS = 1 << 16
_WORDS_OF_A_NUMBER = 4
_HASHES = 1 << 31


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``, quicker on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)


def dropout(values: Tensor, probability: float, training: bool = True) -> Tensor:
    """Return values of which a random part is 0 and the others are scaled to the same mean.

    Args:
        values: of any shape.
        probability: of 0.
        training: otherwise values are returned as they are.
    """
    if not training or probability == 0:
        return values
    dropped = round(probability * _LEVELS)
    if torch.compiler.is_compiling():
        return _dropout_by_hash(values, probability)
    is_traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if values.device.type != "cpu" or is_traced or not 0 < dropped < _LEVELS:
        return F.dropout(values, probability)
    numbers = torch.empty(-(-values.numel() // _WORDS_OF_A_NUMBER), dtype=torch.int64)
    words = numbers.random_(-(1 << 63), None).view(torch.int16)[: values.numel()].view(values.shape)  # one a value
    keeps = words >= dropped - _LEVELS // 2
    return values * keeps.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))


def _dropout_by_hash(values: Tensor, probability: float) -> Tensor:
    """Return :func:`dropout` of values, fewer than 2**31, where each decision is a few operations on one word."""
    dropped = round(probability * _HASHES)
    if not 0 < dropped < _HASHES or values.numel() >= _HASHES:
        return F.dropout(values, probability)
    key = torch.randint(_HASHES - 1, (1,), dtype=torch.int32, device=values.device)
    # The index of each value, shaped as the values are.
    numbers = torch.arange(values.numel(), dtype=torch.int32, device=values.device).view(values.shape)
    keeps = (mix_words(numbers ^ key) & KEPT_BITS) >= dropped
    return torch.where(keeps, values * (_HASHES / (_HASHES - dropped)), 0.0)
