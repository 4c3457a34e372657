"""Changing a model after it is made: its vocabulary, which weights are trained, and memory in exchange for time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from electra_common import ElectraConfig
from electra_common.adjustments import check_layer_count, resized_config
from electra_pt.initialization import Embedding, draw_rows


class AdjustableModel(nn.Module):
    """What every model lets its user change. A subclass has ``config`` and either is the encoder or has ``electra``."""

    config: ElectraConfig
    # Whether the class is the encoder itself, whose own names lack the canonical prefix ``electra``.
    is_body = False

    def get_input_embeddings(self) -> Any:
        """Return the word table, a layer whose weight is [vocabulary, embedding]."""
        return encoder_of(self).embeddings.word_embeddings

    def set_input_embeddings(self, value: Any) -> None:
        """Put another layer of the same sizes in the word table's place; a tied vocabulary projection follows.

        Args:
            value: an embedding, [vocabulary, embedding].

        Raises:
            ValueError: it has another size; :meth:`resize_token_embeddings` changes that.
        """
        expected = (self.config.vocab_size, self.config.embedding_size)
        if tuple(value.weight.shape) != expected:
            raise ValueError(f"the word table must be {list(expected)}, found {list(value.weight.shape)}")
        encoder_of(self).embeddings.word_embeddings = value

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, *, pad_to_multiple_of: int | None = None
    ) -> Any:
        """Give the vocabulary another size: what stays keeps its weights, new rows are drawn as in a new model.

        A vocabulary projection, tied or not, and its bias follow; the config's ``vocab_size`` too. An optimizer made
        before knows nothing of the new table: make it afterwards.

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
            encoder_of(self).embeddings.word_embeddings = _resized_table(self.get_input_embeddings(), config)
            head = getattr(self, "generator_lm_head", None)
            if head is not None:
                head.resize(config)
            self.config = encoder_of(self).config = config
        return self.get_input_embeddings()

    def tie_weights(self) -> None:
        """Make the vocabulary projection the word table, as ``tie_word_embeddings`` says; without one, do nothing.

        A projection of its own, from a config with ``tie_word_embeddings=False``, is given up for good.
        """
        head = getattr(self, "generator_lm_head", None)
        if head is not None:
            head.tie()
            self.config = encoder_of(self).config = self.config.replace(tie_word_embeddings=True)

    def num_parameters(self, *, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return how many numbers the model has; a tied projection counts once.

        Args:
            only_trainable: leave out what is frozen.
            exclude_embeddings: leave out the three tables.
        """
        tables = _tables(encoder_of(self).embeddings) if exclude_embeddings else []
        left_out = {id(table.weight) for table in tables}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in left_out and (parameter.requires_grad or not only_trainable)
        )

    def freeze(self, *, embeddings: bool = True, layers: int | None = None) -> None:
        """Leave parts of the encoder as they are in training; dropout goes on in them.

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
                part.requires_grad_(is_trainable)

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
    return model if model.is_body else model.electra


def _tables(embeddings: Any) -> list[Any]:
    return [embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings]


def _resized_table(table: nn.Embedding, config: ElectraConfig) -> nn.Embedding:
    """Return a table [new vocabulary, embedding] with the rows that both have."""
    old = table.weight
    new = Embedding(config.vocab_size, old.shape[1], padding_idx=table.padding_idx, device=old.device, dtype=old.dtype)
    with torch.no_grad():
        new.weight.copy_(draw_rows(old, config.vocab_size, config.initializer_range))
    new.weight.requires_grad_(old.requires_grad)
    return new.train(table.training)
