"""How the tokens of a batch are arranged, which is all that attention has to know about padding.

Every layer works on ``[..., hidden]`` and asks its layout to attend. There are two arrangements: padded,
[batch, length] with a mask; and packed, all real tokens in one row, with sequence boundaries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from electra_common.packing import PADDED_RANK, Packing, pack_lengths, pack_mask
from electra_pt.dropout import dropout as dropped


@dataclass(frozen=True)
class PaddedLayout:
    """Tokens as [batch, length], rows filled up with padding.

    Attributes:
        attention_bias: None if every token may attend to every token, else [batch, 1, 1 or length, length]: 0 where
            attending is allowed, the smallest number of the dtype where it is not (transformers' rule; Google adds
            -10000, which gives the same probabilities).
        has_blind_queries: whether a token may have nothing to attend to, as in a row of nothing but padding. Torch's
            fused attention gives wrong gradients there on the CPU.
    """

    attention_bias: Tensor | None
    has_blind_queries: bool = False

    @classmethod
    def from_mask(cls, attention_mask: Tensor | None, dtype: torch.dtype) -> PaddedLayout:
        """Build the layout from a mask, 1 for real tokens and 0 for padding.

        Args:
            attention_mask: [batch, length], or [batch, length, length] for a mask of its own for each query.
            dtype: the dtype that attention is computed in.
        """
        if attention_mask is None or _is_full(attention_mask):
            return cls(None)
        mask = attention_mask[:, None, None, :] if attention_mask.dim() == 2 else attention_mask[:, None, :, :]
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        is_blind = _is_visible(mask) and not bool((mask != 0).any(dim=-1).all())
        return cls(bias.masked_fill(mask == 0, torch.finfo(dtype).min), is_blind)

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """Return those of the hidden states that the last layer computes: here all of them."""
        return hidden_states

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
        # Torch has no fused attention with dropout on a CPU; step by step, the mask is drawn more quickly.
        is_slow = dropout > 0 and query.device.type == "cpu"
        is_wrong = self.has_blind_queries and query.requires_grad
        if not (return_weights or is_slow or is_wrong):
            gathered = F.scaled_dot_product_attention(
                query, key, value, attn_mask=self.attention_bias, dropout_p=dropout
            )
            return gathered.transpose(1, 2), None
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # [batch, heads, length, length]
        if self.attention_bias is not None:
            scores = scores + self.attention_bias
        weights = dropped(scores.softmax(dim=-1), dropout)
        return (weights @ value).transpose(1, 2), weights if return_weights else None


@dataclass(frozen=True)
class PackedLayout:
    """Tokens as one row [tokens], one sequence behind the other and no padding between them.

    Given to a model together with padded inputs, they are packed on the way in and unpacked on the way out. Packed
    inputs give packed outputs. Several models can share one layout.

    Attributes:
        packing: where each token goes.
        index: ``packing.index`` as a tensor on the device of the model.
    """

    packing: Packing
    index: Tensor

    @classmethod
    def from_mask(cls, attention_mask: Tensor) -> PackedLayout:
        """Build the layout of a padded batch.

        Args:
            attention_mask: [batch, length], or with an axis of choices between, 1 for real tokens.

        Raises:
            ValueError: a row has no real token.
        """
        packing = pack_mask(attention_mask.detach().cpu().numpy())
        return cls(packing, torch.from_numpy(packing.index).to(attention_mask.device))

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], device: Any = None) -> PackedLayout:
        """Build the layout of a row that is packed already; neighbours of one length are computed together.

        Args:
            lengths: tokens of each sequence, in the order of the row.
            device: where the model is; the CPU by default.

        Raises:
            ValueError: there is no sequence, or an empty one.
        """
        packing = pack_lengths(lengths)
        return cls(packing, torch.from_numpy(packing.index).to(device))

    @property
    def positions(self) -> Tensor:
        """[tokens], the position of each token in its sequence."""
        return self.index % self.packing.shape[1]

    @property
    def mask(self) -> Tensor:
        """[batch, length], 1 for real tokens."""
        return self.unpack(torch.ones_like(self.index))

    def mask_of(self, logits: Tensor) -> Tensor | None:
        """Return the mask of logits, one a token: :attr:`mask`, or None in a packed row, where all tokens are real."""
        return self.mask if len(logits.shape) > 1 else None

    def pack(self, padded: Tensor) -> Tensor:
        """[batch, length, ...] -> [tokens, ...]; a batch of 1 stands for every row."""
        whole = padded.expand(*self.packing.shape, *padded.shape[2:])
        return whole.flatten(0, 1).index_select(0, self.index)

    def unpack(self, packed: Tensor, fill: float = 0.0) -> Tensor:
        """[tokens, ...] -> [batch, length, ...], padding filled up with a number."""
        batch, length = self.packing.shape
        padding = packed.new_full((batch * length, *packed.shape[1:]), fill)
        return padding.index_copy(0, self.index, packed).view(batch, length, *packed.shape[1:])

    def first(self, packed: Tensor) -> Tensor:
        """[tokens, ...] -> [batch, ...], the first token of each sequence, in the order of the batch."""
        return packed.index_select(0, torch.from_numpy(self.packing.first).to(packed.device))

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """Return those of the hidden states that the last layer computes: here all of them."""
        return hidden_states

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, return_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Attend within each sequence.

        Args:
            query: [tokens, heads, head size], as are ``key`` and ``value``; or one for each sequence, in their order.
            key: what is attended to.
            value: what is gathered.
            dropout: probability of dropping an attention weight.
            return_weights: compute the weights explicitly; a packed row has no place to return them in.

        Returns:
            The gathered values, one for each query, and None.
        """
        if not return_weights and dropout == 0 and _has_kernel(query):
            return self._attend_in_one_kernel(query, key, value), None
        inside = PaddedLayout(None)
        gathered = []
        # Cut in one operation: its gradient is one concatenation, where that of each slice would be as long as the row.
        sizes = [run.stop - run.start for run in self.packing.runs]
        query_sizes = sizes if len(query) == len(key) else [run.sequences for run in self.packing.runs]
        cut = (torch.split(query, query_sizes), torch.split(key, sizes), torch.split(value, sizes))
        for run, *parts in zip(self.packing.runs, *cut, strict=True):
            inputs = (part.view(run.sequences, -1, *query.shape[1:]) for part in parts)  # [run's, length, heads, size]
            values, _ = inside.attend(*inputs, dropout=dropout, return_weights=return_weights)
            gathered.append(values.flatten(0, 1))  # [run's queries, heads, head size]
        return torch.cat(gathered), None

    def _attend_in_one_kernel(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        runs = self.packing.runs
        lengths = [run.length for run in runs for _ in range(run.sequences)]
        query_lengths = lengths if len(query) == len(key) else [1] * len(lengths)
        query_ends, ends = (
            torch.tensor([0, *counts], device=query.device).cumsum(0).to(torch.int32)  # [sequences + 1]
            for counts in (query_lengths, lengths)
        )
        gathered = varlen_attn(query, key, value, query_ends, ends, max(query_lengths), max(lengths))
        assert isinstance(gathered, Tensor)  # a pair only where more is asked for
        return gathered


class FirstTokensLayout(PackedLayout):
    """A packed layout for heads that look at first tokens alone: the last layer computes no others.

    Hidden states of the last layer are then [batch, 1, hidden], or one a sequence of a packed row; where all layers'
    hidden states are asked for, it is like any packed layout.
    """

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """[tokens, hidden] -> [sequences, hidden], in the order of the row."""
        return hidden_states.index_select(0, torch.from_numpy(self.packing.starts).to(hidden_states.device))

    def unpack(self, packed: Tensor, fill: float = 0.0) -> Tensor:
        """As of any packed layout; first tokens alone [sequences, ...] -> [batch, 1, ...]."""
        return super().unpack(packed, fill) if self._has_all_tokens(packed) else self.first(packed)[:, None]

    def first(self, packed: Tensor) -> Tensor:
        """[tokens, ...], or first tokens alone [sequences, ...] -> [batch, ...], in the order of the batch."""
        if self._has_all_tokens(packed):
            return super().first(packed)
        return packed.index_select(0, torch.from_numpy(self.packing.order).to(packed.device))

    def _has_all_tokens(self, packed: Tensor) -> bool:
        return packed.shape[0] == self.index.shape[0]


def _is_full(mask: Tensor) -> bool:
    """Whether nothing is masked."""
    return _is_visible(mask) and bool(mask.all())


def _is_visible(mask: Tensor) -> bool:
    """Whether to look at a mask's numbers: on the CPU, where it is cheap, outside of what is traced or compiled."""
    is_recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return mask.device.type == "cpu" and not is_recorded


def _has_kernel(query: Tensor) -> bool:
    """Whether torch has one kernel for sequences of many lengths: on CUDA, in half precision, without dropout."""
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    return query.is_cuda and is_half and query.shape[-1] % 8 == 0 and find_spec("torch.nn.attention.varlen") is not None


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
    smallest = torch.finfo(logits.dtype).min
    if len(logits.shape) < PADDED_RANK:
        return layout.unpack(logits, smallest)
    return torch.where(layout.mask == 1, logits, smallest)
