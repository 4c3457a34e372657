"""The model for question answering: where an answer starts and ends in a text.

With transformers' head, which scores starts and ends by themselves, or with Google's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.head_options import IMPOSSIBLE_WEIGHT, SPAN_ENDS, check_head, check_span_labels
from electra_common.outputs import QuestionAnsweringOutput, output_of_head
from electra_tf.google_heads import TFElectraAnswerHead
from electra_tf.initialization import linear
from electra_tf.layout import PackedLayout, logits_of_real_tokens
from electra_tf.losses import impossible_loss, span_loss
from electra_tf.modeling import TFElectraModel
from electra_tf.pretrained import TFElectraPreTrainedModel

Tensor = Any


class TFElectraForQuestionAnswering(TFElectraPreTrainedModel):
    """Where an answer starts and ends in a text: ``start_logits`` and ``end_logits`` are [batch, length]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        check_head(config, "ElectraForQuestionAnswering")
        with keras.name_scope(self.name):
            self.electra = TFElectraModel(config, dtype=self.dtype_policy)
        if config.head == "google":
            self.answer_head = TFElectraAnswerHead(config, name="answer_head", dtype=self.dtype_policy)
        else:
            self.qa_outputs = linear(config, SPAN_ENDS, "qa_outputs", self.dtype_policy)
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        head = self.answer_head if self.config.head == "google" else self.qa_outputs
        head.build((None, None, self.config.hidden_size))

    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        is_impossible: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
        training: bool | None = None,
    ) -> QuestionAnsweringOutput | tuple[Any, ...]:
        """Look for answers in a batch; arguments as in :class:`TFElectraModel`.

        Args:
            start_positions: [batch], the answer's first token; with ``end_positions`` gives ``loss``, a mean. Below 0
                counts as 0; ``length`` or more, as where an answer was cut off, counts as no label.
            end_positions: [batch], the answer's last token.
            is_impossible: [batch], 1 where the text has no answer; for ``head="google"``, whose loss it joins.
            layout: as in the encoder; with one, padding takes no part in the softmax of the loss.

        Raises:
            ValueError: labels or the layout do not go together with one another or with the head.
        """
        check_span_labels(self.config, layout, start_positions, end_positions, is_impossible)
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
        found = self._logits(encoded.last_hidden_state, attention_mask, token_type_ids, start_positions)
        loss = None
        if start_positions is not None:
            labels = {"start_positions": start_positions, "end_positions": end_positions}
            labels |= {} if is_impossible is None else {"is_impossible": is_impossible}
            real = {name: logits_of_real_tokens(found[name], layout) for name in ("start_logits", "end_logits")}
            loss = self.own_loss({**found, **real}, labels, attention_mask)
        return output_of_head(QuestionAnsweringOutput, encoded, self.config, return_dict, loss=loss, **found)

    def _logits(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        start_positions: Tensor | None,
    ) -> dict[str, Tensor]:
        if self.config.head == "google":
            mask = _answer_mask(hidden_states, attention_mask, token_type_ids)
            found: dict[str, Tensor] = self.answer_head(hidden_states, mask, start_positions)
            return found
        start_logits, end_logits = ops.unstack(self.qa_outputs(hidden_states), axis=-1)  # [batch, length] each
        return {"start_logits": start_logits, "end_logits": end_logits}

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the mean of the losses of start and end, and of answerability where it is labelled."""
        if "start_top_index" in output:
            raise ValueError('head="google" is trained on the end given the right start: labels go among the inputs')
        ends = (labels["start_positions"], labels["end_positions"])
        loss = span_loss(output["start_logits"], output["end_logits"], *ends)
        if "is_impossible" in labels:
            loss = loss + IMPOSSIBLE_WEIGHT * impossible_loss(output["impossible_logits"], labels["is_impossible"])
        return loss


def _answer_mask(hidden_states: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
    """Return [batch, length]: 1 at the first token, which stands for no answer, and in the second segment."""
    real = (
        ops.ones_like(hidden_states[..., 0], "int32") if attention_mask is None else ops.cast(attention_mask, "int32")
    )
    if token_type_ids is None:
        return real
    first = ops.arange(ops.shape(real)[1])[None] == 0  # [1, length]
    return real * ops.cast(ops.logical_or(first, token_type_ids == 1), "int32")
