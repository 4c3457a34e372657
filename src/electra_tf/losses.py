"""The losses, each a scalar mean in float32; nothing labelled at all gives 0, not NaN."""

from __future__ import annotations

from typing import Any

from keras import ops

from electra_common.head_options import IGNORED_LABEL, check_label_shape

Tensor = Any


def replaced_token_detection_loss(logits: Tensor, labels: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over real tokens, [CLS] and [SEP] included (paper, section 2).

    Args:
        logits: [batch, length].
        labels: [batch, length], 1 where the token was replaced.
        attention_mask: [batch or 1, length], 1 for real tokens; all are real by default.

    Raises:
        ValueError: the mask is one for each query; it does not say which tokens are real.
    """
    if attention_mask is not None and len(attention_mask.shape) != 2:
        raise ValueError(f"the loss needs a mask of [batch, length], found {list(attention_mask.shape)}")
    logits = ops.cast(logits, "float32")
    losses = ops.binary_crossentropy(ops.cast(labels, "float32"), logits, from_logits=True)
    weights = ops.ones_like(losses)  # one mask for all rows, [1, length], weighs every one of them
    return weighted_mean(losses, weights if attention_mask is None else weights * ops.cast(attention_mask, "float32"))


def classification_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over what is labelled: masked tokens, tagged tokens, rows of a class, choices.

    Args:
        logits: [..., classes].
        labels: [...] or [..., 1], class numbers or token ids; -100 where nothing is to be predicted.
        weights: [...], how much each label counts; 1 by default.

    Raises:
        ValueError: the labels have another shape than the logits without their classes.
    """
    labels = ops.cast(labels, "int32")
    if len(labels.shape) == len(logits.shape) and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)  # [..., 1] -> [...]
    check_label_shape(labels.shape, logits.shape[:-1])
    labelled = ops.cast(labels != IGNORED_LABEL, "float32")
    targets = ops.where(labels == IGNORED_LABEL, 0, labels)
    losses = ops.sparse_categorical_crossentropy(targets, ops.cast(logits, "float32"), from_logits=True)
    counts = labelled if weights is None else ops.cast(weights, "float32") * labelled
    return weighted_mean(losses, counts)


def sequence_classification_loss(logits: Tensor, labels: Tensor, problem_type: str) -> Tensor:
    """Mean squared error, cross-entropy, or binary cross-entropy for each class.

    Args:
        logits: [batch, classes].
        labels: [batch, classes] floats, or [batch] class numbers for ``"single_label_classification"``, -100 for a row
            without a label; [batch] will do for a regression to one number.
        problem_type: as in the config.

    Raises:
        ValueError: the labels have another shape than the logits.
    """
    if problem_type == "single_label_classification":
        return classification_loss(logits, labels)
    logits = ops.cast(logits, "float32")
    targets = ops.cast(labels, "float32")
    if len(targets.shape) == 1 and logits.shape[-1] == 1:
        targets = targets[:, None]  # [batch] -> [batch, 1]
    check_label_shape(targets.shape, logits.shape)
    if problem_type == "regression":
        losses = ops.square(logits - targets)
    else:
        losses = ops.binary_crossentropy(targets, logits, from_logits=True)
    return weighted_mean(losses, ops.ones_like(losses))


def span_loss(start_logits: Tensor, end_logits: Tensor, start_positions: Tensor, end_positions: Tensor) -> Tensor:
    """Mean of the cross-entropies of a span's start and of its end.

    Args:
        start_logits: [batch, length].
        end_logits: [batch, length].
        start_positions: [batch] or [batch, 1]; below 0 counts as 0, and ``length`` or more as no label.
        end_positions: likewise.
    """
    length = ops.shape(start_logits)[-1]
    start_loss = classification_loss(start_logits, _within(start_positions, length))
    return (start_loss + classification_loss(end_logits, _within(end_positions, length))) / 2


def impossible_loss(impossible_logits: Tensor, is_impossible: Tensor) -> Tensor:
    """Mean binary cross-entropy of whether a text has no answer.

    Args:
        impossible_logits: [batch], positive for no answer.
        is_impossible: [batch], 1 for no answer.
    """
    targets = ops.reshape(ops.cast(is_impossible, "float32"), (-1,))  # [batch]
    losses = ops.binary_crossentropy(targets, ops.cast(impossible_logits, "float32"), from_logits=True)
    return weighted_mean(losses, ops.ones_like(losses))


def _within(positions: Tensor, length: Any) -> Tensor:
    """Return positions [batch] as labels: the rules are transformers'."""
    positions = ops.maximum(ops.reshape(ops.cast(positions, "int32"), (-1,)), 0)  # [batch, 1] -> [batch]
    return ops.where(positions >= length, IGNORED_LABEL, positions)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return sum(values * weights) / sum(weights), and 0 where all weights are 0."""
    total = ops.sum(weights)
    return ops.sum(values * weights) / ops.where(total == 0, ops.ones_like(total), total)
