"""Weights in oneDNN's own order, for answering on the CPU: faster products for the price of a copy.

Nothing of this is on the ordinary path; a model that was never prepacked knows nothing of it. A compiler packs weights
by itself.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
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
from electra_pt.layout import PaddedLayout
from electra_pt.normalization import LayerNorm

_PACKED: Final = "packed"
_FEW_ROWS: Final = 16
_MEASUREMENTS: Final = 5
_UNDO = "call undo_prepacking(model) first, and prepack_weights(model) again afterwards"


def prepack_weights(model: nn.Module) -> None:
    """Give every linear layer a second copy of its weight, in the order that oneDNN multiplies fastest.

    For inference in float32 on the CPU, most of all of few or short texts; outputs stay the same to rounding. A layer
    of the encoder that has no hooks inside multiplies queries, keys and values at once, with a copy of their own, and
    its products take in GELU and the residual sums. Up to 16 tokens may be multiplied quicker with weights as they lie:
    both are measured here, in a fraction of a second, and the quicker way is taken.
    Parameters, ``state_dict``, hooks and saving stay as they are, and a copy of the model is prepacked too. Under
    autocast, ``torch.compile`` and ``torch.export`` the parameters are used as ever; so they are in the projection to
    the vocabulary, which is the word table.

    Prepacked, a model computes no gradients, and its parameters must not change; :func:`undo_prepacking` ends that.
    Changes through ``parameter.data`` in place are the one kind that cannot be detected.

    Args:
        model: any of this package, or one that contains it; prepacked already, it is prepacked anew.

    Raises:
        ValueError: the model has no linear layer of this package, torch was built without oneDNN, or a weight is not
            float32 on the CPU.
    """
    layers = _linear_layers(model)
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
    fused: list[Any] = []
    for module in model.modules():
        if type(module) in (ElectraLayer, _PrepackedLayer) and _parts_as_built(module):
            module.__class__ = _PrepackedLayer
            module.pack()  # type: ignore[operator]
            fused.append(module)
    for width in {layer.packed_products.width for layer in fused}:  # of several networks each has its own
        _choose_products_of_few([layer for layer in fused if layer.packed_products.width == width])


def undo_prepacking(model: nn.Module) -> None:
    """Drop the copies of :func:`prepack_weights`; a model without any is left as it is."""
    for module in model.modules():
        if isinstance(module, _Packed):
            for name in [name for name in vars(module) if name.startswith(_PACKED)]:
                delattr(module, name)
            module.__class__ = nn.Linear if isinstance(module, nn.Linear) else ElectraLayer  # type: ignore[assignment]


def _linear_layers(model: nn.Module) -> list[Any]:
    """Return the linear layers of modules of this package; others inside of the same model are their owner's."""
    package = __name__.partition(".")[0]
    owners = [
        module
        for module in model.modules()
        if any(base.__module__.partition(".")[0] == package for base in type(module).__mro__)
    ]
    children = dict.fromkeys(child for owner in owners for child in owner.children())
    return [child for child in children if type(child) in (nn.Linear, _PrepackedLinear)]


class _Packed(nn.Module):
    """What holds packed weights, in attributes whose names begin so: they are made anew in a copy."""

    def pack(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith(_PACKED)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.pack()


class _PrepackedLinear(_Packed, nn.Linear):
    """A linear layer that multiplies with a copy of its weight, which no other program can read."""

    packed: Tensor
    packed_from: tuple[int, int]

    def pack(self) -> None:
        self.packed_from = _version_of(self.weight)
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
        if _version_of(self.weight) != self.packed_from:
            raise RuntimeError(f"a weight changed after prepack_weights: {_UNDO}")


class _PrepackedLayer(_Packed, ElectraLayer):
    """A layer of the encoder in six steps where it was twelve, as long as nobody looks at what is inside."""

    packed_inside: _Inside
    packed_products: _Products
    packed_products_of_few: _Products

    def pack(self) -> None:
        self.packed_inside = _Inside(self)
        self.packed_products = self.packed_products_of_few = _Products(self)

    def forward(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        is_last: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        query_inputs = layout.last_queries(hidden_states) if is_last else hidden_states
        if query_inputs is not hidden_states or output_attentions or not self._may_fuse():
            return super().forward(hidden_states, layout, output_attentions, is_last)
        own, shape = self.packed_inside.self_attention, hidden_states.shape
        products = self.packed_products_of_few if shape[:-1].numel() <= _FEW_ROWS else self.packed_products
        heads = (*shape[:-1], 3, own.num_attention_heads, own.head_size)
        context, _ = layout.attend(
            *products.projected(hidden_states).view(heads).unbind(-3),  # [..., heads, head size] each
            dropout=0.0,
            return_weights=own.is_explicit,
        )
        first_norm, second_norm = self.packed_inside.norms
        # [..., heads, head size] -> [..., hidden]
        attended = torch.layer_norm(products.attended(context.reshape(shape), hidden_states), *first_norm)
        return torch.layer_norm(products.narrowed(products.widened(attended), attended), *second_norm), None

    def _may_fuse(self) -> bool:
        """Whether the steps come to what the modules inside would come to, and none of these is looked at."""
        if self.training or torch.is_grad_enabled() or _uses_parameters():
            return False
        if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
            return False
        return self.packed_inside.is_as_packed()


class _Inside:
    """What a fused layer goes past, watched: modules, parameters and hooks.

    This is asked in every layer of every call, so what is to be compared is at hand: in a short sentence, looking it up
    by the names of modules took a tenth of the time.

    Attributes:
        self_attention: the module.
        norms: what ``torch.layer_norm`` takes for both of the layer's.
    """

    def __init__(self, layer: ElectraLayer) -> None:
        self.parts = _parts_as_built(layer)
        linear = [part for part in self.parts if isinstance(part, nn.Linear)]
        norms = self.norm_modules = [part for part in self.parts if isinstance(part, LayerNorm)]
        self.self_attention = layer.attention.self
        self.norms = [(list(norm.normalized_shape), norm.weight, norm.bias, norm.eps) for norm in norms]
        self.tensors = [tensor for part in linear for tensor in part.parameters()]
        self.states = [_version_of(tensor) for tensor in self.tensors]
        holders: list[dict[str, Any]] = [
            *(part._modules for part in (layer, *self.parts)),
            *(part._parameters for part in (*linear, *norms)),
        ]
        self.places = [(holder, name) for holder in holders for name in holder]
        self.held = self._now_held()
        self.hooks = [hooks for part in self.parts for hooks in (part._forward_hooks, part._forward_pre_hooks)]
        self.intermediate = layer.intermediate

    def is_as_packed(self) -> bool:
        """Whether nothing was replaced or changed and no hook is set; a changed weight is refused by its own layer."""
        return (
            tuple(map(type, self.parts)) == _KINDS
            and self.intermediate.activation is activation("gelu")
            and not any(self.hooks)
            and all(map(operator.is_, self._now_held(), self.held))
            and [norm.eps for norm in self.norm_modules] == [norm[-1] for norm in self.norms]
            and [_version_of(tensor) for tensor in self.tensors] == self.states
        )

    def _now_held(self) -> list[object]:
        return [holder.get(name) for holder, name in self.places]


class _Products:
    """The products of a layer, with weights in oneDNN's order."""

    def __init__(self, layer: Any) -> None:
        own = layer.attention.self
        projections = (own.query, own.key, own.value)
        self.weight = self.ordered(torch.cat([part.weight.detach() for part in projections]))  # [3 x hidden, hidden]
        self.bias = torch.cat([part.bias.detach() for part in projections])
        self.width = own.query.in_features
        self.dense = (layer.attention.output.dense, layer.intermediate.dense, layer.output.dense)

    def ordered(self, weight: Tensor) -> Tensor:
        """Return a weight as it is multiplied with."""
        ordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
        return ordered

    def projected(self, hidden_states: Tensor) -> Tensor:
        """Queries, keys and values beside each other: [..., hidden] -> [..., 3 x hidden]."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(hidden_states, self.weight, self.bias, "none", [], "")
        return result

    def attended(self, context: Tensor, residual: Tensor) -> Tensor:
        """The projection of attention's context, and the residual sum: [..., hidden]."""
        return self._plus(self.dense[0], context, residual)

    def widened(self, attended: Tensor) -> Tensor:
        """Linear and GELU: [..., hidden] -> [..., intermediate]."""
        dense = self.dense[1]
        result: Tensor = torch.ops.mkldnn._linear_pointwise(attended, dense.packed, dense.bias, "gelu", [], "none")
        return result

    def narrowed(self, widened: Tensor, residual: Tensor) -> Tensor:
        """Linear and the residual sum: [..., intermediate] -> [..., hidden]."""
        return self._plus(self.dense[2], widened, residual)

    def _plus(self, dense: Any, inputs: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(inputs, residual, dense.packed, dense.bias, "add")
        return result


class _ProductsAsTheyLie(_Products):
    """The same with weights as they lie: on some processors torch's own kernel is quicker where both are small."""

    def ordered(self, weight: Tensor) -> Tensor:
        return weight

    def projected(self, hidden_states: Tensor) -> Tensor:
        return functional.linear(hidden_states, self.weight, self.bias)

    def widened(self, attended: Tensor) -> Tensor:
        dense = self.dense[1]
        return functional.gelu(functional.linear(attended, dense.weight, dense.bias))

    def _plus(self, dense: Any, inputs: Tensor, residual: Tensor) -> Tensor:
        return functional.linear(inputs, dense.weight, dense.bias).add_(residual)


@torch.no_grad()
def _choose_products_of_few(layers: Sequence[Any]) -> None:
    """Measure which products are quicker for few rows on this machine, all layers in turn, and let the layers use them.

    Which one wins depends on processor and size: for a short sentence ELECTRA-Small was 1.3 times as fast prepacked on
    an AMD EPYC, and 0.8 times on an Intel Xeon.
    """
    ways = [layer.packed_products for layer in layers], [_ProductsAsTheyLie(layer) for layer in layers]
    seconds = [[_seconds(products) for products in ways] for _ in range(_MEASUREMENTS)]
    packed, as_they_lie = map(min, zip(*seconds, strict=True))
    if as_they_lie < packed:
        for layer, products in zip(layers, ways[1], strict=True):
            layer.packed_products_of_few = products


def _seconds(products: Sequence[_Products]) -> float:
    states = torch.zeros(_FEW_ROWS // 2, products[0].width, dtype=torch.float32)  # whatever the default is
    started = time.perf_counter()
    for of_layer in products:
        of_layer.projected(states)
        of_layer.narrowed(of_layer.widened(of_layer.attended(states, states)), states)
    return time.perf_counter() - started


_KINDS: Final = (
    *(ElectraAttention, ElectraIntermediate, ElectraResidualOutput, ElectraSelfAttention, ElectraResidualOutput),
    *(Dropout, Dropout, LayerNorm, LayerNorm),
    *(_PrepackedLinear,) * 6,
)


def _parts_as_built(layer: Any) -> tuple[nn.Module, ...]:
    """Return the modules in a layer that a fused step goes past; none where one has another in its place."""
    try:
        attention, intermediate, output = layer.attention, layer.intermediate, layer.output
        own, first = attention.self, attention.output
        linear = (own.query, own.key, own.value, first.dense, intermediate.dense, output.dense)
        norms = (first.LayerNorm, output.LayerNorm)
        parts = (attention, intermediate, output, own, first, first.dropout, output.dropout, *norms, *linear)
    except AttributeError:
        return ()
    return parts if tuple(map(type, parts)) == _KINDS else ()


def _uses_parameters() -> bool:
    """Whether a graph is being recorded, which cannot hold packed weights, or another dtype is asked for."""
    is_recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return is_recorded or torch.is_autocast_enabled("cpu")


def _version_of(weight: Tensor) -> tuple[int, int]:
    """Return what tells whether a weight is still the same: where it is, and how often it was changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
