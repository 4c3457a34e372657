"""The losses of pre-training, each a scalar mean in float32; no labelled token at all gives 0, not NaN."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any

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
    logits = ops.cast(logits, "float32")
    losses = ops.binary_crossentropy(ops.cast(labels, "float32"), logits, from_logits=True)
    weights = ops.ones_like(losses) if attention_mask is None else ops.cast(attention_mask, "float32")
    return weighted_mean(losses, weights)


def masked_language_modeling_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over labelled tokens.

    Args:
        logits: [..., vocabulary].
        labels: [...], token ids; -100 where nothing is to be predicted.
        weights: [...], how much each token counts; 1 by default.
    """
    labels = ops.cast(labels, "int32")
    labelled = ops.cast(labels != IGNORED_LABEL, "float32")
    targets = ops.where(labels == IGNORED_LABEL, 0, labels)
    losses = ops.sparse_categorical_crossentropy(targets, ops.cast(logits, "float32"), from_logits=True)
    counts = labelled if weights is None else ops.cast(weights, "float32") * labelled
    return weighted_mean(losses, counts)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return sum(values * weights) / sum(weights), and 0 where all weights are 0."""
    total = ops.sum(weights)
    return ops.sum(values * weights) / ops.where(total == 0, ops.ones_like(total), total)
