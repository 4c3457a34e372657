"""How the tokens of a batch are arranged, which is all that attention has to know about padding.

Every layer works on ``[..., hidden]`` and asks its layout to attend. Here is the padded arrangement, [batch, length]
with a mask. A packed one (all real tokens in one row, with sequence boundaries) needs the same three members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


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
    def from_mask(cls, attention_mask: Tensor | None, dtype: torch.dtype) -> PaddedLayout:
        """Build the layout from a mask, 1 for real tokens and 0 for padding.

        Args:
            attention_mask: [batch, length], or [batch, length, length] for a mask of its own for each query.
            dtype: the dtype that attention is computed in.
        """
        if attention_mask is None:
            return cls(None)
        mask = attention_mask[:, None, None, :] if attention_mask.dim() == 2 else attention_mask[:, None, :, :]
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return cls(bias.masked_fill(mask == 0, torch.finfo(dtype).min))

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, return_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Attend within each sequence.

        Args:
            query: [batch, length, heads, head size], as are ``key`` and ``value``.
            key: what is attended to.
            value: what is gathered.
            dropout: probability of dropping an attention weight.
            return_weights: compute the weights explicitly and return them.

        Returns:
            The gathered values [batch, length, heads, head size], and the weights [batch, heads, length, length]
            after softmax and dropout, or None.
        """
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))  # [batch, heads, length, size]
        if not return_weights:
            gathered = F.scaled_dot_product_attention(
                query, key, value, attn_mask=self.attention_bias, dropout_p=dropout
            )
            return gathered.transpose(1, 2), None
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # [batch, heads, length, length]
        if self.attention_bias is not None:
            scores = scores + self.attention_bias
        weights = F.dropout(scores.softmax(dim=-1), dropout, training=dropout > 0)
        return (weights @ value).transpose(1, 2), weights
