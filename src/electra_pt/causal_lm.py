"""ELECTRA from left to right: the model that predicts the next token, and greedy generation with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from electra_common import ElectraConfig
from electra_common.generation import check_decoder_call, keeps_cache, past_length, plan_generation
from electra_common.head_options import check_head
from electra_common.outputs import CausalLMOutput, DecoderOutput, output_of_head
from electra_common.packing import check_layout
from electra_pt.decoder import Cache, ElectraDecoder
from electra_pt.embeddings import ElectraEmbeddings
from electra_pt.heads import ElectraGeneratorPredictions, ElectraVocabularyHead
from electra_pt.initialization import Linear
from electra_pt.losses import classification_loss
from electra_pt.pretrained import ElectraPreTrainedModel


class ElectraDecoderModel(ElectraPreTrainedModel):
    """The decoder without a head: token ids to hidden states, the weights of an encoder and cross-attention."""

    is_body = True

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.embeddings = ElectraEmbeddings(config)
        if config.has_embeddings_projection:
            self.embeddings_project = Linear(config.embedding_size, config.hidden_size)
        self.encoder = ElectraDecoder(config)
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> DecoderOutput:
        """Read a batch; arguments as in :class:`ElectraForCausalLM`.

        The output has the cache, unless layers are computed again for the gradients.
        """
        config = self.config
        check_layout(None, input_ids, inputs_embeds, None, False)
        tokens = input_ids if input_ids is not None else inputs_embeds
        length, past = 0 if tokens is None else tokens.shape[1], past_length(past_key_values)
        check_decoder_call(
            config, past_key_values, attention_mask, length, encoder_hidden_states, encoder_attention_mask
        )
        if position_ids is None and tokens is not None:
            position_ids = torch.arange(past, past + length, device=tokens.device)[None, :]  # [1, length]
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        if config.has_embeddings_projection:
            embedded = self.embeddings_project(embedded)  # [..., embedding] -> [..., hidden]
        output: DecoderOutput = self.encoder(
            embedded,
            attention_mask,
            encoder_hidden_states,
            encoder_attention_mask,
            past_key_values,
            output_attentions=config.output_attentions if output_attentions is None else output_attentions,
            output_hidden_states=config.output_hidden_states if output_hidden_states is None else output_hidden_states,
        )
        return output


class ElectraForCausalLM(ElectraPreTrainedModel):
    """A decoder with the generator's head: which token comes next? ``logits`` are [batch, length, vocabulary].

    Raises:
        ValueError: the config is not a decoder's: ``is_decoder`` must be true.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        check_head(config, "ElectraForCausalLM")
        self.electra = ElectraDecoderModel(config)
        self.generator_predictions = ElectraGeneratorPredictions(config)
        self.generator_lm_head = ElectraVocabularyHead(config)
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> CausalLMOutput | tuple[Any, ...]:
        """Predict the next token at every position of a batch.

        Args:
            input_ids: [batch, length] token ids; or give ``inputs_embeds``. With a cache, the tokens behind it.
            attention_mask: [batch, length], with a cache [batch, past + length]: 1 for real tokens, 0 for padding.
            token_type_ids: [batch, length], 0 by default.
            position_ids: [batch, length]; past … past + length - 1 by default, padding counted.
            inputs_embeds: [batch, length, embedding] in place of ``input_ids``, in embedding width.
            encoder_hidden_states: [batch, source, hidden], what cross-attention attends to; by default it is left out,
                unless the cache knows it.
            encoder_attention_mask: [batch, source], 1 for real states; all are real by default.
            labels: [batch, length] token ids, as a rule ``input_ids``; each position is compared with the label of the
                next one. -100 where nothing is to be predicted. Gives ``loss``, their mean.
            past_key_values: the cache that an earlier call returned.
            use_cache: return the cache, which there is none of while gradient checkpointing trains; None for what the
                config says, but not with labels.
            output_attentions: also return the attention weights; the config says what None means.
            output_hidden_states: also return every layer's input and the last one's output.
            return_dict: False for a plain tuple.

        Raises:
            ValueError: not exactly one input, more tokens than positions, ids outside a table, or arguments that do not
                go together.
        """
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits = self._logits(encoded.last_hidden_state)
        # Each token predicts the one behind it: [batch, length - 1, vocabulary] and [batch, length - 1].
        loss = None if labels is None else classification_loss(logits[:, :-1], labels[:, 1:])
        is_kept = keeps_cache(self.config, use_cache, by_default=labels is None)
        return output_of_head(
            CausalLMOutput,
            encoded,
            self.config,
            return_dict,
            loss=loss,
            logits=logits,
            past_key_values=encoded.past_key_values if is_kept else None,
            cross_attentions=encoded.cross_attentions,
        )

    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        max_new_tokens: int,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Go on with each row, always with the most probable token, reading each token once.

        Args:
            input_ids: [batch, length] prompts; shorter ones are padded on the left.
            attention_mask: [batch, length], 1 for real tokens; by default padding is told by its id, unless that is
                an end too. Positions count real tokens alone.
            max_new_tokens: how many tokens to generate at most.
            eos_token_id: what ends a row: one id or several, the config's by default, ``()`` for none.
            pad_token_id: what fills up a row that has ended; the config's by default, else the first end.
            encoder_hidden_states: [batch, source, hidden], what cross-attention attends to.
            encoder_attention_mask: [batch, source], 1 for real states.

        Returns:
            The prompts and what was generated, [batch, length + new]; generation stops when all rows have ended.

        Raises:
            ValueError: an argument is wrong, or there are fewer positions than tokens.
        """
        plan = plan_generation(self.config, input_ids.shape, max_new_tokens, eos_token_id, pad_token_id)
        mask = input_ids != plan.pad_id if plan.infers_mask else torch.ones_like(input_ids)
        mask = (mask if attention_mask is None else attention_mask).long()
        positions = (mask.cumsum(dim=1) - 1) * mask  # padding is at position 0
        ends = torch.tensor(plan.end_ids, dtype=input_ids.dtype, device=input_ids.device)
        is_open = torch.ones_like(input_ids[:, 0], dtype=torch.bool)  # [batch]
        ids, new, cache = input_ids, input_ids, None
        for _ in range(plan.max_new_tokens):
            with torch.no_grad():
                encoded = self.electra(
                    new,
                    mask,
                    position_ids=positions,
                    encoder_hidden_states=encoder_hidden_states,
                    encoder_attention_mask=encoder_attention_mask,
                    past_key_values=cache,
                )
                best = self._logits(encoded.last_hidden_state[:, -1]).argmax(dim=-1)  # [batch]
            new = torch.where(is_open, best, plan.pad_id)[:, None]  # [batch, 1]
            ids = torch.cat([ids, new], dim=1)
            is_open = is_open & ~torch.isin(new[:, 0], ends)
            if not is_open.any():
                break
            cache = encoded.past_key_values
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            positions = positions[:, -1:] + 1
        return ids

    def _logits(self, hidden_states: Tensor) -> Tensor:
        narrowed = self.generator_predictions(hidden_states)  # [..., embedding]
        logits: Tensor = self.generator_lm_head(narrowed, self.electra.embeddings.word_embeddings.weight)
        return logits
