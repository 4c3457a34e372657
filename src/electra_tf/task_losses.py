"""The losses of fine-tuning: the mean loss of a batch over what is labelled, padding left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import ml_dtypes
from keras import ops

from electra_common import ElectraConfig
from electra_tf.losses import classification_loss, sequence_classification_loss, span_loss

Tensor = Any


def task_loss(
    network: Callable[..., Any],
    config: ElectraConfig,
    inputs: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    weights: Tensor | None = None,
) -> Tensor:
    """Return the loss of a batch, a scalar mean in float32. Padding is not counted.

    Args:
        network: a model with a head for a task.
        config: the model's.
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids``, [batch, length] or [batch, choices, length].
        labels: by the names of the model's arguments.
        weights: how much each label counts, shaped as the labels are; only where they are numbers of classes.
    """
    if "start_positions" in labels:
        return _answer_loss(network, config, inputs, labels)
    logits = network(**without_padding(config, inputs), training=True)["logits"]
    if "float" in keras.backend.standardize_dtype(labels["labels"].dtype):
        return sequence_classification_loss(logits, labels["labels"], "regression")
    return classification_loss(logits, labels["labels"], weights)


def _answer_loss(
    network: Callable[..., Any], config: ElectraConfig, inputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> Tensor:
    if config.head == "google":  # looks at whole rows, and at the labelled start for the end
        return network(**inputs, **labels, training=True)["loss"]
    output = network(**without_padding(config, inputs), training=True)
    smallest = float(ml_dtypes.finfo("float32").min)
    start_logits, end_logits = (
        ops.where(inputs["attention_mask"] == 1, ops.cast(output[name], "float32"), smallest)
        for name in ("start_logits", "end_logits")
    )
    return span_loss(start_logits, end_logits, labels["start_positions"], labels["end_positions"])


def without_padding(config: ElectraConfig, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return a batch as the model's arguments, padding included: a graph's shapes do not say where padding is.

    Args:
        config: the model's.
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids`` of a batch.
    """
    return dict(inputs)
