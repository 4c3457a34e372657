"""ELECTRA from left to right: the model that predicts the next token, and greedy generation with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from electra_common import ElectraConfig
from electra_common.generation import check_decoder_call, keeps_cache, plan_generation
from electra_common.head_options import check_head
from electra_common.outputs import CausalLMOutput, DecoderOutput, output_of_head
from electra_common.packing import check_layout
from electra_tf.decoder import Cache, TFElectraDecoder
from electra_tf.embeddings import TFElectraEmbeddings
from electra_tf.heads import TFElectraGeneratorPredictions, TFElectraVocabularyHead
from electra_tf.initialization import linear
from electra_tf.losses import classification_loss
from electra_tf.pretrained import TFElectraPreTrainedModel

Tensor = Any


class TFElectraDecoderModel(TFElectraPreTrainedModel):
    """The decoder without a head: token ids to hidden states, the weights of an encoder and cross-attention."""

    is_body = True

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **{"name": "electra", **options})
        self.embeddings = TFElectraEmbeddings(config, name="embeddings", dtype=self.dtype_policy)
        if config.has_embeddings_projection:
            self.embeddings_project = linear(config, config.hidden_size, "embeddings_project", self.dtype_policy)
        self.encoder = TFElectraDecoder(config, name="encoder", dtype=self.dtype_policy)
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        self.embeddings.build()
        if self.config.has_embeddings_projection:
            self.embeddings_project.build((None, None, self.config.embedding_size))
        self.encoder.build((None, None, self.config.hidden_size))

    def call(
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
        training: bool | None = None,
    ) -> DecoderOutput:
        """Read a batch; arguments as in :class:`TFElectraForCausalLM`.

        The output has the cache, unless layers are computed again for the gradients.
        """
        config = self.config
        check_layout(None, input_ids, inputs_embeds, None, False)
        tokens = input_ids if input_ids is not None else inputs_embeds
        length = 0 if tokens is None else ops.shape(tokens)[1]
        past = ops.shape(past_key_values[0][0])[1] if past_key_values else 0
        check_decoder_call(
            config, past_key_values, attention_mask, length, encoder_hidden_states, encoder_attention_mask
        )
        if position_ids is None and tokens is not None:
            position_ids = ops.arange(past, past + length)[None, :]  # [1, length]
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds, training=training)
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
            training=training,
        )
        return output


class TFElectraForCausalLM(TFElectraPreTrainedModel):
    """A decoder with the generator's head: which token comes next? ``logits`` are [batch, length, vocabulary].

    Raises:
        ValueError: the config is not a decoder's: ``is_decoder`` must be true.
    """

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        check_head(config, "ElectraForCausalLM")
        with keras.name_scope(self.name):
            self.electra = TFElectraDecoderModel(config, dtype=self.dtype_policy)
        self.generator_predictions = TFElectraGeneratorPredictions(
            config, name="generator_predictions", dtype=self.dtype_policy
        )
        self.generator_lm_head = TFElectraVocabularyHead(config, name="generator_lm_head", dtype=self.dtype_policy)
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        self.generator_predictions.build()
        self.generator_lm_head.build()

    def call(
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
        training: bool | None = None,
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
                config says, but neither with labels nor inside of a graph, whose outputs ``fit``, ``predict`` and
                ``export`` take for tensors by name.
            output_attentions: also return the attention weights; the config says what None means.
            output_hidden_states: also return every layer's input and the last one's output.
            return_dict: False for a plain tuple.
            training: whether dropout is active.

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
            training=training,
        )
        logits = self._logits(encoded.last_hidden_state)
        loss = None if labels is None else self.own_loss({"logits": logits}, {"labels": labels}, attention_mask)
        is_kept = keeps_cache(self.config, use_cache, by_default=labels is None and tf.executing_eagerly())
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

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the mean cross-entropy over labelled tokens, each predicted by the one before it."""
        # Logits are [batch, length - 1, vocabulary], labels [batch, length - 1].
        return classification_loss(output["logits"][:, :-1], labels["labels"][:, 1:])

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
            The prompts and what was generated, [batch, length + new]; generation stops when all rows have ended,
            inside of a graph after ``max_new_tokens``.

        Raises:
            ValueError: an argument is wrong, or there are fewer positions than tokens.
        """
        plan = plan_generation(self.config, input_ids.shape, max_new_tokens, eos_token_id, pad_token_id)
        ids = ops.cast(input_ids, "int32")
        mask = ops.not_equal(ids, plan.pad_id) if plan.infers_mask else ops.ones_like(ids)
        mask = ops.cast(mask if attention_mask is None else attention_mask, "int32")
        positions = (ops.cumsum(mask, axis=1) - 1) * mask  # padding is at position 0
        ends = ops.convert_to_tensor(plan.end_ids, "int32")
        is_open = ops.ones_like(ids[:, 0], dtype="bool")  # [batch]
        new, cache = ids, None
        for _ in range(plan.max_new_tokens):
            encoded = self.electra(
                new,
                mask,
                position_ids=positions,
                encoder_hidden_states=encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask,
                past_key_values=cache,
            )
            best = ops.argmax(self._logits(encoded.last_hidden_state[:, -1]), axis=-1)  # [batch]
            new = ops.where(is_open, ops.cast(best, "int32"), plan.pad_id)[:, None]  # [batch, 1]
            ids = ops.concatenate([ids, new], axis=1)
            is_open = ops.logical_and(is_open, ops.logical_not(ops.any(new == ends[None, :], axis=1)))
            if tf.executing_eagerly() and not ops.any(is_open):
                break
            cache = encoded.past_key_values
            mask = ops.concatenate([mask, ops.ones_like(mask[:, :1])], axis=1)
            positions = positions[:, -1:] + 1
        return ids

    def _logits(self, hidden_states: Tensor) -> Tensor:
        narrowed = self.generator_predictions(hidden_states)  # [..., embedding]
        return self.generator_lm_head(narrowed, self.electra.embeddings.word_embeddings.embeddings)
