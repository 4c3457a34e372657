"""How new weights are drawn: Google's published scheme, the same in both frameworks.

==========================================  ==========================================================
embeddings, linear layers                   normal of ``initializer_range``, cut off at two deviations
``embeddings_project``, the last layer of   Glorot uniform: Google's code leaves these at TensorFlow's
the discriminator's head and of each head   default
for fine-tuning, all of Google's own heads
biases                                      0
LayerNorm                                   1 and 0
the word table's padding row                0 (transformers; it never gets a gradient from the lookup)
==========================================  ==========================================================
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from electra_common import ElectraConfig
from electra_common.head_options import GLOROT_MODULES


class Linear(nn.Linear):
    """Makes a plain ``nn.Linear`` that draws nothing on the meta device, where loading builds models.

    Once it is made it is of torch's own class: quantization and other tools look for that one and no other.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.__class__ = nn.Linear  # type: ignore[assignment]

    def reset_parameters(self) -> None:
        """Draw the weights as torch does, unless there is no memory behind them."""
        if not self.weight.is_meta:
            super().reset_parameters()


class Embedding(nn.Embedding):
    """Makes a plain ``nn.Embedding`` that draws nothing on the meta device.

    Drawing there imports torch's compiler, for over a second.
    """

    def __init__(self, entries: int, width: int, *, padding_idx: int | None = None, **options: Any) -> None:
        super().__init__(entries, width, padding_idx, **options)
        self.__class__ = nn.Embedding  # type: ignore[assignment]

    def reset_parameters(self) -> None:
        """Draw the weights as torch does, unless there is no memory behind them."""
        if not self.weight.is_meta:
            super().reset_parameters()


def draw_rows(table: Tensor, rows: int, deviation: float) -> Tensor:
    """Return a table [rows, width] that starts with the rows of another one and goes on with newly drawn ones."""
    kept = table.detach()[:rows]
    drawn = torch.empty(rows - len(kept), *table.shape[1:], dtype=table.dtype, device=table.device)
    if drawn.numel():
        nn.init.trunc_normal_(drawn, std=deviation, a=-2 * deviation, b=2 * deviation)
    return torch.cat([kept, drawn])


def initialize_weights(model: nn.Module, config: ElectraConfig) -> None:
    """Draw all weights of a model anew, from torch's default generator."""
    for name, module in model.named_modules():
        initialize_module(name.rpartition(".")[2], module, config)


@torch.no_grad()
def initialize_module(name: str, module: nn.Module, config: ElectraConfig) -> None:
    """Draw the weights that a module owns itself; its children are left alone.

    Args:
        name: the last part of the module's name.
        module: a linear layer, an embedding, a LayerNorm or a vocabulary head; others own nothing.
        config: gives ``initializer_range``.
    """
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()
        return
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
    if weight is not None:
        if name in GLOROT_MODULES:
            nn.init.xavier_uniform_(weight)
        else:
            deviation = config.initializer_range
            nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    if bias is not None:
        bias.zero_()
    if isinstance(module, nn.Embedding) and module.padding_idx is not None and weight is not None:
        weight[module.padding_idx].zero_()
