"""The encoder's layers as a decoder: tokens see those before them, whose keys and values can be kept, and an encoder.

The parts of a layer are those of :mod:`electra_tf.encoder`; what is different lies in the layouts: which tokens may be
attended to, and what is known of earlier ones. The ordinary encoder knows nothing of either.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.outputs import DecoderOutput
from electra_tf.dropout_seeds import seed_generators
from electra_tf.encoder import (
    TFElectraAttention,
    TFElectraIntermediate,
    TFElectraResidualOutput,
    TFElectraSelfAttention,
)
from electra_tf.layout import PaddedLayout

Tensor = Any

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
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        dropout: keras.layers.Dropout,
        return_weights: bool,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend to earlier tokens and these; arguments as in :class:`PaddedLayout`."""
        if self.past:
            key, value = (ops.concatenate(pair, axis=1) for pair in zip(self.past, (key, value), strict=True))
        self.present[:] = key, value
        return super().attend(query, key, value, dropout=dropout, return_weights=return_weights, training=training)


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


class TFElectraCrossAttention(keras.layers.Layer):
    """Attention to the states of an encoder, and its residual output: [batch, length, hidden] -> the same."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.self_attention = TFElectraSelfAttention(config, name="self", dtype=policy)
        self.residual_output = TFElectraResidualOutput(config.hidden_size, config, name="output", dtype=policy)

    def build(self, input_shape: Any) -> None:
        self.self_attention.build(input_shape)
        self.residual_output.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        layout: CrossLayout,
        output_attentions: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        inner = self.self_attention
        key_value = layout.past
        if layout.states is not None and not key_value:
            key_value = tuple(
                _in_heads(projection(layout.states), inner)  # [batch, source, heads, head size]
                for projection in (inner.key, inner.value)
            )
        layout.present[:] = key_value
        context, weights = layout.attend(
            _in_heads(inner.query(hidden_states), inner),  # [batch, length, heads, head size]
            *key_value,
            dropout=inner.dropout,
            return_weights=output_attentions,
            training=training,
        )
        context = ops.reshape(context, ops.shape(hidden_states))  # [batch, length, hidden]
        return self.residual_output(context, hidden_states, training=training), weights


def _in_heads(projected: Tensor, attention: TFElectraSelfAttention) -> Tensor:
    """[batch, tokens, hidden] -> [batch, tokens, heads, head size]."""
    return ops.reshape(projected, (*ops.shape(projected)[:-1], attention.num_attention_heads, attention.head_size))


class TFElectraDecoderLayer(keras.layers.Layer):
    """One layer: attention, attention to an encoder where there is one, then the feed-forward half."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.attention = TFElectraAttention(config, name="attention", dtype=policy)
        self.crossattention: Any = None
        if config.add_cross_attention:
            self.crossattention = TFElectraCrossAttention(config, name="crossattention", dtype=policy)
        self.intermediate = TFElectraIntermediate(config, name="intermediate", dtype=policy)
        self.residual_output = TFElectraResidualOutput(config.intermediate_size, config, name="output", dtype=policy)

    def build(self, input_shape: Any) -> None:
        for part in (self.attention, self.crossattention, self.intermediate, self.residual_output):
            if part is not None:
                part.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        layout: CausalLayout,
        cross_layout: CrossLayout | None = None,
        output_attentions: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        attended, weights = self.attention(
            hidden_states, layout=layout, output_attentions=output_attentions, training=training
        )
        cross_weights = None
        if cross_layout is not None:
            attended, cross_weights = self.crossattention(
                attended, layout=cross_layout, output_attentions=output_attentions, training=training
            )
        return self.residual_output(self.intermediate(attended), attended, training=training), weights, cross_weights


class TFElectraDecoder(keras.layers.Layer):
    """All layers in turn; returns every hidden state and attention map that was asked for, and the cache."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.layer = [
            TFElectraDecoderLayer(config, name=f"layer_{index}", dtype=self.dtype_policy)
            for index in range(config.num_hidden_layers)
        ]
        # TensorFlow's checkpoints do not look into Keras's lists: without a name of its own, no layer would be saved.
        for index, layer in enumerate(self.layer):
            setattr(self, f"layer_{index}", layer)
        self.recomputes = False  # in training, compute each layer again for the gradients instead of keeping it

    def build(self, input_shape: Any) -> None:
        for layer in self.layer:
            layer.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        training: bool | None = None,
    ) -> DecoderOutput:
        past = ops.shape(past_key_values[0][0])[1] if past_key_values else 0
        causal = causal_mask(attention_mask, ops.shape(hidden_states)[1], past)
        bias = PaddedLayout.from_mask(causal, self.compute_dtype).attention_bias
        source_bias = PaddedLayout.from_mask(encoder_attention_mask, self.compute_dtype).attention_bias
        recomputes = bool(self.recomputes and training)
        all_hidden_states = [hidden_states] if output_hidden_states else []
        attentions, cross_attentions, present = [], [], []
        for index, layer in enumerate(self.layer):
            known = past_key_values[index] if past_key_values else ()
            layout, cross_layout = CausalLayout(bias, past=tuple(known[:2])), None
            if encoder_hidden_states is not None or known[2:]:
                cross_layout = CrossLayout(source_bias, states=encoder_hidden_states, past=tuple(known[2:]))
            run = _recomputed if recomputes else _computed
            hidden_states, weights, cross_weights = run(
                layer, hidden_states, layout, cross_layout, output_attentions, training
            )
            if output_hidden_states:  # else a layer's output is free as soon as the next one has read it
                all_hidden_states.append(hidden_states)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
            present.append((*layout.present, *(cross_layout.present if cross_layout else ())))
        attends_encoder = output_attentions and any(weights is not None for weights in cross_attentions)
        return DecoderOutput(
            last_hidden_state=hidden_states,
            past_key_values=None if recomputes else tuple(present),
            hidden_states=tuple(all_hidden_states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
            cross_attentions=tuple(cross_attentions) if attends_encoder else None,
        )


def causal_mask(attention_mask: Tensor | None, length: Any, past: Any, device: Any = None) -> Tensor:
    """Return what each token may attend to: itself and the real ones before it.

    Args:
        attention_mask: [batch, past + length], 1 for real tokens, or None.
        length: how many tokens there are.
        past: how many came before them.
        device: None; the PyTorch twin places the mask with it, TensorFlow does so by itself.

    Returns:
        [batch or 1, length, past + length], true where attending is allowed.

    Raises:
        ValueError: a device is given.
    """
    if device is not None:
        raise ValueError(f"device must be None in TensorFlow, found {device!r}")
    causal = (ops.arange(past + length)[None, :] <= past + ops.arange(length)[:, None])[None]
    if attention_mask is None:
        return causal
    return ops.logical_and(causal, ops.cast(attention_mask, "bool")[:, None, :])


def _computed(
    layer: TFElectraDecoderLayer,
    hidden_states: Tensor,
    layout: CausalLayout,
    cross_layout: CrossLayout | None,
    output_attentions: bool,
    training: bool | None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    found: tuple[Tensor, Tensor | None, Tensor | None] = layer(
        hidden_states,
        layout=layout,
        cross_layout=cross_layout,
        output_attentions=output_attentions,
        training=training,
    )
    return found


def _recomputed(
    layer: TFElectraDecoderLayer,
    hidden_states: Tensor,
    layout: CausalLayout,
    cross_layout: CrossLayout | None,
    output_attentions: bool,
    training: bool | None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Compute a layer, keep only what enters it, and compute the rest again for the gradients.

    The second run must drop what the first one dropped, so both start from the same state of the random numbers.
    Gradients reach only what is handed over as an argument, so the states of an encoder are one.
    """
    generators = seed_generators(layer)
    random_states = [ops.copy(generator.state) for generator in generators]

    def run(hidden_states: Tensor, *states: Tensor) -> Any:
        for generator, state in zip(generators, random_states, strict=True):
            generator.state.assign(state)
        cross = replace(cross_layout, states=states[0], present=[]) if cross_layout and states else cross_layout
        own = replace(layout, present=[])
        result = _computed(layer, hidden_states, own, cross, output_attentions, training)
        return tuple(tensor for tensor in result if tensor is not None)

    states = [cross_layout.states] if cross_layout and cross_layout.states is not None else []
    found = keras.remat(run)(hidden_states, *states)
    result, weights, cross_weights = (*found, None, None)[:3]
    return result, weights, cross_weights
