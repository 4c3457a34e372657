"""The losses of fine-tuning: the mean loss of a batch over what is labelled, padding left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from electra_common import ElectraConfig
from electra_pt.layout import FirstTokensLayout, PackedLayout
from electra_pt.losses import classification_loss, sequence_classification_loss, span_loss

_LOOK_AT_FIRST_TOKENS: Final = (("ElectraForSequenceClassification",), ("ElectraForMultipleChoice",))


def task_loss(
    network: Callable[..., Any],
    config: ElectraConfig,
    inputs: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    weights: Tensor | None = None,
) -> Tensor:
    """Return the loss of a batch, a scalar mean in float32. Padding is neither computed nor counted.

    Args:
        network: a model with a head for a task, or what calls one.
        config: the model's.
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids``, [batch, length] or [batch, choices, length].
        labels: by the names of the model's arguments.
        weights: how much each label counts, shaped as the labels are; only where they are numbers of classes.
    """
    if "start_positions" in labels:
        return _answer_loss(network, config, inputs, labels)
    logits: Tensor = network(**without_padding(config, inputs), return_dict=True).logits
    if labels["labels"].is_floating_point():
        return sequence_classification_loss(logits, labels["labels"], "regression")
    return classification_loss(logits, labels["labels"], weights)


def _answer_loss(
    network: Callable[..., Any], config: ElectraConfig, inputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> Tensor:
    if config.head == "google":  # looks at whole rows, and at the labelled start for the end
        loss: Tensor = network(**inputs, **labels, return_dict=True).loss
        return loss
    output = network(**without_padding(config, inputs), return_dict=True)
    smallest = torch.finfo(torch.float32).min
    start_logits, end_logits = (
        torch.where(inputs["attention_mask"] == 1, logits.float(), smallest)
        for logits in (output.start_logits, output.end_logits)
    )
    return span_loss(start_logits, end_logits, labels["start_positions"], labels["end_positions"])


def without_padding(config: ElectraConfig, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments that let a model leave padding out, where its head can do without it.

    Args:
        config: the model's.
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids`` of a batch.
    """
    looks_at_whole_rows = config.head == "google" and config.architectures == ("ElectraForQuestionAnswering",)
    if looks_at_whole_rows or config.summary_type != "first":
        return dict(inputs)
    others = {name: tensor for name, tensor in inputs.items() if name != "attention_mask"}
    kind = FirstTokensLayout if config.architectures in _LOOK_AT_FIRST_TOKENS else PackedLayout
    return {**others, "layout": kind.from_mask(inputs["attention_mask"])}
