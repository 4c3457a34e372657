"""The models for fine-tuning: the encoder with a head for tokens, sequences or choices.

Heads, dropout and losses are those of transformers; :mod:`electra_common.head_options` says which configs they take.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from electra_common import ElectraConfig
from electra_common.head_options import (
    check_head,
    check_summary_layout,
    choose_problem_type,
    count_choices,
)
from electra_common.outputs import HeadOutput, output_of_head
from electra_pt.dropout import Dropout
from electra_pt.heads import ElectraClassificationHead, ElectraSequenceSummary
from electra_pt.initialization import Linear
from electra_pt.layout import PackedLayout, first_tokens
from electra_pt.losses import classification_loss, sequence_classification_loss
from electra_pt.modeling import ElectraModel
from electra_pt.pretrained import ElectraPreTrainedModel


class ElectraForTokenClassification(ElectraPreTrainedModel):
    """A class for every token, as in tagging: ``logits`` are [batch, length, labels]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        check_head(config, "ElectraForTokenClassification")
        self.electra = ElectraModel(config)
        self.dropout = Dropout(config.head_dropout_prob)
        self.classifier = Linear(config.hidden_size, config.label_count)
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Tag a batch; arguments as in :class:`ElectraModel`.

        Args:
            labels: [batch, length] class numbers, -100 where nothing is to be predicted; gives ``loss``, their mean.
        """
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            layout=layout,
        )
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        loss = None if labels is None else classification_loss(logits, labels)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)


class ElectraForSequenceClassification(ElectraPreTrainedModel):
    """Classes or a number for a whole sequence or pair of sequences: ``logits`` are [batch, labels]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        check_head(config, "ElectraForSequenceClassification")
        self.electra = ElectraModel(config)
        is_google = config.head == "google"  # one linear layer; the other head drops by itself
        self.dropout = Dropout(config.head_dropout_prob if is_google else 0.0)
        self.classifier = (
            Linear(config.hidden_size, config.label_count) if is_google else ElectraClassificationHead(config)
        )
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Classify a batch; arguments as in :class:`ElectraModel`.

        Args:
            labels: gives ``loss``, a mean. [batch] class numbers (-100 for a row without one), [batch, labels] floats
                where several classes can apply, or [batch] floats for a regression. ``problem_type`` of the config says
                which; if that is None, the labels do, for this call.

        Raises:
            ValueError: the labels have a shape that does not fit.
        """
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            layout=layout,
        )
        logits = self.classifier(self.dropout(first_tokens(encoded.last_hidden_state, layout)))
        loss = None if labels is None else self._loss(logits, labels)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        problem_type = choose_problem_type(
            self.config, labels_are_floating=labels.is_floating_point(), labels_rank=labels.dim()
        )
        return sequence_classification_loss(logits, labels, problem_type)


class ElectraForMultipleChoice(ElectraPreTrainedModel):
    """Which of several continuations fits: inputs are [batch, choices, length], ``logits`` [batch, choices]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        check_head(config, "ElectraForMultipleChoice")
        self.electra = ElectraModel(config)
        self.sequence_summary = ElectraSequenceSummary(config)
        self.classifier = Linear(config.hidden_size, 1)
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Score the choices of a batch; arguments as in :class:`ElectraModel`, with an axis of choices before length.

        Args:
            labels: [batch], the number of the right choice, -100 for a row without one; gives ``loss``, their mean.

        Raises:
            ValueError: an input has no axis of choices, or the summary needs padding that a layout leaves out.
        """
        check_summary_layout(self.config, layout)
        choices = count_choices(_shape(input_ids), _shape(inputs_embeds))
        encoded = self.electra(
            _without_choices(input_ids),
            _without_choices(attention_mask),
            _without_choices(token_type_ids),
            position_ids=_without_choices(position_ids),
            inputs_embeds=_without_choices(inputs_embeds),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            layout=layout,
        )
        summary = self.sequence_summary(encoded.last_hidden_state)  # [batch * choices, hidden]
        logits = self.classifier(summary).view(-1, choices)  # [batch, choices]
        loss = None if labels is None else classification_loss(logits, labels)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)


def _shape(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.shape


def _without_choices(tensor: Tensor | None) -> Tensor | None:
    """[batch, choices, ...] -> [batch * choices, ...]."""
    return None if tensor is None else tensor.flatten(0, 1)
