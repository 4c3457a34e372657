"""The transformer encoder of BERT, post-layer-norm, as ELECTRA uses it.

Attribute names are those of the checkpoints. Shapes: hidden_states are [..., hidden]; how the dots are arranged is the
layout's business (:mod:`electra_pt.layout`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from electra_common import ElectraConfig
from electra_pt.activations import activation
from electra_pt.dropout import Dropout
from electra_pt.initialization import Linear
from electra_pt.layout import FirstTokensLayout, PaddedLayout
from electra_pt.normalization import LayerNorm


class ElectraSelfAttention(nn.Module):
    """Queries, keys and values, and attention over them: [..., hidden] -> [..., hidden] of the querying tokens."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.num_attention_heads = config.num_attention_heads
        self.head_size = config.head_size
        self.dropout_probability = config.attention_probs_dropout_prob
        self.is_explicit = config.attn_implementation == "eager"
        self.query = Linear(config.hidden_size, config.hidden_size)
        self.key = Linear(config.hidden_size, config.hidden_size)
        self.value = Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: Tensor,
        query_inputs: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        heads = (*hidden_states.shape[:-1], self.num_attention_heads, self.head_size)
        context, weights = layout.attend(
            self.query(query_inputs).view(*query_inputs.shape[:-1], *heads[-2:]),  # [..., heads, head size]
            self.key(hidden_states).view(heads),
            self.value(hidden_states).view(heads),
            dropout=self.dropout_probability if self.training else 0.0,
            return_weights=output_attentions or self.is_explicit,
        )
        return context.reshape(query_inputs.shape), weights if output_attentions else None  # [..., hidden]


class ElectraResidualOutput(nn.Module):
    """Linear, dropout, then LayerNorm of the sum with the block's input: what ends both halves of a layer."""

    def __init__(self, input_size: int, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = Linear(input_size, config.hidden_size)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dropout(self.dense(hidden_states)) + residual)
        return result


class ElectraAttention(nn.Module):
    """The first half of a layer: self-attention and its residual output."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.self = ElectraSelfAttention(config)
        self.output = ElectraResidualOutput(config.hidden_size, config)

    def forward(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        is_last: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        query_inputs = layout.last_queries(hidden_states) if is_last else hidden_states
        context, weights = self.self(hidden_states, query_inputs, layout, output_attentions)
        return self.output(context, query_inputs), weights


class ElectraIntermediate(nn.Module):
    """Linear and activation: [..., hidden] -> [..., intermediate]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation(config.hidden_act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.dense(hidden_states))


class ElectraLayer(nn.Module):
    """One layer: attention, then the feed-forward half."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.attention = ElectraAttention(config)
        self.intermediate = ElectraIntermediate(config)
        self.output = ElectraResidualOutput(config.intermediate_size, config)

    def forward(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        is_last: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        attended, weights = self.attention(hidden_states, layout, output_attentions, is_last)
        return self.output(self.intermediate(attended), attended), weights


class ElectraEncoder(nn.Module):
    """All layers in turn; returns every hidden state and attention map that was asked for."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(ElectraLayer(config) for _ in range(config.num_hidden_layers))
        self.recomputes = False  # in training, compute each layer again for the gradients instead of keeping it

    def forward(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        all_hidden_states, attentions = [hidden_states] if output_hidden_states else [], []
        # For other layouts the last layer is like all: a compiler makes one program of them.
        ends_early = isinstance(layout, FirstTokensLayout) and not output_hidden_states
        for number, layer in enumerate(self.layer, 1):
            is_last = ends_early and number == len(self.layer)
            if self.recomputes and self.training and torch.is_grad_enabled():
                hidden_states, weights = checkpoint(
                    layer, hidden_states, layout, output_attentions, is_last, use_reentrant=False
                )
            else:
                hidden_states, weights = layer(hidden_states, layout, output_attentions, is_last)
            if output_hidden_states:  # else a layer's output is free as soon as the next one has read it
                all_hidden_states.append(hidden_states)
            attentions.append(weights)
        return (
            hidden_states,
            tuple(all_hidden_states) if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
        )
