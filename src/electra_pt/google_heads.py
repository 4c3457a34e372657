"""Google's head for answers, in the manner of XLNet: the end given the start, and whether there is an answer at all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from electra_common import ElectraConfig
from electra_common.head_options import ANSWER_HIDDEN_SIZE, BEAM_SIZE, OUTSIDE_ANSWER
from electra_pt.activations import activation
from electra_pt.initialization import Linear


class ElectraAnswerHead(nn.Module):
    """Start, end given the start, and a logit that is positive where the text has no answer.

    Source: Google's ``finetune/qa/qa_tasks.py``, with joint prediction and the answerability classifier.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.activation = activation("gelu")
        self.start_classifier = Linear(hidden, 1)
        self.end_dense = Linear(2 * hidden, ANSWER_HIDDEN_SIZE)
        self.end_classifier = Linear(ANSWER_HIDDEN_SIZE, 1)
        self.impossible_dense = Linear(2 * hidden, ANSWER_HIDDEN_SIZE)
        self.impossible_classifier = Linear(ANSWER_HIDDEN_SIZE, 1)

    def forward(
        self, hidden_states: Tensor, answer_mask: Tensor, start_positions: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return logits by the names of the output's fields.

        Args:
            hidden_states: [batch, length, hidden].
            answer_mask: [batch, length], 1 where an answer may start or end.
            start_positions: [batch], the starts whose ends are predicted; without, the most probable ones are taken,
                and beams of starts and of ends for each of them are returned too.
        """
        outside = (1 - answer_mask.to(hidden_states.dtype)) * OUTSIDE_ANSWER  # [batch, length]
        start_logits = self.start_classifier(hidden_states).squeeze(-1) + outside  # [batch, length]
        found = {"start_logits": start_logits}
        if start_positions is None:
            size = min(BEAM_SIZE, start_logits.shape[1])
            log_probs, starts = start_logits.log_softmax(-1).topk(size)  # [batch, beam]
            ends = self._end_logits(hidden_states, starts, outside)  # [batch, beam, length]
            end_log_probs, end_index = ends.log_softmax(-1).topk(size)  # [batch, beam, beam]
            found |= {"start_top_log_probs": log_probs, "start_top_index": starts}
            found |= {"end_top_log_probs": end_log_probs, "end_top_index": end_index}
        else:
            ends = self._end_logits(hidden_states, start_positions.reshape(-1, 1), outside)  # [batch, 1, length]
        return {**found, "end_logits": ends[:, 0], "impossible_logits": self._impossible(hidden_states, start_logits)}

    def _end_logits(self, hidden_states: Tensor, starts: Tensor, outside: Tensor) -> Tensor:
        """[batch, length, hidden] and starts [batch, beam] -> [batch, beam, length]."""
        width = hidden_states.shape[-1]
        places = starts.clamp(0, hidden_states.shape[1] - 1)[..., None].expand(-1, -1, width)
        at_starts = hidden_states.gather(1, places)  # [batch, beam, hidden]
        # A linear layer over both states side by side is the sum of one over each: nothing is repeated for every pair.
        of_starts = F.linear(at_starts, self.end_dense.weight[:, :width])[:, :, None]
        of_ends = F.linear(hidden_states, self.end_dense.weight[:, width:], self.end_dense.bias)[:, None]
        logits: Tensor = self.end_classifier(self.activation(of_starts + of_ends)).squeeze(-1)
        return logits + outside[:, None]

    def _impossible(self, hidden_states: Tensor, start_logits: Tensor) -> Tensor:
        probable = (start_logits.softmax(-1)[..., None] * hidden_states).sum(1)  # [batch, hidden]
        both = torch.cat([hidden_states[:, 0], probable], dim=-1)  # [batch, 2 * hidden]
        logits: Tensor = self.impossible_classifier(self.activation(self.impossible_dense(both)))
        return logits.squeeze(-1)  # [batch]
