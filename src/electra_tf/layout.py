"""How the tokens of a batch are arranged, which is all that attention has to know about padding.

Every layer works on ``[..., hidden]`` and asks its layout to attend. Here is the padded arrangement, [batch, length]
with a mask. A packed one (all real tokens in one row, with sequence boundaries) needs the same three members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import ml_dtypes
from keras import ops

Tensor = Any


@dataclass(frozen=True)
class PaddedLayout:
    """Tokens as [batch, length], rows filled up with padding.

    Attributes:
        attention_bias: None if every token may attend to every token, else [batch, 1, 1 or length, length]: 0 where
            attending is allowed, the smallest number of the dtype where it is not (transformers' rule; Google adds
            -10000, which gives the same probabilities).
    """

    attention_bias: Tensor | None

    @classmethod
    def from_mask(cls, attention_mask: Tensor | None, dtype: str) -> PaddedLayout:
        """Build the layout from a mask, 1 for real tokens and 0 for padding.

        Args:
            attention_mask: [batch, length], or [batch, length, length] for a mask of its own for each query.
            dtype: the dtype that attention is computed in.
        """
        if attention_mask is None:
            return cls(None)
        mask = ops.cast(attention_mask, "bool")
        mask = mask[:, None, None, :] if len(mask.shape) == 2 else mask[:, None, :, :]
        smallest = float(ml_dtypes.finfo(dtype).min)
        return cls(ops.where(mask, ops.cast(0.0, dtype), ops.cast(smallest, dtype)))

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
            query: [batch, length, heads, head size], as are ``key`` and ``value``.
            key: what is attended to.
            value: what is gathered.
            dropout: the layer that drops attention weights.
            return_weights: return the weights.
            training: whether dropout is active.

        Returns:
            The gathered values [batch, length, heads, head size], and the weights [batch, heads, length, length]
            after softmax and dropout, or None.
        """
        query, key, value = (ops.transpose(tensor, (0, 2, 1, 3)) for tensor in (query, key, value))
        # [batch, heads, length, size] -> [batch, heads, length, length]
        scores = ops.matmul(query / math.sqrt(query.shape[-1]), ops.transpose(key, (0, 1, 3, 2)))
        if self.attention_bias is not None:
            scores = scores + self.attention_bias
        # Keras warns of a softmax over one entry, which is what a sequence of one token needs.
        probabilities = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
        weights = dropout(probabilities, training=training)
        gathered = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return gathered, weights if return_weights else None
