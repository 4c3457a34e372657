"""The transformer encoder of BERT, post-layer-norm, as ELECTRA uses it.

Layer names are those of Google's checkpoints. Shapes: hidden_states are [..., hidden]; how the dots are arranged is the
layout's business (:mod:`electra_tf.layout`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.packing import PADDED_RANK
from electra_tf.activations import activation
from electra_tf.dropout_seeds import seed_generators
from electra_tf.initialization import linear
from electra_tf.layout import PaddedLayout
from electra_tf.programs import LayerProgram, leading_sizes

Tensor = Any


class TFElectraSelfAttention(keras.layers.Layer):
    """Queries, keys and values, and attention over them: [..., hidden] -> [..., hidden] of the querying tokens."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.num_attention_heads = config.num_attention_heads
        self.head_size = config.head_size
        self.query = linear(config, config.hidden_size, "query", self.dtype_policy)
        self.key = linear(config, config.hidden_size, "key", self.dtype_policy)
        self.value = linear(config, config.hidden_size, "value", self.dtype_policy)
        self.dropout = keras.layers.Dropout(config.attention_probs_dropout_prob, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        for projection in (self.query, self.key, self.value):
            projection.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        query_inputs: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        query, key, value = self._projected(hidden_states, query_inputs)  # [..., heads, head size] each
        context, weights = layout.attend(
            query, key, value, dropout=self.dropout, return_weights=output_attentions, training=training
        )
        width = self.num_attention_heads * self.head_size
        return ops.reshape(context, (*leading_sizes(query_inputs), width)), weights  # [..., hidden]

    def _projected(self, hidden_states: Tensor, query_inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[..., hidden] -> queries, keys and values [..., heads, head size]."""
        heads = (self.num_attention_heads, self.head_size)
        sizes = leading_sizes(hidden_states)
        return (
            ops.reshape(self.query(query_inputs), (*leading_sizes(query_inputs), *heads)),
            ops.reshape(self.key(hidden_states), (*sizes, *heads)),
            ops.reshape(self.value(hidden_states), (*sizes, *heads)),
        )


class TFElectraResidualOutput(keras.layers.Layer):
    """Linear, dropout, then LayerNorm of the sum with the block's input: what ends both halves of a layer."""

    def __init__(self, input_size: int, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.input_size = input_size
        self.hidden_size = config.hidden_size
        self.dense = linear(config, config.hidden_size, "dense", policy)
        self.LayerNorm = keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name="LayerNorm", dtype=policy)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob, dtype=policy)

    def build(self, input_shape: Any = None) -> None:
        self.dense.build((None, None, self.input_size))
        self.LayerNorm.build((None, None, self.hidden_size))

    def call(self, hidden_states: Tensor, residual: Tensor, training: bool | None = None) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(hidden_states), training=training) + residual)


class TFElectraAttention(keras.layers.Layer):
    """The first half of a layer: self-attention and its residual output."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.self_attention = TFElectraSelfAttention(config, name="self", dtype=self.dtype_policy)
        self.residual_output = TFElectraResidualOutput(
            config.hidden_size, config, name="output", dtype=self.dtype_policy
        )

    def build(self, input_shape: Any) -> None:
        self.self_attention.build(input_shape)
        self.residual_output.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        is_last: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        query_inputs = layout.last_queries(hidden_states) if is_last else hidden_states
        context, weights = self.self_attention(
            hidden_states, query_inputs, layout=layout, output_attentions=output_attentions, training=training
        )
        return self.residual_output(context, query_inputs, training=training), weights


class TFElectraIntermediate(keras.layers.Layer):
    """Linear and activation: [..., hidden] -> [..., intermediate]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = linear(config, config.intermediate_size, "dense", self.dtype_policy)
        self.activation = activation(config.hidden_act)

    def build(self, input_shape: Any) -> None:
        self.dense.build(input_shape)

    def call(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.dense(hidden_states))


class TFElectraLayer(keras.layers.Layer):
    """One layer: attention, then the feed-forward half."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.attention = TFElectraAttention(config, name="attention", dtype=policy)
        self.intermediate = TFElectraIntermediate(config, name="intermediate", dtype=policy)
        self.residual_output = TFElectraResidualOutput(config.intermediate_size, config, name="output", dtype=policy)

    def build(self, input_shape: Any) -> None:
        self.attention.build(input_shape)
        self.intermediate.build(input_shape)
        self.residual_output.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        is_last: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        attended, weights = self.attention(
            hidden_states, layout=layout, output_attentions=output_attentions, is_last=is_last, training=training
        )
        return self.residual_output(self.intermediate(attended), attended, training=training), weights


class TFElectraEncoder(keras.layers.Layer):
    """All layers in turn; returns every hidden state and attention map that was asked for."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.layer = [
            TFElectraLayer(config, name=f"layer_{index}", dtype=self.dtype_policy)
            for index in range(config.num_hidden_layers)
        ]
        # TensorFlow's checkpoints do not look into Keras's lists: without a name of its own, no layer would be saved.
        for index, layer in enumerate(self.layer):
            setattr(self, f"layer_{index}", layer)
        # For calls outside of graphs: hidden states [batch, length, hidden], the bias as in `PaddedLayout`.
        shapes = ((None, None, config.hidden_size), (None, 1, None, None))
        self._program = LayerProgram(self, self._infer, shapes)
        self.recomputes = False  # in training, compute each layer again for the gradients instead of keeping it

    def build(self, input_shape: Any) -> None:
        for layer in self.layer:
            layer.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        if (
            self._program.may_run(training)
            and _is_padded(hidden_states, layout)
            and not (output_attentions or output_hidden_states)
        ):
            bias = layout.attention_bias
            return self._program(hidden_states, *([] if bias is None else [bias])), None, None
        return self._run(hidden_states, layout, output_attentions, output_hidden_states, training)

    def _run(
        self,
        hidden_states: Tensor,
        layout: PaddedLayout,
        output_attentions: bool,
        output_hidden_states: bool,
        training: bool | None,
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        """Run layer by layer."""
        shape = ops.shape(hidden_states)
        # Keras multiplies a row of tokens with a matrix in one step, a batch of rows in many. Hidden states that are
        # asked for stay as they are: gradients with respect to them must find them on the way.
        comes_as_row = _is_padded(hidden_states, layout) and not output_hidden_states
        if comes_as_row:
            layout = replace(layout, row_shape=shape[:PADDED_RANK])
            hidden_states = ops.reshape(hidden_states, (-1, shape[-1]))  # [batch, length, hidden] -> [tokens, hidden]
        all_hidden_states, attentions = [hidden_states] if output_hidden_states else [], []
        for number, layer in enumerate(self.layer, 1):
            is_last = number == len(self.layer) and not output_hidden_states
            run = _recomputing(layer) if self.recomputes and training else layer
            hidden_states, weights = run(
                hidden_states, layout=layout, output_attentions=output_attentions, is_last=is_last, training=training
            )
            if output_hidden_states:  # else a layer's output is free as soon as the next one has read it
                all_hidden_states.append(hidden_states)
            attentions.append(weights)
        return (
            ops.reshape(hidden_states, shape) if comes_as_row else hidden_states,  # [batch, length, hidden] again
            tuple(all_hidden_states) if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
        )

    def _infer(self, hidden_states: Tensor, attention_bias: Tensor | None = None) -> Tensor:
        return self._run(hidden_states, PaddedLayout(attention_bias), False, False, training=False)[0]


def _is_padded(hidden_states: Tensor, layout: Any) -> bool:
    return isinstance(layout, PaddedLayout) and len(hidden_states.shape) == PADDED_RANK + 1


def _recomputing(layer: TFElectraLayer) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """Return a layer's call that keeps only its input and computes the rest again for the gradients.

    The second run must drop what the first one dropped, so both start from the same state of the random numbers.
    """
    generators = seed_generators(layer)
    states = [ops.copy(generator.state) for generator in generators]

    def call(hidden_states: Tensor, **options: Any) -> tuple[Tensor, Tensor | None]:
        def run(hidden_states: Tensor) -> Any:
            for generator, state in zip(generators, states, strict=True):
                generator.state.assign(state)
            result, weights = layer(hidden_states, **options)
            return result if weights is None else (result, weights)

        result = keras.remat(run)(hidden_states)
        return result if options["output_attentions"] else (result, None)

    return call
