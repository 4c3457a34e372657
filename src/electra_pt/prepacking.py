"""Weights in oneDNN's own order, for answering on the CPU: faster products for the price of a copy.

Nothing of this is on the ordinary path; a model that was never prepacked knows nothing of it. A compiler packs weights
by itself.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from electra_pt.activations import activation
from electra_pt.dropout import Dropout
from electra_pt.encoder import (
    ElectraAttention,
    ElectraIntermediate,
    ElectraLayer,
    ElectraResidualOutput,
    ElectraSelfAttention,
)
from electra_pt.initialization import Linear
from electra_pt.layout import PaddedLayout

_PACKED: Final = "packed"
_UNDO = "call undo_prepacking(model) first, and prepack_weights(model) again afterwards"


def prepack_weights(model: nn.Module) -> None:
    """Give every linear layer a second copy of its weight, in the order that oneDNN multiplies fastest.

    For inference in float32 on the CPU, most of all of few or short texts; outputs stay the same to rounding. A layer
    of the encoder that has no hooks inside multiplies queries, keys and values at once, with a copy of their own, and
    its products take in GELU and the residual sums.
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
    for module in model.modules():
        if type(module) in (ElectraLayer, _PrepackedLayer) and _parts_as_built(module):
            module.__class__ = _PrepackedLayer
            module.pack()  # type: ignore[operator]


def undo_prepacking(model: nn.Module) -> None:
    """Drop the copies of :func:`prepack_weights`; a model without any is left as it is."""
    for module in model.modules():
        if isinstance(module, _Packed):
            for name in [name for name in vars(module) if name.startswith(_PACKED)]:
                delattr(module, name)
            module.__class__ = Linear if isinstance(module, Linear) else ElectraLayer  # type: ignore[assignment]


class _Packed(nn.Module):
    """What holds packed weights, in attributes whose names begin so: they are made anew in a copy."""

    def pack(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith(_PACKED)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.pack()


class _PrepackedLinear(_Packed, Linear):
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
        self.check()
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return result

    def check(self) -> None:
        """Raise RuntimeError if the weight is not the one that was packed."""
        if _state(self.weight) != self.packed_from:
            raise RuntimeError(f"a weight changed after prepack_weights: {_UNDO}")

    def with_gelu(self, inputs: Tensor) -> Tensor:
        self.check()
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "gelu", [], "none")
        return result

    def plus(self, inputs: Tensor, residual: Tensor) -> Tensor:
        self.check()
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(inputs, residual, self.packed, self.bias, "add")
        return result


class _PrepackedLayer(_Packed, ElectraLayer):
    """A layer of the encoder in six steps where it was twelve, as long as nobody looks at what is inside."""

    packed: Tensor
    packed_bias: Tensor
    packed_bias_from: tuple[tuple[int, int], ...]

    def pack(self) -> None:
        projections = self._projections()
        weight = torch.cat([projection.weight.detach() for projection in projections])  # [3 x hidden, hidden]
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        self.packed_bias = torch.cat([projection.bias.detach() for projection in projections])
        self.packed_bias_from = self._biases()

    def forward(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        is_last: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        asking = layout.last_queries(hidden_states) if is_last else hidden_states
        if asking is not hidden_states or output_attentions or not self._may_fuse():
            return super().forward(hidden_states, layout, output_attentions, is_last)
        attention, first, second = self.attention.self, self.attention.output, self.output
        for projection in self._projections():
            projection.check()
        heads = (*hidden_states.shape[:-1], 3, attention.num_attention_heads, attention.head_size)
        projected = torch.ops.mkldnn._linear_pointwise(hidden_states, self.packed, self.packed_bias, "none", [], "")
        gathered, _ = layout.attend(
            *projected.view(heads).unbind(-3),  # [..., heads, head size] each
            dropout=0.0,
            return_weights=attention.is_explicit,
        )
        attended = first.LayerNorm(_packed(first).plus(gathered.reshape(hidden_states.shape), hidden_states))
        widened = _packed(self.intermediate).with_gelu(attended)  # [..., intermediate]
        return second.LayerNorm(_packed(second).plus(widened, attended)), None

    def _may_fuse(self) -> bool:
        """Whether the steps come to what the modules inside would come to, and none of these is looked at."""
        if self.training or torch.is_grad_enabled() or _uses_parameters():
            return False
        parts = _parts_as_built(self)
        if not parts or torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
            return False
        if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
            return False
        return self.intermediate.activation is activation("gelu") and self._biases() == self.packed_bias_from

    def _projections(self) -> tuple[Any, Any, Any]:
        attention = self.attention.self
        return attention.query, attention.key, attention.value

    def _biases(self) -> tuple[tuple[int, int], ...]:
        return tuple(_state(projection.bias) for projection in self._projections())


_KINDS: Final = (
    *(ElectraAttention, ElectraIntermediate, ElectraResidualOutput, ElectraSelfAttention, ElectraResidualOutput),
    *(Dropout, Dropout),
    *(_PrepackedLinear,) * 6,
)


def _parts_as_built(layer: Any) -> tuple[nn.Module, ...]:
    """Return the modules in a layer that a fused step goes past; none where one has another in its place."""
    try:
        attention, intermediate, output = layer.attention, layer.intermediate, layer.output
        own, first = attention.self, attention.output
        linear = (own.query, own.key, own.value, first.dense, intermediate.dense, output.dense)
        parts = (attention, intermediate, output, own, first, first.dropout, output.dropout, *linear)
    except AttributeError:
        return ()
    return parts if tuple(map(type, parts)) == _KINDS else ()


def _packed(part: nn.Module) -> _PrepackedLinear:
    dense: _PrepackedLinear = part.dense  # type: ignore[assignment]
    return dense


def _uses_parameters() -> bool:
    """Whether a graph is being recorded, which cannot hold packed weights, or another dtype is asked for."""
    is_recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return is_recorded or torch.is_autocast_enabled("cpu")


def _state(weight: Tensor) -> tuple[int, int]:
    """Return what tells whether a weight is still the same: where it is, and how often it was changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
