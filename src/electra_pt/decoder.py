"""The encoder's layers as a decoder: tokens see those before them, whose keys and values can be kept, and an encoder.

The parts of a layer are those of :mod:`electra_pt.encoder`; what is different lies in the layouts: which tokens may be
attended to, and what is known of earlier ones. The ordinary encoder knows nothing of either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from electra_common import ElectraConfig
from electra_common.generation import past_length
from electra_common.outputs import DecoderOutput
from electra_pt.encoder import ElectraAttention, ElectraIntermediate, ElectraResidualOutput, ElectraSelfAttention
from electra_pt.layout import PaddedLayout

# For each layer key and value, [batch, tokens, heads, head size] each; with an encoder, key and value of its states.
Cache = tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True)
class CausalLayout(PaddedLayout):
    """The tokens of one layer of a decoder, behind those that it has seen before.

    Attributes:
        past: key and value of earlier tokens, [batch, past, heads, head size] each, or nothing.
        present: after the call, key and value of all tokens.
    """

    past: tuple[Tensor, ...] = ()
    present: list[Tensor] = field(default_factory=list)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, return_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Attend to earlier tokens and these; arguments as in :class:`PaddedLayout`."""
        if self.past:
            key, value = torch.cat([self.past[0], key], dim=1), torch.cat([self.past[1], value], dim=1)
        self.present[:] = key, value
        return super().attend(query, key, value, dropout=dropout, return_weights=return_weights)


@dataclass(frozen=True)
class CrossLayout(PaddedLayout):
    """What one layer of a decoder sees of an encoder.

    Attributes:
        states: [batch, source, hidden], or None where ``past`` is known.
        past: key and value of the states, [batch, source, heads, head size] each, or nothing.
        present: after the call, key and value of the states.
    """

    states: Tensor | None = None
    past: tuple[Tensor, ...] = ()
    present: list[Tensor] = field(default_factory=list)


class ElectraCrossAttention(nn.Module):
    """Attention to the states of an encoder, and its residual output: [batch, length, hidden] -> the same."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.self = ElectraSelfAttention(config)
        self.output = ElectraResidualOutput(config.hidden_size, config)

    def forward(
        self, hidden_states: Tensor, layout: CrossLayout, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        inner = self.self
        heads = (inner.num_attention_heads, inner.head_size)
        key_value = layout.past
        if layout.states is not None and not key_value:
            key_value = tuple(
                projection(layout.states).unflatten(-1, heads)  # [batch, source, heads, head size]
                for projection in (inner.key, inner.value)
            )
        layout.present[:] = key_value
        context, weights = layout.attend(
            inner.query(hidden_states).unflatten(-1, heads),  # [batch, length, heads, head size]
            *key_value,
            dropout=inner.dropout_probability if self.training else 0.0,
            return_weights=output_attentions or inner.is_explicit,
        )
        attended = self.output(context.flatten(-2), hidden_states)  # [batch, length, hidden]
        return attended, weights if output_attentions else None


class ElectraDecoderLayer(nn.Module):
    """One layer: attention, attention to an encoder where there is one, then the feed-forward half."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.attention = ElectraAttention(config)
        if config.add_cross_attention:
            self.crossattention = ElectraCrossAttention(config)
        self.intermediate = ElectraIntermediate(config)
        self.output = ElectraResidualOutput(config.intermediate_size, config)

    def forward(
        self,
        hidden_states: Tensor,
        layout: CausalLayout,
        cross_layout: CrossLayout | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        attended, weights = self.attention(hidden_states, layout=layout, output_attentions=output_attentions)
        cross_weights = None
        if cross_layout is not None:
            attended, cross_weights = self.crossattention(attended, cross_layout, output_attentions)
        return self.output(self.intermediate(attended), attended), weights, cross_weights


class ElectraDecoder(nn.Module):
    """All layers in turn; returns every hidden state and attention map that was asked for, and the cache."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(ElectraDecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.recomputes = False  # in training, compute each layer again for the gradients instead of keeping it

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> DecoderOutput:
        causal = causal_mask(attention_mask, hidden_states.shape[1], past_length(past_key_values), hidden_states.device)
        own = PaddedLayout.from_mask(causal, hidden_states.dtype)
        blind = None if attention_mask is None else own.blind_queries  # there are some behind padding on the left alone
        source = PaddedLayout.from_mask(encoder_attention_mask, hidden_states.dtype)
        recomputes = self.recomputes and self.training and torch.is_grad_enabled()
        all_hidden_states = [hidden_states] if output_hidden_states else []
        attentions, cross_attentions, present = [], [], []
        for index, layer in enumerate(self.layer):
            known = past_key_values[index] if past_key_values else ()
            layouts: list[CausalLayout | CrossLayout] = [CausalLayout(own.attention_bias, blind, past=known[:2])]
            if encoder_hidden_states is not None or known[2:]:
                layouts.append(
                    CrossLayout(
                        source.attention_bias, source.blind_queries, states=encoder_hidden_states, past=known[2:]
                    )
                )
            if recomputes:
                hidden_states, weights, cross_weights = checkpoint(
                    layer, hidden_states, *layouts, output_attentions=output_attentions, use_reentrant=False
                )
            else:
                hidden_states, weights, cross_weights = layer(
                    hidden_states, *layouts, output_attentions=output_attentions
                )
            if output_hidden_states:  # else a layer's output is free as soon as the next one has read it
                all_hidden_states.append(hidden_states)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
            present.append(tuple(tensor for layout in layouts for tensor in layout.present))
        attends_encoder = output_attentions and any(weights is not None for weights in cross_attentions)
        return DecoderOutput(
            last_hidden_state=hidden_states,
            past_key_values=None if recomputes else tuple(present),
            hidden_states=tuple(all_hidden_states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
            cross_attentions=tuple(cross_attentions) if attends_encoder else None,
        )


def causal_mask(attention_mask: Tensor | None, length: int, past: int, device: torch.device) -> Tensor:
    """Return what each token may attend to: itself and the real ones before it.

    Args:
        attention_mask: [batch, past + length], 1 for real tokens, or None.
        length: how many tokens there are.
        past: how many came before them.
        device: where the mask is to be.

    Returns:
        [batch or 1, length, past + length], true where attending is allowed.
    """
    causal = torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)[None]
    return causal if attention_mask is None else causal & (attention_mask != 0)[:, None, :]
