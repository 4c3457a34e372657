"""From token ids to what enters layer 0: three tables summed, normalised, and projected to the encoder's width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from electra_common import ElectraConfig
from electra_common.adjustments import check_embedding_width, check_length, describe_ids
from electra_pt.dropout import Dropout
from electra_pt.initialization import Embedding
from electra_pt.normalization import LayerNorm


class ElectraEmbeddings(nn.Module):
    """Word, position and token type embeddings, summed and normalised: [batch, length] -> [batch, length, embedding].

    The row of ``pad_token_id`` gets no gradient from the lookup, as in transformers.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.max_position_embeddings = config.max_position_embeddings
        self.word_embeddings = Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = Embedding(config.type_vocab_size, width)
        self.LayerNorm = LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return embeddings [batch, length, embedding]; a packed row [tokens] gives [tokens, embedding].

        Args:
            input_ids: [batch, length]; or give ``inputs_embeds``.
            token_type_ids: [batch, length], zeros by default.
            position_ids: [batch, length] or [1, length], 0 … length - 1 by default; a packed row needs them.
            inputs_embeds: [batch, length, embedding], in place of the word embeddings.

        Raises:
            ValueError: both or none of the inputs given, the sequence is longer than there are positions, or ids are
                outside a table (seen on the CPU outside of compiled graphs; elsewhere torch reports it its own way).
        """
        words = self._words(input_ids, inputs_embeds)
        if position_ids is None:
            length = words.shape[1]
            check_length(length, self.max_position_embeddings)
            position_ids = torch.arange(length, device=words.device)[None, :]  # [1, length]
        if token_type_ids is None:
            token_type_ids = torch.zeros(words.shape[:-1], dtype=torch.long, device=words.device)
        types = _look_up(self.token_type_embeddings, token_type_ids, "token_type_ids")
        summed = words + types + _look_up(self.position_embeddings, position_ids, "position_ids")
        normalised: Tensor = self.dropout(self.LayerNorm(summed))
        return normalised

    def _words(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if input_ids is not None and inputs_embeds is None:
            return _look_up(self.word_embeddings, input_ids, "input_ids")
        if input_ids is not None or inputs_embeds is None:
            raise ValueError("give either input_ids or inputs_embeds, and not both")
        check_embedding_width(inputs_embeds.shape, self.word_embeddings.embedding_dim)
        return inputs_embeds


def _look_up(table: nn.Embedding, ids: Tensor, name: str) -> Tensor:
    """Look ids up; on the CPU torch notices those outside, and the message is made clear at no cost."""
    try:
        found: Tensor = table(ids)
    except IndexError:
        raise ValueError(describe_ids(name, table.num_embeddings)) from None
    return found
