"""How the tokens of a batch are arranged, which is all that attention has to know about padding.

Every layer works on ``[..., hidden]`` and asks its layout to attend. There are two arrangements: padded,
[batch, length] with a mask; and packed, all real tokens in one row, with sequence boundaries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf
from keras import ops

from electra_common.packing import PADDED_RANK, Packing, pack_lengths, pack_mask
from electra_tf.programs import numbers_of

Tensor = Any

_FEW_TOKENS: Final = 16  # of a sequence: multiplying so few where they lie takes less time than transposing them


@dataclass(frozen=True)
class PaddedLayout:
    """Tokens as [batch, length], rows filled up with padding.

    Attributes:
        attention_bias: None if every token may attend to every token, else [batch, 1, 1 or length, length]: 0 where
            attending is allowed, the smallest number of the dtype where it is not (transformers' rule; Google adds
            -10000, which gives the same probabilities).
        row_shape: (batch, length) where the tokens come as one row, padding included, [batch x length, ...]; else None.
    """

    attention_bias: Tensor | None
    row_shape: tuple[Any, Any] | None = None

    @classmethod
    def from_mask(cls, attention_mask: Tensor | None, dtype: str) -> PaddedLayout:
        """Build the layout from a mask, 1 for real tokens and 0 for padding.

        Args:
            attention_mask: [batch, length], or [batch, length, length] for a mask of its own for each query.
            dtype: the dtype that attention is computed in.
        """
        if attention_mask is None or _is_full(attention_mask):
            return cls(None)
        mask = ops.cast(attention_mask, "bool")
        mask = mask[:, None, None, :] if len(mask.shape) == 2 else mask[:, None, :, :]
        smallest = float(ml_dtypes.finfo(dtype).min)
        return cls(ops.where(mask, ops.cast(0.0, dtype), ops.cast(smallest, dtype)))

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """Return those of the hidden states that the last layer computes: here all of them."""
        return hidden_states

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
        """Attend within each sequence.

        Args:
            query: [batch, length, heads, head size], or one row; as are ``key`` and ``value``.
            key: what is attended to.
            value: what is summed, weighted by attention.
            dropout: the layer that drops attention weights.
            return_weights: return the weights.
            training: whether dropout is active.

        Returns:
            The weighted sums, arranged as the queries are, and the weights [batch, heads, length, length] after
            softmax and dropout, or None.
        """
        row = (-1, *query.shape[-2:])
        if self.row_shape is not None:
            # [batch x length, heads, size] -> [batch, length, heads, size]
            padded = (*self.row_shape, *row[1:])
            query, key, value = (ops.reshape(tensor, padded) for tensor in (query, key, value))
        are_many = bool(training) or (key.shape[1] is not None and key.shape[1] > _FEW_TOKENS)
        scores = _compare(query / math.sqrt(query.shape[-1]), key, are_many)
        if self.attention_bias is not None:
            scores = scores + self.attention_bias
        # Keras warns of a softmax over one entry, which is what a sequence of one token needs.
        probabilities = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
        weights = dropout(probabilities, training=training)
        context = _gather(weights, value, are_many)
        if self.row_shape is not None:
            context = ops.reshape(context, row)  # [batch, length, heads, size] -> [batch x length, heads, size]
        return context, weights if return_weights else None


def _compare(query: Tensor, key: Tensor, are_many: bool) -> Tensor:
    """[batch, queries, heads, size] and [batch, keys, heads, size] -> products [batch, heads, queries, keys].

    Keras's einsum transposes by itself: where there are few tokens, that takes a CPU as long as multiplying.
    TensorFlow's does not, which is slower by a fifth for many, and by a third in training.
    """
    if are_many:
        return tf.matmul(_heads_first(query), _heads_first(key), transpose_b=True)
    return tf.einsum("bqhs,bkhs->bhqk", query, key)


def _gather(weights: Tensor, value: Tensor, are_many: bool) -> Tensor:
    """[batch, heads, queries, keys] and [batch, keys, heads, size] -> [batch, queries, heads, size]."""
    if are_many:
        return _heads_first(tf.matmul(weights, _heads_first(value)))
    return tf.einsum("bhqk,bkhs->bqhs", weights, value)


def _heads_first(tensor: Tensor) -> Tensor:
    """[batch, length, heads, size] -> [batch, heads, length, size], or back."""
    return tf.transpose(tensor, (0, 2, 1, 3))


@dataclass(frozen=True)
class PackedLayout:
    """Tokens as one row [tokens], one sequence behind the other and no padding between them.

    Given to a model together with padded inputs, they are packed on the way in and unpacked on the way out. Packed
    inputs give packed outputs. Several models can share one layout.

    Attributes:
        packing: where each token goes. Plain numbers: in a graph they are constants, so every layout has a graph of its
            own, with static shapes.
    """

    packing: Packing

    @classmethod
    def from_mask(cls, attention_mask: Tensor) -> PackedLayout:
        """Build the layout of a padded batch.

        Args:
            attention_mask: [batch, length], or with an axis of choices between, 1 for real tokens.

        Raises:
            ValueError: a row has no real token, or the mask has no numbers yet, inside of a graph.
        """
        mask = numbers_of(attention_mask)
        if mask is None:
            raise ValueError("a packed layout is made of numbers: make it outside of the graph")
        return cls(pack_mask(mask))

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], device: Any = None) -> PackedLayout:
        """Build the layout of a row that is packed already; neighbours of one length are computed together.

        Args:
            lengths: tokens of each sequence, in the order of the row.
            device: None; the PyTorch twin places the numbers with it, TensorFlow does so by itself.

        Raises:
            ValueError: there is no sequence, or an empty one.
        """
        if device is not None:
            raise ValueError(f"device must be None in TensorFlow, found {device!r}")
        return cls(pack_lengths(lengths))

    @property
    def positions(self) -> Tensor:
        """[tokens], the position of each token in its sequence."""
        return ops.convert_to_tensor(self.packing.positions, "int32")

    @property
    def mask(self) -> Tensor:
        """[batch, length], 1 for real tokens."""
        return ops.convert_to_tensor(self.packing.mask, "int32")

    def mask_of(self, logits: Tensor) -> Tensor | None:
        """Return the mask of logits, one a token: :attr:`mask`, or None in a packed row, where all tokens are real."""
        return self.mask if len(logits.shape) > 1 else None

    def pack(self, padded: Tensor) -> Tensor:
        """[batch, length, ...] -> [tokens, ...]; a batch of 1 stands for every row."""
        whole = ops.broadcast_to(padded, (*self.packing.shape, *padded.shape[2:]))  # [batch, length, ...]
        # [batch * length, ...] -> [tokens, ...]
        return ops.take(ops.reshape(whole, (-1, *padded.shape[2:])), self.packing.index, axis=0)

    def unpack(self, packed: Tensor, fill: float = 0.0) -> Tensor:
        """[tokens, ...] -> [batch, length, ...], padding filled up with a number."""
        # Gathering backwards: each place of the batch takes its token, or the one more at the end that is the filling.
        batch, length = self.packing.shape
        places = np.full(batch * length, len(self.packing.index))
        places[self.packing.index] = np.arange(len(self.packing.index))
        filling = ops.full((1, *packed.shape[1:]), fill, packed.dtype)
        padded = ops.take(ops.concatenate([packed, filling]), places, axis=0)
        return ops.reshape(padded, (batch, length, *packed.shape[1:]))

    def first(self, packed: Tensor) -> Tensor:
        """[tokens, ...] -> [batch, ...], the first token of each sequence, in the order of the batch."""
        return ops.take(packed, self.packing.first, axis=0)

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """Return those of the hidden states that the last layer computes: here all of them."""
        return hidden_states

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
        """Attend within each sequence.

        Args:
            query: [tokens, heads, head size], as are ``key`` and ``value``; or one for each sequence, in their order.
            key: what is attended to.
            value: what is summed, weighted by attention.
            dropout: the layer that drops attention weights.
            return_weights: no effect: a packed row has no place to return them in, and models refuse to be asked.
            training: whether dropout is active.

        Returns:
            The weighted sums, one for each query, and None.
        """
        inside = PaddedLayout(None)
        context, start = [], 0
        for run in self.packing.runs:
            stop = start + run.sequences * (run.length if query.shape[0] == key.shape[0] else 1)
            parts = (query[start:stop], *(tensor[run.start : run.stop] for tensor in (key, value)))
            # [run's tokens, heads, head size] -> [run's sequences, length, heads, head size]
            inputs = (ops.reshape(part, (run.sequences, -1, *query.shape[1:])) for part in parts)
            values, _ = inside.attend(*inputs, dropout=dropout, return_weights=False, training=training)
            context.append(ops.reshape(values, (-1, *query.shape[1:])))  # [run's queries, heads, head size]
            start = stop
        return ops.concatenate(context), None


class FirstTokensLayout(PackedLayout):
    """A packed layout for heads that look at first tokens alone: the last layer computes no others.

    Hidden states of the last layer are then [batch, 1, hidden], or one a sequence of a packed row; where all layers'
    hidden states are asked for, it is like any packed layout.
    """

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """[tokens, hidden] -> [sequences, hidden], in the order of the row."""
        return ops.take(hidden_states, self.packing.starts, axis=0)

    def unpack(self, packed: Tensor, fill: float = 0.0) -> Tensor:
        """As of any packed layout; first tokens alone [sequences, ...] -> [batch, 1, ...]."""
        return super().unpack(packed, fill) if self._has_all_tokens(packed) else self.first(packed)[:, None]

    def first(self, packed: Tensor) -> Tensor:
        """[tokens, ...], or first tokens alone [sequences, ...] -> [batch, ...], in the order of the batch."""
        return super().first(packed) if self._has_all_tokens(packed) else ops.take(packed, self.packing.order, axis=0)

    def _has_all_tokens(self, packed: Tensor) -> bool:
        return bool(packed.shape[0] == len(self.packing.index))


def _is_full(mask: Tensor) -> bool:
    """Whether nothing is masked; looked at where there are numbers, which is outside of graphs."""
    numbers = numbers_of(mask)
    return numbers is not None and bool(numbers.all())


def first_tokens(hidden_states: Tensor, layout: PackedLayout | None) -> Tensor:
    """[batch, length, hidden] or, with its layout, a packed row [tokens, hidden] -> [batch, hidden]."""
    if layout is None or len(hidden_states.shape) == PADDED_RANK + 1:
        return hidden_states[:, 0]
    return layout.first(hidden_states)


def logits_of_real_tokens(logits: Tensor, layout: PackedLayout | None) -> Tensor:
    """Return logits [batch, length] with the smallest number at padding, from such logits or a packed row [tokens].

    Without a layout nothing is known of padding, and logits are returned as they are.
    """
    if layout is None:
        return logits
    smallest = float(ml_dtypes.finfo(keras.backend.standardize_dtype(logits.dtype)).min)
    if len(logits.shape) < PADDED_RANK:
        return layout.unpack(logits, smallest)
    return ops.where(layout.mask == 1, logits, ops.cast(smallest, logits.dtype))
