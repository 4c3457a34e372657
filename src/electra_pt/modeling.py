"""The models of pre-training: the encoder alone, with the discriminator's head, and with the generator's."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from electra_common import ElectraConfig
from electra_common.head_options import check_direction
from electra_common.outputs import EncoderOutput, HeadOutput, as_requested, output_of_head
from electra_common.packing import check_layout
from electra_pt.embeddings import ElectraEmbeddings
from electra_pt.encoder import ElectraEncoder
from electra_pt.heads import ElectraDiscriminatorPredictions, ElectraGeneratorPredictions, ElectraVocabularyHead
from electra_pt.initialization import Linear
from electra_pt.layout import PackedLayout, PaddedLayout
from electra_pt.losses import classification_loss, replaced_token_detection_loss
from electra_pt.outputs import register_outputs
from electra_pt.pretrained import ElectraPreTrainedModel

register_outputs()


class ElectraModel(ElectraPreTrainedModel):
    """The encoder: token ids to hidden states."""

    is_body = True

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        check_direction(config, "ElectraModel")
        self.embeddings = ElectraEmbeddings(config)
        if config.has_embeddings_projection:
            self.embeddings_project = Linear(config.embedding_size, config.hidden_size)
        self.encoder = ElectraEncoder(config)
        self.initialize()

    def forward(
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

        Raises:
            ValueError: not exactly one input, more tokens than positions, ids outside a table, or arguments that do not
                go together with a layout.
        """
        config = self.config
        asks_attentions = config.output_attentions if output_attentions is None else output_attentions
        packs = check_layout(layout, input_ids, inputs_embeds, attention_mask, asks_attentions)
        if layout is not None:
            position_ids = layout.positions if position_ids is None else _packed(layout, packs, position_ids)
            input_ids, token_type_ids, inputs_embeds = (
                _packed(layout, packs, tensor) for tensor in (input_ids, token_type_ids, inputs_embeds)
            )
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        if config.has_embeddings_projection:
            embedded = self.embeddings_project(embedded)  # [..., embedding] -> [..., hidden]
        hidden_states, all_hidden_states, attentions = self.encoder(
            embedded,
            layout=PaddedLayout.from_mask(attention_mask, embedded.dtype) if layout is None else layout,
            output_attentions=asks_attentions,
            output_hidden_states=config.output_hidden_states if output_hidden_states is None else output_hidden_states,
        )
        if layout is not None and packs:
            hidden_states = layout.unpack(hidden_states)  # [tokens, hidden] -> [batch, length, hidden]
            all_hidden_states = None if all_hidden_states is None else tuple(map(layout.unpack, all_hidden_states))
        output = EncoderOutput(last_hidden_state=hidden_states, hidden_states=all_hidden_states, attentions=attentions)
        return as_requested(output, config, return_dict)


class ElectraForPreTraining(ElectraPreTrainedModel):
    """The discriminator: for every token, was it replaced? ``logits`` are [batch, length], positive for yes."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
        self.discriminator_predictions = ElectraDiscriminatorPredictions(config)
        self.initialize()

    def forward(
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
    ) -> HeadOutput | tuple[Any, ...]:
        """Score a batch; arguments as in :class:`ElectraModel`.

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
        )
        logits = self.discriminator_predictions(encoded.last_hidden_state)
        mask = attention_mask if layout is None else layout.mask_of(logits)
        loss = None if labels is None else replaced_token_detection_loss(logits, labels, mask)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)


class ElectraForMaskedLM(ElectraPreTrainedModel):
    """The generator: which token stood here? ``logits`` are [batch, length, vocabulary]."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
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
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Predict the tokens of a batch; arguments as in :class:`ElectraModel`.

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
        )
        narrowed = self.generator_predictions(encoded.last_hidden_state)  # [batch, length, embedding]
        logits = self.generator_lm_head(narrowed, self.electra.embeddings.word_embeddings.weight)
        loss = None if labels is None else classification_loss(logits, labels)
        return output_of_head(HeadOutput, encoded, self.config, return_dict, loss=loss, logits=logits)


def _packed(layout: PackedLayout, packs: bool, tensor: Tensor | None) -> Tensor | None:
    return layout.pack(tensor) if packs and tensor is not None else tensor
