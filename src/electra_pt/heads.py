"""The heads that are more than one linear layer: those of pre-training, sequence classification, multiple choice."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from electra_common import ElectraConfig
from electra_pt.activations import activation
from electra_pt.dropout import Dropout
from electra_pt.initialization import Linear, draw_rows
from electra_pt.normalization import LayerNorm

_KERNELS_MULTIPLE: Final = 8  # of logits: for others a GPU's products take more time than a wider copy costs


class ElectraDiscriminatorPredictions(nn.Module):
    """A logit a token, positive for "replaced": [..., hidden] -> [...]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.activation = activation(config.hidden_act)
        self.dense_prediction = Linear(config.hidden_size, 1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        logits: Tensor = self.dense_prediction(self.activation(self.dense(hidden_states)))
        return logits.squeeze(-1)  # [..., 1] -> [...]


class ElectraGeneratorPredictions(nn.Module):
    """From hidden width back to embedding width, before the vocabulary: [..., hidden] -> [..., embedding]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.LayerNorm = LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dense = Linear(config.hidden_size, config.embedding_size)
        self.activation = activation(config.generator_hidden_act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.activation(self.dense(hidden_states)))
        return result


class ElectraVocabularyHead(nn.Module):
    """A logit for every piece of the vocabulary: [..., embedding] -> [..., vocabulary].

    Tied, it owns only its bias and is given the word table at each call, so that nothing has to keep two names of one
    tensor in step.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        shape = (config.vocab_size, config.embedding_size)
        self.weight = None if config.tie_word_embeddings else nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def resize(self, config: ElectraConfig) -> None:
        """Give the vocabulary another size: new biases are 0, new rows of an own projection are drawn."""
        rows = config.vocab_size
        bias = F.pad(self.bias.detach()[:rows], (0, max(0, rows - len(self.bias))))
        self.bias = nn.Parameter(bias, self.bias.requires_grad)
        if self.weight is not None:
            weight = draw_rows(self.weight, rows, config.initializer_range)
            self.weight = nn.Parameter(weight, self.weight.requires_grad)

    def tie(self) -> None:
        """Give up a projection of its own."""
        self.weight = None

    def forward(self, hidden_states: Tensor, word_embeddings: Tensor) -> Tensor:
        weight = word_embeddings if self.weight is None else self.weight
        is_slow = hidden_states.is_cuda and self.training and len(self.bias) % _KERNELS_MULTIPLE
        return (_wider_product if is_slow else F.linear)(hidden_states, weight, self.bias)


def _wider_product(hidden_states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``F.linear``, computed with rows of 0 that fill the weight up to what a GPU's kernels want."""
    missing = -len(bias) % _KERNELS_MULTIPLE
    wider = F.linear(hidden_states, F.pad(weight, (0, 0, 0, missing)), F.pad(bias, (0, missing)))
    return wider[..., : len(bias)]


class ElectraClassificationHead(nn.Module):
    """Classes of a whole sequence, from its first token: [batch, hidden] -> [batch, labels].

    Between the two layers stands exact GELU, whatever ``hidden_act`` says (transformers' rule).
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.activation = activation("gelu")
        self.dropout = Dropout(config.head_dropout_prob)
        self.out_proj = Linear(config.hidden_size, config.label_count)

    def forward(self, first_tokens: Tensor) -> Tensor:
        activated = self.activation(self.dense(self.dropout(first_tokens)))
        logits: Tensor = self.out_proj(self.dropout(activated))
        return logits


class ElectraSequenceSummary(nn.Module):
    """One vector for a sequence, as ``summary_*`` of the config say: [batch, length, hidden] -> [batch, hidden].

    Padding counts: ``"last"`` is the last position and ``"mean"`` the mean over all of them, as in transformers, whose
    ``"cls_index"`` is the last position too, for its models never pass an index.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.summary_type = config.summary_type
        # The width is hidden_size: any other one is refused by `electra_common.head_options`.
        self.summary = Linear(config.hidden_size, config.hidden_size) if config.summary_use_proj else None
        self.activation = activation(config.summary_activation or "linear")
        self.first_dropout = Dropout(config.summary_first_dropout or 0.0)
        self.last_dropout = Dropout(config.summary_last_dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        summary = self.first_dropout(self._pick(hidden_states))
        if self.summary is not None:
            summary = self.summary(summary)
        result: Tensor = self.last_dropout(self.activation(summary))
        return result

    def _pick(self, hidden_states: Tensor) -> Tensor:
        if self.summary_type == "mean":
            return hidden_states.mean(dim=1)  # [batch, length, hidden] -> [batch, hidden]
        return hidden_states[:, 0 if self.summary_type == "first" else -1]
