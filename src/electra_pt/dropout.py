"""Dropout whose mask is drawn quickly on a CPU, where torch draws it number by number: a tenth of a training step.

Sixteen random bits decide about a value, so the probability is rounded to a multiple of 2**-16; what is kept is scaled
by the rounded one, so that means stay what they were. On other devices, and in graphs, it is torch's own dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16
_BITS = 16
_WORDS_OF_A_NUMBER = 4


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
    is_recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if values.device.type != "cpu" or is_recorded or not 0 < dropped < _LEVELS:
        return F.dropout(values, probability)
    numbers = torch.empty(-(-values.numel() // _WORDS_OF_A_NUMBER), dtype=torch.int64)
    words = numbers.random_(-(1 << 63), None).view(torch.int16)[: values.numel()].view(values.shape)
    keeps = words >= dropped - _LEVELS // 2
    return values * keeps.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))
