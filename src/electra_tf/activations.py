"""Activation functions by the names that configs use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from keras import ops

Tensor = Any  # Keras tensors have no public type


def _gelu(inputs: Tensor) -> Tensor:
    return ops.gelu(inputs, approximate=False)


def _gelu_tanh(inputs: Tensor) -> Tensor:
    return ops.gelu(inputs, approximate=True)


def _gelu_10(inputs: Tensor) -> Tensor:
    return ops.clip(_gelu(inputs), -10.0, 10.0)


def _gelu_fast(inputs: Tensor) -> Tensor:
    # sqrt(2 / pi) rounded as in transformers, whose name this is.
    return 0.5 * inputs * (1.0 + ops.tanh(inputs * 0.7978845608 * (1.0 + 0.044715 * inputs * inputs)))


def _gelu_accurate(inputs: Tensor) -> Tensor:
    return 0.5 * inputs * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * (inputs + 0.044715 * inputs * inputs * inputs)))


def _linear(inputs: Tensor) -> Tensor:
    return inputs


def _quick_gelu(inputs: Tensor) -> Tensor:
    return inputs * ops.sigmoid(1.702 * inputs)


def _relu2(inputs: Tensor) -> Tensor:
    return ops.square(ops.relu(inputs))


def _leaky_relu(inputs: Tensor) -> Tensor:
    return ops.leaky_relu(inputs, negative_slope=0.01)


def _mish(inputs: Tensor) -> Tensor:
    return inputs * ops.tanh(ops.softplus(inputs))


ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {
        "gelu": _gelu,
        "gelu_10": _gelu_10,
        "gelu_accurate": _gelu_accurate,
        "gelu_fast": _gelu_fast,
        "gelu_new": _gelu_tanh,
        "gelu_python": _gelu,
        "gelu_python_tanh": _gelu_tanh,
        "gelu_pytorch_tanh": _gelu_tanh,
        "leaky_relu": _leaky_relu,
        "linear": _linear,
        "mish": _mish,
        "quick_gelu": _quick_gelu,
        "relu": ops.relu,
        "relu2": _relu2,
        "relu6": ops.relu6,
        "sigmoid": ops.sigmoid,
        "silu": ops.silu,
        "swish": ops.silu,
        "tanh": ops.tanh,
    }
)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return an activation function by its name in a config; "gelu" is the exact one (erf), as in Google's code."""
    return ACTIVATIONS[name]
