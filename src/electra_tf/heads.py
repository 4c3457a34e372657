"""The two heads of pre-training: was this token replaced, and which token stood here."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_tf.activations import activation
from electra_tf.initialization import glorot_initializer, weight_initializer

Tensor = Any


class TFElectraDiscriminatorPredictions(keras.layers.Layer):
    """A logit a token, positive for "replaced": [..., hidden] -> [...]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.hidden_size = config.hidden_size
        self.dense = keras.layers.Dense(
            config.hidden_size, kernel_initializer=weight_initializer(config), name="dense", dtype=self.dtype_policy
        )
        self.activation = activation(config.hidden_act)
        self.dense_prediction = keras.layers.Dense(
            1, kernel_initializer=glorot_initializer(), name="dense_prediction", dtype=self.dtype_policy
        )

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
        self.dense = keras.layers.Dense(
            config.embedding_size, kernel_initializer=weight_initializer(config), name="dense", dtype=policy
        )
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

    def call(self, hidden_states: Tensor, word_embeddings: Tensor) -> Tensor:
        if self.kernel is None:
            kernel = ops.transpose(ops.cast(word_embeddings, self.compute_dtype))  # [embedding, vocabulary]
        else:
            kernel = self.kernel
        return ops.matmul(hidden_states, kernel) + self.bias
