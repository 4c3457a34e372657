"""Weights in oneDNN's own order, for answering on the CPU: faster products for the price of a copy.

Nothing of this is on the ordinary path; a model that was never prepacked knows nothing of it. A compiler packs weights
by itself and Keras leaves them to TensorFlow, so this file has no twin.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from electra_pt.initialization import Linear

_UNDO = "call undo_prepacking(model) first, and prepack_weights(model) again afterwards"


def prepack_weights(model: nn.Module) -> None:
    """Give every linear layer a second copy of its weight, in the order that oneDNN multiplies fastest.

    For inference in float32 on the CPU, most of all of few or short texts; outputs stay the same to rounding.
    Parameters, ``state_dict``, hooks and saving stay as they are, and a copy of the model is prepacked too. Under
    autocast, ``torch.compile`` and ``torch.export`` the parameters are used as ever; so they are in the projection to
    the vocabulary, which is the word table.

    Prepacked, a model computes no gradients, and its parameters must not change; :func:`undo_prepacking` ends that.
    Changes through ``parameter.data`` in place are the one kind that nobody can see.

    Args:
        model: any of this package, or one that contains it; prepacked already, it is prepacked anew.

    Raises:
        ValueError: the model has no linear layer of this package, torch was built without oneDNN, or a weight is not
            float32 on the CPU.
    """
    layers: list[Any] = [module for module in model.modules() if type(module) in (Linear, _PrepackedLinear)]
    if not layers:
        raise ValueError("prepack_weights expects a model of electra_pt, found one without any of its linear layers")
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise ValueError("prepack_weights needs oneDNN, which this build of torch lacks (torch.backends.mkldnn)")
    for layer in layers:
        if layer.weight.device.type != "cpu" or layer.weight.dtype != torch.float32:
            found = f"{layer.weight.dtype} on {layer.weight.device}"
            raise ValueError(f"prepack_weights expects weights in float32 on the CPU, found {found}")
    for layer in layers:
        layer.__class__ = _PrepackedLinear
        layer.pack()


def undo_prepacking(model: nn.Module) -> None:
    """Drop the copies of :func:`prepack_weights`; a model without any is left as it is."""
    for module in model.modules():
        if type(module) is _PrepackedLinear:
            del module.packed, module.packed_from
            module.__class__ = Linear  # type: ignore[assignment]


class _PrepackedLinear(Linear):
    """A linear layer that multiplies with a copy of its weight, which no other program can read."""

    packed: Tensor
    packed_from: tuple[int, int]

    def pack(self) -> None:
        self.packed_from = _state(self.weight)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        if _uses_parameters():
            return super().forward(inputs)
        if torch.is_grad_enabled() and (inputs.requires_grad or self.weight.requires_grad):
            raise RuntimeError(
                "a model with prepacked weights computes no gradients: call it within torch.inference_mode() or "
                f"torch.no_grad(); to train, {_UNDO}"
            )
        if _state(self.weight) != self.packed_from:
            raise RuntimeError(f"a weight changed after prepack_weights: {_UNDO}")
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return result

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("packed", "packed_from")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.pack()


def _uses_parameters() -> bool:
    """Whether a graph is being recorded, which cannot hold packed weights, or another dtype is asked for."""
    is_recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return is_recorded or torch.is_autocast_enabled("cpu")


def _state(weight: Tensor) -> tuple[int, int]:
    """Return what tells whether a weight is still the same: where it is, and how often it was changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
