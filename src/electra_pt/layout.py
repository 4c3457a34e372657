"""How the tokens of a batch are arranged, which is all that attention has to know about padding.

Every layer works on ``[..., hidden]`` and asks its layout to attend. There are two arrangements: padded,
[batch, length] with a mask; and packed, all real tokens in one row, with sequence boundaries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from electra_common.packing import PADDED_RANK, Packing, pack_lengths, pack_mask
from electra_pt.dropout import dropout as dropped

_KERNELS_MULTIPLE: Final = 8  # of a head's size, for the kernels of a GPU


@dataclass(frozen=True)
class PaddedLayout:
    """Tokens as [batch, length], rows filled up with padding.

    Attributes:
        attention_bias: None if every token may attend to every token, else [batch, 1, 1 or length, length]: 0 where
            attending is allowed, the smallest number of the dtype where it is not (transformers' rule; Google adds
            -10000, which gives the same probabilities).
        blind_queries: None, or [batch, 1, 1 or length, 1]: true for a token that has nothing to attend to, as in a row
            of nothing but padding. It attends to everything equally, but torch's fused attention gives wrong gradients
            of that. None too where no gradients are computed.
    """

    attention_bias: Tensor | None
    blind_queries: Tensor | None = None

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
        return cls(bias.masked_fill(mask == 0, torch.finfo(dtype).min), _blind_queries(mask))

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
            value: what is summed, weighted by attention.
            dropout: probability of dropping an attention weight.
            return_weights: compute the weights explicitly and return them.

        Returns:
            The weighted sums [batch, length, heads, head size], and the weights [batch, heads, length, length]
            after softmax and dropout, or None.
        """
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))  # [batch, heads, length, size]
        # Torch has no fused attention with dropout on a CPU; step by step, the mask is drawn more quickly.
        is_slow = dropout > 0 and query.device.type == "cpu"
        is_wrong = self._spoils_gradients(query, key, value)
        if not (return_weights or is_slow or (is_wrong and not _is_recorded())):
            query, bias = self._seeing(query) if is_wrong else (query, self.attention_bias)
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
            return context.transpose(1, 2), None  # [batch, length, heads, head size]
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # [batch, heads, length, length]
        if self.attention_bias is not None:
            scores = scores + self.attention_bias
        weights = dropped(scores.softmax(dim=-1), dropout)
        context = (weights @ value).transpose(1, 2)  # [batch, length, heads, head size]
        return context, weights if return_weights else None

    def _spoils_gradients(self, *inputs: Tensor) -> bool:
        """Whether a gradient of fused attention to these would be wrong."""
        is_trained = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        return self.blind_queries is not None and is_trained

    def _seeing(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and a bias for fused attention that gives the same values, and gradients that are right.

        For compiled programs, which serve every mask: unfused attention would cost them more time and memory. A blind
        query attends to everything equally, and so does a query of 0 without a bias. The gradient of that one, and of
        the keys through it, is 0; unfused attention has one, of scores that the smallest number has absorbed.
        """
        assert self.blind_queries is not None
        assert self.attention_bias is not None
        return query.masked_fill(self.blind_queries, 0.0), self.attention_bias.masked_fill(self.blind_queries, 0.0)


@dataclass(eq=False)  # not frozen: torch.compile looks at all that is in a frozen one, at what it does not need too
class PackedLayout:
    """Tokens as one row [tokens], one sequence behind the other and no padding between them.

    Given to a model together with padded inputs, they are packed on the way in and unpacked on the way out. Packed
    inputs give packed outputs. Several models can share one layout.

    Attributes:
        packing: where each token goes.
        index: ``packing.index`` as a tensor on the device of the model.
        offsets: [sequences + 1] int32, where each sequence of the row starts, and where the last one ends.
        places: [tokens], where each token goes if sequences are padded in the order of the row: its sequence's number
            times the greatest length, plus its number there.
    """

    packing: Packing
    index: Tensor
    offsets: Tensor
    places: Tensor

    @classmethod
    def from_mask(cls, attention_mask: Tensor) -> PackedLayout:
        """Build the layout of a padded batch.

        Args:
            attention_mask: [batch, length], or with an axis of choices between, 1 for real tokens.

        Raises:
            ValueError: a row has no real token.
        """
        return cls._of(pack_mask(attention_mask.detach().cpu().numpy()), attention_mask.device)

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], device: Any = None) -> PackedLayout:
        """Build the layout of a row that is packed already; neighbours of one length are computed together.

        Args:
            lengths: tokens of each sequence, in the order of the row.
            device: where the model is; the CPU by default.

        Raises:
            ValueError: there is no sequence, or an empty one.
        """
        return cls._of(pack_lengths(lengths), device)

    @classmethod
    def _of(cls, packing: Packing, device: Any) -> Self:
        offsets = np.append(packing.starts, len(packing.index))
        numbers = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))  # [tokens], of their sequences
        places = numbers * packing.shape[1] + np.arange(len(packing.index)) - offsets[numbers]
        arrays = (packing.index, offsets.astype(np.int32), places)  # int32: what torch's kernels take
        return cls(packing, *(torch.from_numpy(array).to(device) for array in arrays))

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
        whole = padded.expand(*self.packing.shape, *padded.shape[2:])  # [batch, length, ...]
        return whole.flatten(0, 1).index_select(0, self.index)  # [batch * length, ...] -> [tokens, ...]

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
            value: what is summed, weighted by attention.
            dropout: probability of dropping an attention weight.
            return_weights: compute the weights explicitly; a packed row has no place to return them in.

        Returns:
            The weighted sums, one for each query, and None.
        """
        if query.is_cuda and not return_weights:
            attend = self._attend_by_offsets if _has_kernel(query) else self._attend_padded
            return attend(query, key, value, dropout), None
        inside = PaddedLayout(None)
        context = []
        # Cut in one operation: its gradient is one concatenation, where that of each slice would be as long as the row.
        sizes = [run.stop - run.start for run in self.packing.runs]
        query_sizes = sizes if len(query) == len(key) else [run.sequences for run in self.packing.runs]
        cut = (torch.split(query, query_sizes), torch.split(key, sizes), torch.split(value, sizes))
        for run, *parts in zip(self.packing.runs, *cut, strict=True):
            inputs = (part.view(run.sequences, -1, *query.shape[1:]) for part in parts)  # [run's, length, heads, size]
            values, _ = inside.attend(*inputs, dropout=dropout, return_weights=return_weights)
            context.append(values.flatten(0, 1))  # [run's queries, heads, head size]
        return torch.cat(context), None

    def _attend_by_offsets(self, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """Attend in one kernel for sequences of many lengths: arguments and result as of :meth:`attend`."""
        offsets, longest = self.offsets, self.packing.shape[1]
        query_offsets, most_queries = offsets, longest
        if len(query) != len(key):  # one for each sequence
            query_offsets, most_queries = torch.arange(len(offsets), dtype=torch.int32, device=query.device), 1
        if dropout == 0 and find_spec("torch.nn.attention.varlen") is not None:
            from torch.nn.attention.varlen import varlen_attn

            context = varlen_attn(query, key, value, query_offsets, offsets, most_queries, longest)
            assert isinstance(context, Tensor)  # a pair only where more is asked for
            return context
        # The function for everyone knows no dropout; this is the kernel that it calls.
        ends = (query_offsets, offsets, most_queries, longest)
        found: tuple[Tensor, ...] = torch.ops.aten._flash_attention_forward(
            query, key, value, *ends, dropout_p=dropout, is_causal=False, return_debug_mask=False
        )
        return found[0]

    def _attend_padded(self, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """Attend in torch's kernel for padded rows, which alone are padded: as :meth:`_attend_by_offsets`."""
        length, has_all = self.packing.shape[1], len(query) == len(key)
        is_key = self._padded(torch.ones_like(self.places, dtype=torch.bool))  # [sequences, length]
        mask = is_key[:, None, None].expand(-1, query.shape[1], length if has_all else 1, -1)
        context = F.scaled_dot_product_attention(
            (self._padded(query) if has_all else query[:, None]).transpose(1, 2),  # [sequences, heads, queries, size]
            self._padded(key).transpose(1, 2),
            self._padded(value).transpose(1, 2),
            attn_mask=mask,  # [sequences, heads, queries, length]
            dropout_p=dropout,
        )
        flat = context.transpose(1, 2).flatten(0, 1)  # [sequences * queries, heads, size]
        return flat.index_select(0, self.places) if has_all else flat

    def _padded(self, packed: Tensor) -> Tensor:
        """[tokens, ...] -> [sequences, length, ...], in the order of the row."""
        sequences, length = len(self.offsets) - 1, self.packing.shape[1]
        zeros = packed.new_zeros((sequences * length, *packed.shape[1:]))
        return zeros.index_copy(0, self.places, packed).view(sequences, length, *packed.shape[1:])


class FirstTokensLayout(PackedLayout):
    """A packed layout for heads that look at first tokens alone: the last layer computes no others.

    Hidden states of the last layer are then [batch, 1, hidden], or one a sequence of a packed row; where all layers'
    hidden states are asked for, it is like any packed layout.
    """

    def last_queries(self, hidden_states: Tensor) -> Tensor:
        """[tokens, hidden] -> [sequences, hidden], in the order of the row."""
        return hidden_states.index_select(0, self.offsets[:-1])

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


def _blind_queries(mask: Tensor) -> Tensor | None:
    """[batch, 1, 1 or length, tokens] -> [batch, 1, 1 or length, 1], true where nothing may be attended to, or None.

    None where there is no such query, or where no gradient could go wrong. What a compiler records has to serve all
    masks. A CUDA graph has to be as the calls before it, which looked: it holds for masks without such queries.
    """
    if not torch.is_grad_enabled() or mask.device.type == "meta" or _is_captured(mask):
        return None
    blind = (mask == 0).all(dim=-1, keepdim=True)
    return None if _is_visible(mask) and not blind.any() else blind


def _is_full(mask: Tensor) -> bool:
    """Whether nothing is masked."""
    return _is_visible(mask) and bool(mask.all())


def _is_visible(mask: Tensor) -> bool:
    """Whether to look at a mask's numbers: outside of what is recorded. A GPU has to be waited for."""
    return mask.device.type != "meta" and not _is_recorded() and not _is_captured(mask)


def _is_recorded() -> bool:
    """Whether a program is being made of what is computed."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def _is_captured(mask: Tensor) -> bool:
    """Whether a CUDA graph is being recorded."""
    return mask.is_cuda and torch.cuda.is_current_stream_capturing()


def _has_kernel(query: Tensor) -> bool:
    """Whether torch has a kernel for sequences of many lengths: in half precision, for heads of most sizes."""
    return query.dtype in (torch.float16, torch.bfloat16) and query.shape[-1] % _KERNELS_MULTIPLE == 0


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
