"""Generator and discriminator in one model, trained together by replaced token detection (paper, section 2).

What it is for: one call that masks nothing itself but does all the rest of a training step: predicts what was masked,
samples replacements, and judges every token. What it is not: a loop; that is :mod:`electra_tf.pretraining`.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from electra_common.outputs import JointOutput
from electra_tf.joint_networks import TFElectraJointNetworks
from electra_tf.layout import PackedLayout
from electra_tf.losses import classification_loss, replaced_token_detection_loss
from electra_tf.modeling import TFElectraForMaskedLM
from electra_tf.sampling import sample_tokens

Tensor = Any


@keras.saving.register_keras_serializable(package="electra_tf")
class TFElectraForJointPreTraining(TFElectraJointNetworks):
    """Generator and discriminator of a pre-training run, with what they share held once.

    Attributes:
        discriminator: a ``TFElectraForPreTraining``; None for a plain masked language model.
        generator: a ``TFElectraForMaskedLM``; None where replacements are drawn from the whole vocabulary alike.
        objective: which networks there are, what they share, how the losses are weighed.

    Args:
        config: of the discriminator, or of the masked language model.
        generator_config: of a generator of its own; None with every other objective.
        objective: the paper's by default.

    Raises:
        ValueError: the configs do not go together with the objective or each other.
    """

    def call(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        masked_positions: Tensor,
        masked_labels: Tensor,
        masked_weights: Tensor,
        corrupted_input_ids: Tensor | None = None,
        is_replaced: Tensor | None = None,
        sampling_seeds: Tensor | None = None,
        return_dict: bool | None = None,
        layout: PackedLayout | None = None,
        training: bool | None = None,
    ) -> JointOutput | tuple[Any, ...]:
        """Compute both losses of a masked batch.

        Args:
            input_ids: [batch, length], with ``[MASK]`` put in.
            attention_mask: [batch, length], 1 for real tokens and 0 for padding; all are real by default.
            token_type_ids: [batch, length]; 0 by default.
            masked_positions: [batch, slots], what is predicted; unused slots may point anywhere.
            masked_labels: [batch, slots], the ids that stood there; anything where a slot is unused.
            masked_weights: [batch, slots], 1 for slots in use and 0 for others.
            corrupted_input_ids: [batch, length], what the discriminator sees; sampled by default.
            is_replaced: [batch, length], its labels; comes together with ``corrupted_input_ids``.
            sampling_seeds: [batch], what each row is sampled with; drawn by default.
            return_dict: False for a plain tuple of the fields that are there.
            layout: made from the mask and given in its place: both networks compute real tokens alone.
            training: whether dropout is active.

        Raises:
            ValueError: one of ``corrupted_input_ids`` and ``is_replaced`` without the other.
        """
        if (corrupted_input_ids is None) != (is_replaced is None):
            raise ValueError("give both corrupted_input_ids and is_replaced, or neither, to have them sampled")
        masked_positions = _where_used(masked_positions, masked_weights)
        masked_labels = _where_used(masked_labels, masked_weights)
        body = {
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "layout": layout,
            "training": training,
        }
        output: dict[str, Tensor] = {}
        total = 0.0
        if self.generator is not None:
            logits = masked_logits(self.generator, input_ids, masked_positions, body)
            loss = classification_loss(logits, masked_labels, masked_weights)
            output |= {"generator_logits": logits, "generator_loss": loss}
            total = total + self.objective.generator_weight * loss
        if self.discriminator is not None:
            if corrupted_input_ids is None or is_replaced is None:
                sampled = self._sample(output.get("generator_logits"), masked_positions, masked_labels, sampling_seeds)
                corrupted_input_ids, is_replaced = corrupt(
                    input_ids, masked_positions, masked_labels, masked_weights, sampled
                )
            logits = self.discriminator(corrupted_input_ids, return_dict=True, **body).logits
            mask = attention_mask if layout is None else layout.mask
            loss = replaced_token_detection_loss(logits, is_replaced, mask)
            output |= {"logits": logits, "discriminator_loss": loss}
            output |= {"corrupted_input_ids": corrupted_input_ids, "is_replaced": is_replaced}
            total = total + self.objective.discriminator_weight * loss
        result = JointOutput(loss=total, **output)
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return result if wants_dict else result.to_tuple()

    def _sample(
        self, logits: Tensor | None, masked_positions: Tensor, masked_labels: Tensor, sampling_seeds: Tensor | None
    ) -> Tensor:
        """Return a token for each slot, [batch, slots]; without logits, every token is as probable."""
        shape = tf.shape(masked_positions)
        if logits is None:
            logits = tf.zeros((1, 1, self.config.vocab_size))
        if sampling_seeds is None:
            sampling_seeds = tf.random.uniform(shape[:1], tf.int32.min, tf.int32.max, tf.int32)
        return sample_tokens(
            logits,
            sampling_seeds,
            masked_positions,
            temperature=self.objective.temperature,
            disallowed=masked_labels if self.objective.disallow_correct else None,
        )


def _where_used(values: Tensor, weights: Tensor) -> Tensor:
    """Return positions or labels [batch, slots], 0 in slots of weight 0, whose numbers may be out of range."""
    return tf.where(tf.cast(weights, tf.float32) != 0, values, tf.zeros_like(values))


def masked_logits(
    generator: TFElectraForMaskedLM, input_ids: Tensor, positions: Tensor, body: dict[str, Any]
) -> Tensor:
    """Return the generator's logits at some positions, [batch, slots, vocabulary].

    The head, most of a small generator's arithmetic, is given these positions alone.

    Args:
        generator: the network.
        input_ids: [batch, length].
        positions: [batch, slots].
        body: the other arguments of the encoder's call.
    """
    hidden_states = generator.electra(input_ids, return_dict=True, **body).last_hidden_state  # [batch, length, hidden]
    gathered = tf.gather(hidden_states, tf.cast(positions, tf.int32), batch_dims=1)  # [batch, slots, hidden]
    narrowed = generator.generator_predictions(gathered)  # [batch, slots, embedding]
    return generator.generator_lm_head(narrowed, generator.electra.embeddings.word_embeddings.embeddings)


def corrupt(
    input_ids: Tensor, positions: Tensor, labels: Tensor, weights: Tensor, sampled: Tensor
) -> tuple[Tensor, Tensor]:
    """Put back what was masked, then put in what was sampled.

    Args:
        input_ids: [batch, length], with ``[MASK]``.
        positions: [batch, slots]; a position may come twice if its sample is the same.
        labels: [batch, slots], the ids that stood there.
        weights: [batch, slots], 0 for slots that change nothing.
        sampled: [batch, slots], the generator's tokens.

    Returns:
        [batch, length] corrupted ids, and [batch, length] 1 where a token is not the original: where the generator
        guessed right, nothing was replaced.
    """
    ids = tf.convert_to_tensor(input_ids)
    batch, length = tf.unstack(tf.shape(ids))
    # Unused slots write into an extra last column, which is cut off again.
    places = tf.where(tf.cast(weights, tf.float32) > 0, tf.cast(positions, tf.int32), length)
    rows = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(places))
    index = tf.stack([rows, places], axis=-1)  # [batch, slots, 2]
    wider = tf.pad(ids, [(0, 0), (0, 1)])  # [batch, length + 1]
    originals = tf.tensor_scatter_nd_update(wider, index, tf.cast(labels, wider.dtype))
    corrupted = tf.tensor_scatter_nd_update(originals, index, tf.cast(sampled, wider.dtype))[:, :length]
    return corrupted, tf.cast(corrupted != originals[:, :length], wider.dtype)
