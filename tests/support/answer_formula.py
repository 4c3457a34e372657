"""Google's head for answers written out in numpy, pair by pair, from the description of its code."""

from math import erf

import numpy as np


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def answers(hidden_states, answer_mask, weights, beam, start_positions=None):
    """Return the outputs of the head by name.

    ``weights`` are {name below the head: array}, ``hidden_states`` [batch, length, hidden].
    """

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    outside = np.where(answer_mask == 1, 0.0, -1000.0)
    start_logits = linear("start_classifier", hidden_states)[..., 0] + outside
    batch = len(hidden_states)

    def end_logits(row, start):
        pairs = np.stack([np.concatenate([hidden_states[row, start], state]) for state in hidden_states[row]])
        return linear("end_classifier", gelu(linear("end_dense", pairs)))[:, 0] + outside[row]

    result = {"start_logits": start_logits}
    if start_positions is None:
        log_probs = log_softmax(start_logits)
        index = np.argsort(-log_probs, axis=-1, kind="stable")[:, :beam]
        ends = np.stack([[end_logits(row, start) for start in index[row]] for row in range(batch)])
        end_index = np.argsort(-ends, axis=-1, kind="stable")[..., :beam]
        result |= {
            "start_top_log_probs": np.take_along_axis(log_probs, index, -1),
            "start_top_index": index,
            "end_top_log_probs": np.take_along_axis(log_softmax(ends), end_index, -1),
            "end_top_index": end_index,
        }
        result["end_logits"] = ends[:, 0]
    else:
        result["end_logits"] = np.stack([end_logits(row, start_positions[row]) for row in range(batch)])
    probable = np.einsum("bl,blh->bh", np.exp(log_softmax(start_logits)), hidden_states)
    both = np.concatenate([hidden_states[:, 0], probable], -1)
    result["impossible_logits"] = linear("impossible_classifier", gelu(linear("impossible_dense", both)))[:, 0]
    return result


def loss(outputs, start_positions, end_positions, is_impossible):
    """Return (start + end) / 2 + answerability / 2."""
    rows = np.arange(len(start_positions))
    start = -log_softmax(outputs["start_logits"])[rows, start_positions].mean()
    end = -log_softmax(outputs["end_logits"])[rows, end_positions].mean()
    logits = outputs["impossible_logits"]
    binary = (np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - logits * is_impossible).mean()
    return (start + end) / 2 + 0.5 * binary
