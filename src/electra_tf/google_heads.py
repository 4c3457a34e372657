"""Google's head for answers, in the manner of XLNet: the end given the start, and whether there is an answer at all."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.head_options import ANSWER_HIDDEN_SIZE, BEAM_SIZE, OUTSIDE_ANSWER
from electra_tf.activations import activation
from electra_tf.initialization import linear

Tensor = Any


class TFElectraAnswerHead(keras.layers.Layer):
    """Start, end given the start, and a logit that is positive where the text has no answer.

    Source: Google's ``finetune/qa/qa_tasks.py``, with joint prediction and the answerability classifier.
    """

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        self.hidden_size, policy = config.hidden_size, self.dtype_policy
        self.activation = activation("gelu")
        self.start_classifier = linear(config, 1, "start_classifier", policy)
        self.end_dense = linear(config, ANSWER_HIDDEN_SIZE, "end_dense", policy)
        self.end_classifier = linear(config, 1, "end_classifier", policy)
        self.impossible_dense = linear(config, ANSWER_HIDDEN_SIZE, "impossible_dense", policy)
        self.impossible_classifier = linear(config, 1, "impossible_classifier", policy)

    def build(self, input_shape: Any = None) -> None:
        self.start_classifier.build((None, None, self.hidden_size))
        for dense in (self.end_dense, self.impossible_dense):
            dense.build((None, 2 * self.hidden_size))
        for classifier in (self.end_classifier, self.impossible_classifier):
            classifier.build((None, ANSWER_HIDDEN_SIZE))

    def call(
        self, hidden_states: Tensor, answer_mask: Tensor, start_positions: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return logits by the names of the output's fields.

        Args:
            hidden_states: [batch, length, hidden].
            answer_mask: [batch, length], 1 where an answer may start or end.
            start_positions: [batch], the starts whose ends are predicted; without, the most probable ones are taken,
                and beams of starts and of ends for each of them are returned too.
        """
        outside = (1 - ops.cast(answer_mask, hidden_states.dtype)) * OUTSIDE_ANSWER  # [batch, length]
        start_logits = ops.squeeze(self.start_classifier(hidden_states), -1) + outside  # [batch, length]
        found = {"start_logits": start_logits}
        if start_positions is None:
            size = ops.shape(start_logits)[1]  # a tensor where a graph does not know it yet
            size = min(BEAM_SIZE, size) if isinstance(size, int) else ops.minimum(BEAM_SIZE, size)
            log_probs, starts = ops.top_k(ops.log_softmax(start_logits, -1), size)  # [batch, beam]
            ends = self._end_logits(hidden_states, starts, outside)  # [batch, beam, length]
            end_log_probs, end_index = ops.top_k(ops.log_softmax(ends, -1), size)  # [batch, beam, beam]
            found |= {"start_top_log_probs": log_probs, "start_top_index": starts}
            found |= {"end_top_log_probs": end_log_probs, "end_top_index": end_index}
        else:
            ends = self._end_logits(hidden_states, ops.reshape(start_positions, (-1, 1)), outside)  # [batch, 1, length]
        return {**found, "end_logits": ends[:, 0], "impossible_logits": self._impossible(hidden_states, start_logits)}

    def _end_logits(self, hidden_states: Tensor, starts: Tensor, outside: Tensor) -> Tensor:
        """[batch, length, hidden] and starts [batch, beam] -> [batch, beam, length]."""
        width = self.hidden_size
        places = ops.clip(ops.cast(starts, "int32"), 0, ops.shape(hidden_states)[1] - 1)[..., None]
        at_starts = ops.take_along_axis(hidden_states, places, axis=1)  # [batch, beam, hidden]
        # A linear layer over both states side by side is the sum of one over each: nothing is repeated for every pair.
        kernel, bias = (ops.cast(item, hidden_states.dtype) for item in (self.end_dense.kernel, self.end_dense.bias))
        of_starts = ops.matmul(at_starts, kernel[:width])[:, :, None]
        of_ends = (ops.matmul(hidden_states, kernel[width:]) + bias)[:, None]
        logits = ops.squeeze(self.end_classifier(self.activation(of_starts + of_ends)), -1)
        return logits + outside[:, None]

    def _impossible(self, hidden_states: Tensor, start_logits: Tensor) -> Tensor:
        probable = ops.sum(ops.softmax(start_logits, -1)[..., None] * hidden_states, 1)  # [batch, hidden]
        both = ops.concatenate([hidden_states[:, 0], probable], -1)  # [batch, 2 * hidden]
        logits = self.impossible_classifier(self.activation(self.impossible_dense(both)))
        return ops.squeeze(logits, -1)  # [batch]
