"""The heads that are more than one linear layer: those of pre-training, sequence classification, multiple choice."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_tf.activations import activation
from electra_tf.initialization import (
    draw_rows,
    linear,
    path_scope,
    undrawn_weights,
    unlocked,
    weight_initializer,
)

Tensor = Any


class TFElectraDiscriminatorPredictions(keras.layers.Layer):
    """A logit a token, positive for "replaced": [..., hidden] -> [...]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.hidden_size = config.hidden_size
        self.dense = linear(config, config.hidden_size, "dense", self.dtype_policy)
        self.activation = activation(config.hidden_act)
        self.dense_prediction = linear(config, 1, "dense_prediction", self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        self.dense.build((None, None, self.hidden_size))
        self.dense_prediction.build((None, None, self.hidden_size))

    def call(self, hidden_states: Tensor) -> Tensor:
        logits = self.dense_prediction(self.activation(self.dense(hidden_states)))
        return ops.squeeze(logits, axis=-1)  # [..., 1] -> [...]


class TFElectraGeneratorPredictions(keras.layers.Layer):
    """From hidden width back to embedding width, before the vocabulary: [..., hidden] -> [..., embedding]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.hidden_size, self.embedding_size = config.hidden_size, config.embedding_size
        self.LayerNorm = keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name="LayerNorm", dtype=policy)
        self.dense = linear(config, config.embedding_size, "dense", policy)
        self.activation = activation(config.generator_hidden_act)

    def build(self, input_shape: Any = None) -> None:
        self.dense.build((None, None, self.hidden_size))
        self.LayerNorm.build((None, None, self.embedding_size))

    def call(self, hidden_states: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(hidden_states)))


class TFElectraVocabularyHead(keras.layers.Layer):
    """A logit for every piece of the vocabulary: [..., embedding] -> [..., vocabulary].

    Tied, it owns only its bias and is given the word table at each call, so that nothing has to keep two names of one
    tensor in step.
    """

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.config = config
        self.kernel: Any = None

    def build(self, input_shape: Any = None) -> None:
        config = self.config
        if not config.tie_word_embeddings:
            shape = (config.embedding_size, config.vocab_size)
            self.kernel = self.add_weight(shape=shape, initializer=weight_initializer(config), name="kernel")
        self.bias = self.add_weight(shape=(config.vocab_size,), initializer="zeros", name="bias")

    def resize(self, config: ElectraConfig) -> None:
        """Give the vocabulary another size: new biases are 0, new rows of an own projection are drawn."""
        bias = draw_rows(self.bias, config.vocab_size, keras.initializers.Zeros())
        kernel = None
        if self.kernel is not None:
            # Keras has kernels as [input, vocabulary]; rows are drawn of [vocabulary, input].
            kernel = draw_rows(ops.transpose(self.kernel), config.vocab_size, weight_initializer(config))
            del self.kernel
        del self.bias
        self.config = config
        with unlocked(self), path_scope(self.path), undrawn_weights():
            # In the order of `build`: Keras's files number variables.
            self.build()
        self.bias.assign(bias)
        if kernel is not None:
            self.kernel.assign(ops.transpose(kernel))

    def tie(self) -> None:
        """Give up a projection of its own."""
        if self.kernel is not None:
            del self.kernel
            self.kernel = None

    def call(self, hidden_states: Tensor, word_embeddings: Tensor) -> Tensor:
        if self.kernel is None:
            kernel = ops.transpose(ops.cast(word_embeddings, self.compute_dtype))  # [embedding, vocabulary]
        else:
            kernel = self.kernel
        return ops.matmul(hidden_states, kernel) + self.bias


class TFElectraClassificationHead(keras.layers.Layer):
    """Classes of a whole sequence, from its first token: [batch, hidden] -> [batch, labels].

    Between the two layers stands exact GELU, whatever ``hidden_act`` says (transformers' rule).
    """

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.hidden_size = config.hidden_size
        self.dense = linear(config, config.hidden_size, "dense", policy)
        self.activation = activation("gelu")
        self.dropout = keras.layers.Dropout(config.head_dropout_prob, dtype=policy)
        self.out_proj = linear(config, config.label_count, "out_proj", policy)

    def build(self, input_shape: Any = None) -> None:
        self.dense.build((None, self.hidden_size))
        self.out_proj.build((None, self.hidden_size))

    def call(self, first_tokens: Tensor, training: bool | None = None) -> Tensor:
        first = self.dropout(first_tokens, training=training)
        activated = self.activation(self.dense(first))
        return self.out_proj(self.dropout(activated, training=training))


class TFElectraSequenceSummary(keras.layers.Layer):
    """One vector for a sequence, as ``summary_*`` of the config say: [batch, length, hidden] -> [batch, hidden].

    Padding counts: ``"last"`` is the last position and ``"mean"`` the mean over all of them, as in transformers, whose
    ``"cls_index"`` is the last position too, for its models never pass an index.
    """

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        policy = self.dtype_policy
        self.summary_type = config.summary_type
        self.hidden_size = config.hidden_size
        # The width is hidden_size: any other one is refused by `electra_common.head_options`.
        self.summary = None
        if config.summary_use_proj:
            self.summary = linear(config, config.hidden_size, "summary", policy)
        self.activation = activation(config.summary_activation or "linear")
        self.first_dropout = keras.layers.Dropout(config.summary_first_dropout or 0.0, dtype=policy)
        self.last_dropout = keras.layers.Dropout(config.summary_last_dropout, dtype=policy)

    def build(self, input_shape: Any = None) -> None:
        if self.summary is not None:
            self.summary.build((None, self.hidden_size))

    def call(self, hidden_states: Tensor, training: bool | None = None) -> Tensor:
        summary = self.first_dropout(self._pick(hidden_states), training=training)
        if self.summary is not None:
            summary = self.summary(summary)
        return self.last_dropout(self.activation(summary), training=training)

    def _pick(self, hidden_states: Tensor) -> Tensor:
        if self.summary_type == "mean":
            return ops.mean(hidden_states, axis=1)  # [batch, length, hidden] -> [batch, hidden]
        return hidden_states[:, 0 if self.summary_type == "first" else -1]
