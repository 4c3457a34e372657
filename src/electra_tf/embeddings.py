"""From token ids to what enters layer 0: three tables summed, normalised, and projected to the encoder's width."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.adjustments import check_embedding_width, check_length, describe_ids
from electra_tf.initialization import table_initializer, weight_initializer
from electra_tf.programs import numbers_of

Tensor = Any


class TFElectraEmbeddings(keras.layers.Layer):
    """Word, position and token type embeddings, summed and normalised: [batch, length] -> [batch, length, embedding].

    The row of ``pad_token_id`` gets no gradient from the lookup, as in transformers.
    """

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        width, policy = config.embedding_size, self.dtype_policy
        self.max_position_embeddings = config.max_position_embeddings
        self.pad_token_id = config.pad_token_id
        initializer = weight_initializer(config)
        self.word_embeddings = keras.layers.Embedding(
            config.vocab_size, width, table_initializer(config), name="word_embeddings", dtype=policy
        )
        self.position_embeddings = keras.layers.Embedding(
            config.max_position_embeddings, width, initializer, name="position_embeddings", dtype=policy
        )
        self.token_type_embeddings = keras.layers.Embedding(
            config.type_vocab_size, width, weight_initializer(config), name="token_type_embeddings", dtype=policy
        )
        self.LayerNorm = keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name="LayerNorm", dtype=policy)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob, dtype=policy)
        self.width = width

    def build(self, input_shape: Any = None) -> None:
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            table.build(None)
        self.LayerNorm.build((None, None, self.width))

    def call(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Return embeddings [batch, length, embedding]; a packed row [tokens] gives [tokens, embedding].

        Args:
            input_ids: [batch, length]; or give ``inputs_embeds``.
            token_type_ids: [batch, length], zeros by default.
            position_ids: [batch, length] or [1, length], 0 … length - 1 by default; a packed row needs them.
            inputs_embeds: [batch, length, embedding], in place of the word embeddings.
            training: whether dropout is active.

        Raises:
            ValueError: both or none of the inputs given, the sequence is longer than there are positions, or ids are
                outside a table (seen outside of graphs; in them TensorFlow reports what is too large on the CPU).
        """
        words = self._words(input_ids, inputs_embeds)
        shape = ops.shape(words)[:-1]
        if position_ids is None:
            check_length(shape[1], self.max_position_embeddings)
            position_ids = ops.arange(shape[1], dtype="int32")[None, :]  # [1, length]
        else:
            _check_ids("position_ids", position_ids, self.max_position_embeddings)
        if token_type_ids is None:
            token_type_ids = ops.zeros(shape, dtype="int32")
        else:
            _check_ids("token_type_ids", token_type_ids, self.token_type_embeddings.input_dim)
        summed = words + self.token_type_embeddings(token_type_ids) + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(summed), training=training)

    def _words(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds, and not both")
        if inputs_embeds is not None:
            check_embedding_width(inputs_embeds.shape, self.width)
            return inputs_embeds
        _check_ids("input_ids", input_ids, self.word_embeddings.input_dim)
        words = self.word_embeddings(input_ids)
        if self.pad_token_id is None:
            return words
        is_padding = ops.equal(input_ids, self.pad_token_id)[..., None]  # [batch, length, 1]
        return ops.where(is_padding, ops.stop_gradient(words), words)


def _check_ids(name: str, ids: Tensor, limit: int) -> None:
    """Refuse ids outside a table where they can be read; in a graph there are none yet, and no branch may need them."""
    numbers = numbers_of(ids)
    if numbers is not None and numbers.size and not 0 <= numbers.min() <= numbers.max() < limit:
        raise ValueError(describe_ids(name, limit))
