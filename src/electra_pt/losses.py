"""The losses of pre-training, each a scalar mean in float32; no labelled token at all gives 0, not NaN."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED_LABEL = -100


def replaced_token_detection_loss(logits: Tensor, labels: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over real tokens, [CLS] and [SEP] included (paper, section 2).

    Args:
        logits: [batch, length].
        labels: [batch, length], 1 where the token was replaced.
        attention_mask: [batch, length], 1 for real tokens; all are real by default.

    Raises:
        ValueError: the mask is one for each query; it does not say which tokens are real.
    """
    if attention_mask is not None and len(attention_mask.shape) != 2:
        raise ValueError(f"the loss needs a mask of [batch, length], found {list(attention_mask.shape)}")
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    weights = torch.ones_like(losses) if attention_mask is None else attention_mask.to(losses.dtype)
    return weighted_mean(losses, weights)


def masked_language_modeling_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over labelled tokens.

    Args:
        logits: [..., vocabulary].
        labels: [...], token ids; -100 where nothing is to be predicted.
        weights: [...], how much each token counts; 1 by default.
    """
    labelled = labels != IGNORED_LABEL
    flat = F.cross_entropy(
        logits.float().flatten(0, -2),  # [tokens, vocabulary]
        labels.flatten().long(),
        reduction="none",
        ignore_index=IGNORED_LABEL,
    )
    counts = labelled.to(flat.dtype) if weights is None else weights.to(flat.dtype) * labelled
    return weighted_mean(flat.view(labels.shape), counts)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return sum(values * weights) / sum(weights), and 0 where all weights are 0."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total == 0, torch.ones_like(total), total)
