"""Keras repeats the six training steps that Google's code recorded: losses, weights, Adam's slots."""

import pytest

from reference.google_recording import (
    NO_DROPOUT,
    STEPS,
    assert_losses,
    assert_trained,
    learning_rate,
    training_inputs,
)
from support.fixtures import GOOGLE, GOOGLE_HEADS

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from electra_tf import TFElectraForJointPreTraining  # noqa: E402
from electra_tf.optimizer import adam_state, clip_by_global_norm, electra_adam, named_weights  # noqa: E402
from electra_tf.pretrained import read_canonical  # noqa: E402


def test_six_steps_end_where_googles_did():
    model = TFElectraForJointPreTraining.from_pretrained(
        GOOGLE / "init", num_attention_heads=GOOGLE_HEADS, **NO_DROPOUT
    )
    optimizer = electra_adam(model)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(batch):
        with tf.GradientTape() as tape:
            output = model(**batch, training=True)
        gradients = tape.gradient(output["loss"], model.trainable_variables)
        gradients, _ = clip_by_global_norm(gradients, 1.0)
        optimizer.apply(gradients, model.trainable_variables)
        return output

    for number, step in enumerate(STEPS):
        optimizer.learning_rate = learning_rate(number)
        output = update({name: tf.convert_to_tensor(array) for name, array in training_inputs(step).items()})
        assert_losses(step, output)
    weights = {name: read_canonical(name, variable) for name, variable in named_weights(model).items()}
    assert_trained(weights, adam_state(model, optimizer))
