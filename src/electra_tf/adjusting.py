"""Changing a model after it is made: its vocabulary, which weights are trained, and memory in exchange for time."""

from __future__ import annotations

import math
from typing import Any

import keras

from electra_common import ElectraConfig
from electra_common.adjustments import check_layer_count, resized_config
from electra_tf.initialization import draw_rows, path_scope, replaced_layer, weight_initializer
from electra_tf.programs import TFTracedModel, forget_programs


class TFAdjustableModel(TFTracedModel):
    """What every model lets its user change. A subclass has ``config`` and either is the encoder or has ``electra``."""

    config: ElectraConfig
    # Whether the class is the encoder itself, whose own names lack the canonical prefix ``electra``.
    is_body = False

    def get_input_embeddings(self) -> Any:
        """Return the word table, a layer whose ``embeddings`` are [vocabulary, embedding]."""
        return encoder_of(self).embeddings.word_embeddings

    def set_input_embeddings(self, value: Any) -> None:
        """Take over the weights of another word table of the same sizes; a tied vocabulary projection follows.

        The table itself stays the model's: the path of a Keras variable, by which checkpoints know it, is fixed when
        it is made.

        Args:
            value: an embedding, [vocabulary, embedding].

        Raises:
            ValueError: it has another size; :meth:`resize_token_embeddings` changes that.
        """
        expected = (self.config.vocab_size, self.config.embedding_size)
        if tuple(value.embeddings.shape) != expected:
            raise ValueError(f"the word table must be {list(expected)}, found {list(value.embeddings.shape)}")
        self.get_input_embeddings().embeddings.assign(value.embeddings)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, *, pad_to_multiple_of: int | None = None
    ) -> Any:
        """Give the vocabulary another size: what stays keeps its weights, new rows are drawn as in a new model.

        A vocabulary projection, tied or not, and its bias follow; the config's ``vocab_size`` too. An optimizer made
        before knows nothing of the new table: call ``compile`` afterwards.

        Args:
            new_num_tokens: pieces of the vocabulary; as many as there are by default.
            pad_to_multiple_of: round up to a multiple.

        Returns:
            The word table.

        Raises:
            ValueError: a number is below 1, or the padding token would be cut off.
        """
        wanted = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        config = resized_config(self.config, wanted, pad_to_multiple_of)
        if config.vocab_size != self.config.vocab_size:
            table = _resized_table(self.get_input_embeddings(), config)
            replaced_layer(encoder_of(self).embeddings, "word_embeddings", table)
            head = getattr(self, "generator_lm_head", None)
            if head is not None:
                head.resize(config)
            self.config = encoder_of(self).config = config
            # What was traced still has the old table in it.
            forget_programs(self._flatten_layers())
        return self.get_input_embeddings()

    def tie_weights(self) -> None:
        """Make the vocabulary projection the word table, as ``tie_word_embeddings`` says; without one, do nothing.

        A projection of its own, from a config with ``tie_word_embeddings=False``, is given up for good.
        """
        head = getattr(self, "generator_lm_head", None)
        if head is not None:
            head.tie()
            self.config = encoder_of(self).config = self.config.replace(tie_word_embeddings=True)
            forget_programs(self._flatten_layers())

    def num_parameters(self, *, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return how many numbers the model has; a tied projection counts once.

        Args:
            only_trainable: leave out what is frozen.
            exclude_embeddings: leave out the three tables.
        """
        tables = _tables(encoder_of(self).embeddings) if exclude_embeddings else []
        left_out = {id(table.embeddings) for table in tables}
        variables = self.trainable_variables if only_trainable else self.weights
        # Dropout keeps the state of its random numbers, integers, among the weights.
        counted = [item for item in variables if id(item) not in left_out and keras.backend.is_float_dtype(item.dtype)]
        return sum(math.prod(variable.shape) for variable in counted)

    def freeze(self, *, embeddings: bool = True, layers: int | None = None) -> None:
        """Leave parts of the encoder as they are in training; dropout goes on in them. Before ``compile``.

        Args:
            embeddings: the three tables, their LayerNorm and the projection behind them.
            layers: the first so many layers; all of them by default.

        Raises:
            ValueError: the encoder has fewer layers.
        """
        self._set_trainable(embeddings, check_layer_count(layers, self.config), False)

    def unfreeze(self) -> None:
        """Train the whole encoder again."""
        self._set_trainable(True, self.config.num_hidden_layers, True)

    def _set_trainable(self, embeddings: bool, layers: int, is_trainable: bool) -> None:
        body = encoder_of(self)
        parts = [body.embeddings, getattr(body, "embeddings_project", None)] if embeddings else []
        for part in (*parts, *body.encoder.layer[:layers]):
            if part is not None:
                part.trainable = is_trainable

    def gradient_checkpointing_enable(self) -> None:
        """In training, keep only what enters each layer and compute the rest again for the gradients.

        Memory for about a third more time; the gradients are the same, dropout included.
        """
        encoder_of(self).encoder.recomputes = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep everything that the gradients need."""
        encoder_of(self).encoder.recomputes = False


def encoder_of(model: Any) -> Any:
    """Return the encoder of a model, which is the model itself where it has no head."""
    # No property of the model: Keras walks through a model's attributes when it saves, and would go round in circles.
    return model if model.is_body else model.electra


def _tables(embeddings: Any) -> list[Any]:
    return [embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings]


def _resized_table(table: keras.layers.Embedding, config: ElectraConfig) -> keras.layers.Embedding:
    """Return a table [new vocabulary, embedding] with the rows that both have, under the same path."""
    rows = draw_rows(table.embeddings, config.vocab_size, weight_initializer(config))
    new = keras.layers.Embedding(config.vocab_size, table.output_dim, name=table.name, dtype=table.dtype_policy)
    with path_scope(table.path.rpartition("/")[0]):
        new.build(None)
    new.embeddings.assign(rows)
    new.trainable = table.trainable
    return new
