"""Three steps of training on one replica, and on two: `python mirrored_worker.py FOLDER` leaves `1.npz` and `2.npz`.

A process of its own, for devices must be made before TensorFlow starts.
"""

import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from electra_common import ElectraConfig
from electra_tf import TFElectraForTokenClassification
from electra_tf.pretrained import canonical_state

warnings.simplefilter("error")
folder = Path(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
config = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
random = np.random.default_rng(0)
ids = random.integers(1, 97, (8, 11)).astype("int32")
labels = random.integers(0, 2, (8, 11)).astype("int32")


def train(replicas):
    """Train a model from the same weights on the same batch, and return its losses and weights."""
    strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])
    assert strategy.num_replicas_in_sync == replicas
    keras.utils.set_random_seed(5)
    with strategy.scope():
        model = TFElectraForTokenClassification(config)
        model.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    inputs = {"input_ids": ids, "labels": labels}
    losses = model.fit(inputs, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]
    state = {name: np.asarray(variable) for name, variable in canonical_state(model).items()}
    return {"losses": losses, **state}


for replicas in (1, 2):
    np.savez(folder / f"{replicas}.npz", **train(replicas))
