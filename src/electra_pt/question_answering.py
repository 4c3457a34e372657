"""The model for question answering: where an answer starts and ends in a text.

With transformers' head, which scores starts and ends by themselves, or with Google's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from electra_common import ElectraConfig
from electra_common.head_options import IMPOSSIBLE_WEIGHT, SPAN_ENDS, check_head, check_span_labels
from electra_common.outputs import QuestionAnsweringOutput, output_of_head
from electra_pt.google_heads import ElectraAnswerHead
from electra_pt.initialization import Linear
from electra_pt.layout import PackedLayout, logits_of_real_tokens
from electra_pt.losses import impossible_loss, span_loss
from electra_pt.modeling import ElectraModel
from electra_pt.pretrained import ElectraPreTrainedModel


class ElectraForQuestionAnswering(ElectraPreTrainedModel):
    """Where an answer starts and ends in a text: ``start_logits`` and ``end_logits`` are [batch, length]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        check_head(config, "ElectraForQuestionAnswering")
        self.electra = ElectraModel(config)
        if config.head == "google":
            self.answer_head = ElectraAnswerHead(config)
        else:
            self.qa_outputs = Linear(config.hidden_size, SPAN_ENDS)
        self.initialize()

    def forward(
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
    ) -> QuestionAnsweringOutput | tuple[Any, ...]:
        """Look for answers in a batch; arguments as in :class:`ElectraModel`.

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
        )
        found = self._logits(encoded.last_hidden_state, attention_mask, token_type_ids, start_positions)
        loss = None
        if start_positions is not None:
            assert end_positions is not None
            loss = span_loss(
                logits_of_real_tokens(found["start_logits"], layout),
                logits_of_real_tokens(found["end_logits"], layout),
                start_positions,
                end_positions,
            )
            if is_impossible is not None:
                loss = loss + IMPOSSIBLE_WEIGHT * impossible_loss(found["impossible_logits"], is_impossible)
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
        start_logits, end_logits = self.qa_outputs(hidden_states).unbind(-1)  # [batch, length] each
        return {"start_logits": start_logits, "end_logits": end_logits}


def _answer_mask(hidden_states: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
    """Return [batch, length]: 1 at the first token, which stands for no answer, and in the second segment."""
    real = torch.ones_like(hidden_states[..., 0], dtype=torch.long) if attention_mask is None else attention_mask
    if token_type_ids is None:
        return real
    first = torch.arange(real.shape[1], device=real.device)[None] == 0  # [1, length]
    return real * (first | (token_type_ids == 1))
