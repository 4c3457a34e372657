"""LayerNorm whose result has the dtype that the layers after it compute in.

Under autocast torch's own gives float32, which the next layer rounds anyway, so that what lies between layers is
written and read at twice the width. Keras's mixed precision keeps it in half precision, and so does this one. What is
added up inside is float32 in both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm``; under autocast its result has autocast's dtype."""

    def forward(self, input: Tensor) -> Tensor:
        normalised = super().forward(input)
        kind = input.device.type
        return normalised.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else normalised
