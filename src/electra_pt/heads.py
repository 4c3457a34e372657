"""The two heads of pre-training: was this token replaced, and which token stood here."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from electra_common import ElectraConfig
from electra_pt.activations import activation
from electra_pt.initialization import Linear


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
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
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

    def forward(self, hidden_states: Tensor, word_embeddings: Tensor) -> Tensor:
        return F.linear(hidden_states, word_embeddings if self.weight is None else self.weight, self.bias)
