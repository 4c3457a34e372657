"""The TensorFlow process: twenty steps of pre-training, with recorded samples and with its own."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from electra_tf import TFElectraForJointPreTraining
from electra_tf.optimizer import adam_state, clip_by_global_norm, electra_adam, named_weights
from electra_tf.pretrained import read_canonical
from equivalence.joint_training import CLIP, STEPS, WEIGHT_DECAY, batch_of, learning_rate


def train(folder, recorded):
    """Return weights, Adam's state, losses and what the discriminator saw, by name."""
    model = TFElectraForJointPreTraining.from_pretrained(folder)
    optimizer = electra_adam(model, weight_decay=WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(batch):
        with tf.GradientTape() as tape:
            output = model(**batch, training=True)
        gradients = tape.gradient(output["loss"], model.trainable_variables)
        gradients, _ = clip_by_global_norm(gradients, CLIP)
        optimizer.apply(gradients, model.trainable_variables)
        return output

    losses, corrupted = [], []
    for step in range(STEPS):
        optimizer.learning_rate = learning_rate(step)
        batch = batch_of(step, recorded=recorded)
        output = update({name: tf.convert_to_tensor(array) for name, array in batch.items()})
        losses.append(float(output["loss"]))
        corrupted.append(output["corrupted_input_ids"].numpy())
    moments = adam_state(model, optimizer)
    result = {f"weight/{name}": read_canonical(name, weight) for name, weight in named_weights(model).items()}
    result |= {
        f"{kind}/{name}": array for name, pair in moments.items() for kind, array in zip("mv", pair, strict=True)
    }
    return {**result, "losses": np.array(losses), "corrupted": np.stack(corrupted)}


root = Path(sys.argv[1])
for kind in ("recorded", "sampled"):
    np.savez(root / f"tf_{kind}.npz", **train(root / "start", kind == "recorded"))
