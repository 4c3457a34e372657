"""Running a model over numpy batches and returning everything it computed as numpy, to compare with another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


@torch.no_grad()
def record_outputs(model: nn.Module, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a model in evaluation mode and return each output, hidden state and attention map by name, in float32.

    Args:
        model: any model of this package.
        batch: arguments of its call, such as ``input_ids`` [batch, length].
    """
    inputs = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}
    output = model.eval()(**inputs, output_attentions=True, output_hidden_states=True, return_dict=True)
    return {name: tensor.float().cpu().numpy() for name, tensor in output.flat().items()}


def set_seed(seed: int) -> None:
    """Fix every random number that this framework draws from here on."""
    torch.manual_seed(seed)
