"""The models for fine-tuning: the encoder with a head for tokens, sequences or choices.

Heads, dropout and losses are those of transformers; :mod:`electra_common.head_options` says which configs they take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.head_options import (
    CHOICE_RANK,
    check_head,
    check_summary_layout,
    choose_problem_type,
    count_choices,
)
from electra_common.outputs import HeadOutput, output_of_head
from electra_tf.heads import TFElectraClassificationHead, TFElectraSequenceSummary
from electra_tf.initialization import linear
from electra_tf.layout import PackedLayout, first_tokens
from electra_tf.losses import classification_loss, sequence_classification_loss
from electra_tf.modeling import TFElectraModel
from electra_tf.pretrained import TFElectraPreTrainedModel

Tensor = Any


class TFElectraForTokenClassification(TFElectraPreTrainedModel):
    """A class for every token, as in tagging: ``logits`` are [batch, length, labels]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        check_head(config, "ElectraForTokenClassification")
        with keras.name_scope(self.name):
            self.electra = TFElectraModel(config, dtype=self.dtype_policy)
        self.dropout = keras.layers.Dropout(config.head_dropout_prob, dtype=self.dtype_policy)
        self.classifier = linear(config, config.label_count, "classifier", self.dtype_policy)
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        self.classifier.build((None, None, self.config.hidden_size))

    def call(
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
        training: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Tag a batch; arguments as in :class:`TFElectraModel`.

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
            training=training,
        )
        logits = self.classifier(self.dropout(encoded.last_hidden_state, training=training))
        loss = None if labels is None else self.own_loss({"logits": logits}, {"labels": labels}, attention_mask)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the mean cross-entropy over labelled tokens."""
        return classification_loss(output["logits"], labels["labels"])


class TFElectraForSequenceClassification(TFElectraPreTrainedModel):
    """Classes or a number for a whole sequence or pair of sequences: ``logits`` are [batch, labels]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        check_head(config, "ElectraForSequenceClassification")
        with keras.name_scope(self.name):
            self.electra = TFElectraModel(config, dtype=self.dtype_policy)
        self.is_google = config.head == "google"  # one linear layer; the other head drops by itself
        self.dropout = keras.layers.Dropout(
            config.head_dropout_prob if self.is_google else 0.0, dtype=self.dtype_policy
        )
        self.classifier = (
            linear(config, config.label_count, "classifier", self.dtype_policy)
            if self.is_google
            else TFElectraClassificationHead(config, name="classifier", dtype=self.dtype_policy)
        )
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        self.classifier.build((None, self.config.hidden_size))

    def call(
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
        training: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Classify a batch; arguments as in :class:`TFElectraModel`.

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
            training=training,
        )
        first = self.dropout(first_tokens(encoded.last_hidden_state, layout), training=training)
        logits = self.classifier(first) if self.is_google else self.classifier(first, training=training)
        loss = None if labels is None else self.own_loss({"logits": logits}, {"labels": labels}, attention_mask)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the loss of what the labels say the model is trained for."""
        given = labels["labels"]
        problem_type = choose_problem_type(
            self.config, labels_are_floating=keras.backend.is_float_dtype(given.dtype), labels_rank=len(given.shape)
        )
        return sequence_classification_loss(output["logits"], given, problem_type)


class TFElectraForMultipleChoice(TFElectraPreTrainedModel):
    """Which of several continuations fits: inputs are [batch, choices, length], ``logits`` [batch, choices]."""

    input_rank = CHOICE_RANK

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        check_head(config, "ElectraForMultipleChoice")
        with keras.name_scope(self.name):
            self.electra = TFElectraModel(config, dtype=self.dtype_policy)
        self.sequence_summary = TFElectraSequenceSummary(config, name="sequence_summary", dtype=self.dtype_policy)
        self.classifier = linear(config, 1, "classifier", self.dtype_policy)
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        self.sequence_summary.build()
        self.classifier.build((None, self.config.hidden_size))

    def call(
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
        training: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Score the choices of a batch; arguments as in :class:`TFElectraModel`, with an axis of choices before length.

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
            training=training,
        )
        summary = self.sequence_summary(encoded.last_hidden_state, training=training)  # [batch * choices, hidden]
        logits = ops.reshape(self.classifier(summary), (-1, choices))  # [batch, choices]
        loss = None if labels is None else self.own_loss({"logits": logits}, {"labels": labels}, attention_mask)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the mean cross-entropy over rows with a label."""
        return classification_loss(output["logits"], labels["labels"])


def _shape(tensor: Tensor | None) -> Any:
    return None if tensor is None else ops.shape(tensor)


def _without_choices(tensor: Tensor | None) -> Tensor | None:
    """[batch, choices, ...] -> [batch * choices, ...]."""
    return None if tensor is None else ops.reshape(tensor, (-1, *ops.shape(tensor)[2:]))
