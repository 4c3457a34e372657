"""The models of pre-training: the encoder alone, with the discriminator's head, and with the generator's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.head_options import check_direction
from electra_common.outputs import EncoderOutput, HeadOutput, as_requested, output_of_head
from electra_common.packing import check_layout
from electra_tf.embeddings import TFElectraEmbeddings
from electra_tf.encoder import TFElectraEncoder
from electra_tf.heads import TFElectraDiscriminatorPredictions, TFElectraGeneratorPredictions, TFElectraVocabularyHead
from electra_tf.initialization import linear
from electra_tf.layout import PackedLayout, PaddedLayout
from electra_tf.losses import classification_loss, replaced_token_detection_loss
from electra_tf.outputs import register_outputs
from electra_tf.pretrained import TFElectraPreTrainedModel

Tensor = Any

register_outputs()


class TFElectraModel(TFElectraPreTrainedModel):
    """The encoder: token ids to hidden states."""

    is_body = True

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **{"name": "electra", **options})
        check_direction(config, "ElectraModel")
        self.embeddings = TFElectraEmbeddings(config, name="embeddings", dtype=self.dtype_policy)
        if config.has_embeddings_projection:
            self.embeddings_project = linear(config, config.hidden_size, "embeddings_project", self.dtype_policy)
        self.encoder = TFElectraEncoder(config, name="encoder", dtype=self.dtype_policy)
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
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
        training: bool | None = None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """Encode a batch.

        Args:
            input_ids: [batch, length] token ids; or give ``inputs_embeds``.
            attention_mask: [batch, length], 1 for real tokens and 0 for padding; all are real by default.
            token_type_ids: [batch, length], 0 for the first segment and 1 for the second; 0 by default.
            position_ids: [batch, length]; 0 … length - 1 by default.
            inputs_embeds: [batch, length, embedding] in place of ``input_ids``, in embedding width.
            output_attentions: also return the attention weights; the config says what None means.
            output_hidden_states: also return every layer's input and the last one's output.
            return_dict: False for a plain tuple.
            layout: compute real tokens alone, without the padding between them. With padded inputs, a layout made from
                their mask, given in its place; outputs are padded again, with zeros. With packed inputs [tokens], the
                layout of their row; outputs are packed too.
            training: whether dropout is active.

        Raises:
            ValueError: not exactly one input, more tokens than positions, ids outside a table, or arguments that do not
                go together with a layout.
        """
        config = self.config
        input_ids, token_type_ids, position_ids = map(_whole_numbers, (input_ids, token_type_ids, position_ids))
        asks_attentions = config.output_attentions if output_attentions is None else output_attentions
        packs = check_layout(layout, input_ids, inputs_embeds, attention_mask, asks_attentions)
        if layout is not None:
            position_ids = layout.positions if position_ids is None else _packed(layout, packs, position_ids)
            input_ids, token_type_ids, inputs_embeds = (
                _packed(layout, packs, tensor) for tensor in (input_ids, token_type_ids, inputs_embeds)
            )
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds, training=training)
        if config.has_embeddings_projection:
            embedded = self.embeddings_project(embedded)  # [..., embedding] -> [..., hidden]
        hidden_states, all_hidden_states, attentions = self.encoder(
            embedded,
            layout=PaddedLayout.from_mask(attention_mask, self.compute_dtype) if layout is None else layout,
            output_attentions=asks_attentions,
            output_hidden_states=config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            training=training,
        )
        if layout is not None and packs:
            hidden_states = layout.unpack(hidden_states)  # [tokens, hidden] -> [batch, length, hidden]
            all_hidden_states = None if all_hidden_states is None else tuple(map(layout.unpack, all_hidden_states))
        output = EncoderOutput(last_hidden_state=hidden_states, hidden_states=all_hidden_states, attentions=attentions)
        return as_requested(output, config, return_dict)


class TFElectraForPreTraining(TFElectraPreTrainedModel):
    """The discriminator: for every token, was it replaced? ``logits`` are [batch, length], positive for yes."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        with keras.name_scope(self.name):
            self.electra = TFElectraModel(config, dtype=self.dtype_policy)
        self.discriminator_predictions = TFElectraDiscriminatorPredictions(
            config, name="discriminator_predictions", dtype=self.dtype_policy
        )
        self.initialize()

    def build(self, input_shape: Any = None) -> None:
        self.discriminator_predictions.build()

    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
        training: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Score a batch; arguments as in :class:`TFElectraModel`.

        Args:
            labels: [batch, length], 1 where the token was replaced; gives ``loss``, the mean over real tokens.
        """
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
        logits = self.discriminator_predictions(encoded.last_hidden_state)
        mask = attention_mask if layout is None else layout.mask_of(logits)
        loss = None if labels is None else self.own_loss({"logits": logits}, {"labels": labels}, mask)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the mean binary cross-entropy over real tokens."""
        return replaced_token_detection_loss(output["logits"], labels["labels"], attention_mask)


class TFElectraForMaskedLM(TFElectraPreTrainedModel):
    """The generator: which token stood here? ``logits`` are [batch, length, vocabulary]."""

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(config, **options)
        with keras.name_scope(self.name):
            self.electra = TFElectraModel(config, dtype=self.dtype_policy)
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
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
        training: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Predict the tokens of a batch; arguments as in :class:`TFElectraModel`.

        Args:
            labels: [batch, length] token ids, -100 where nothing is to be predicted; gives ``loss``, their mean.
        """
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
        narrowed = self.generator_predictions(encoded.last_hidden_state)  # [batch, length, embedding]
        logits = self.generator_lm_head(narrowed, self.electra.embeddings.word_embeddings.embeddings)
        loss = None if labels is None else self.own_loss({"logits": logits}, {"labels": labels}, attention_mask)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the mean cross-entropy over labelled tokens."""
        return classification_loss(output["logits"], labels["labels"])


def _whole_numbers(ids: Tensor | None) -> Tensor | None:
    """Return ids as integers, before a layer rounds floats to what it computes in."""
    if ids is None or not keras.backend.is_float_dtype(keras.backend.standardize_dtype(ids.dtype)):
        return ids
    return ops.cast(ids, "int32")


def _packed(layout: PackedLayout, packs: bool, tensor: Tensor | None) -> Tensor | None:
    return layout.pack(tensor) if packs and tensor is not None else tensor
