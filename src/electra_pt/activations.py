"""Activation functions by the names that configs use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F


def _gelu_tanh(inputs: Tensor) -> Tensor:
    return F.gelu(inputs, approximate="tanh")


def _gelu_10(inputs: Tensor) -> Tensor:
    return F.gelu(inputs).clamp(-10.0, 10.0)


def _gelu_fast(inputs: Tensor) -> Tensor:
    # sqrt(2 / pi) rounded as in transformers, whose name this is.
    return 0.5 * inputs * (1.0 + torch.tanh(inputs * 0.7978845608 * (1.0 + 0.044715 * inputs * inputs)))


def _gelu_accurate(inputs: Tensor) -> Tensor:
    return 0.5 * inputs * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (inputs + 0.044715 * inputs**3)))


def _linear(inputs: Tensor) -> Tensor:
    return inputs


def _quick_gelu(inputs: Tensor) -> Tensor:
    return inputs * torch.sigmoid(1.702 * inputs)


def _relu2(inputs: Tensor) -> Tensor:
    return F.relu(inputs).square()


def _leaky_relu(inputs: Tensor) -> Tensor:
    return F.leaky_relu(inputs, 0.01)


ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {
        "gelu": F.gelu,
        "gelu_10": _gelu_10,
        "gelu_accurate": _gelu_accurate,
        "gelu_fast": _gelu_fast,
        "gelu_new": _gelu_tanh,
        "gelu_python": F.gelu,
        "gelu_python_tanh": _gelu_tanh,
        "gelu_pytorch_tanh": _gelu_tanh,
        "leaky_relu": _leaky_relu,
        "linear": _linear,
        "mish": F.mish,
        "quick_gelu": _quick_gelu,
        "relu": F.relu,
        "relu2": _relu2,
        "relu6": F.relu6,
        "sigmoid": torch.sigmoid,
        "silu": F.silu,
        "swish": F.silu,
        "tanh": torch.tanh,
    }
)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return an activation function by its name in a config; "gelu" is the exact one (erf), as in Google's code."""
    return ACTIVATIONS[name]
