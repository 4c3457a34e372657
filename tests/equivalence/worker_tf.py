"""The TensorFlow process: runs every case in a folder, leaves `tf.npz` beside each and saves the model again."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import electra_tf
from electra_common.weights.names import find_row
from electra_tf.pretrained import canonical_state
from support.keras_gradients import canonical_gradients


def load(folder, checkpoint):
    """Load a case's model from one of its folders, in its dtype."""
    case = json.loads((folder / "case.json").read_text())
    return getattr(electra_tf, f"TF{case['architecture']}").from_pretrained(folder / checkpoint, dtype=case["dtype"])


def run(folder, checkpoint):
    """Return outputs and gradients by name."""
    model = load(folder, checkpoint)
    with np.load(folder / "batch.npz") as file:
        batch = {name: file[name] for name in file.files}
    with tf.GradientTape() as tape:
        output = model(**batch, output_attentions=True, output_hidden_states=True)
    result = {name: tf.cast(tensor, "float32").numpy() for name, tensor in output.flat().items()}
    if "loss" in output:
        for name, gradient in canonical_gradients(tape, output.loss, model).items():
            result[f"gradient {name}"] = gradient.astype(np.float32)
    return result


def train(folder):
    """Return the weights after five steps of gradient descent with momentum, and each step's loss."""
    case = json.loads((folder / "case.json").read_text())
    model_class = getattr(electra_tf, f"TF{case['architecture']}")
    model = model_class.from_pretrained(folder / "checkpoint", **case["no_dropout"])
    with np.load(folder / "batch.npz") as file:
        batch = {name: file[name] for name in file.files}
    optimizer = keras.optimizers.SGD(case["learning_rate"], momentum=0.9)
    variables = model.trainable_variables
    losses = []
    for _ in range(case["steps"]):
        with tf.GradientTape() as tape:
            loss = model(**batch, training=True).loss
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        losses.append(float(loss))
    state = {name: variable.numpy() for name, variable in canonical_state(model).items()}
    turned = {name: array.T if find_row(name).transpose else array for name, array in state.items()}
    return {**turned, "losses": losses}


for case_folder in sorted(Path(sys.argv[1]).iterdir()):
    if sys.argv[2] == "first":
        np.savez(case_folder / "tf.npz", **run(case_folder, "checkpoint"))
        load(case_folder, "checkpoint").save_pretrained(case_folder / "saved_by_tf")
        if json.loads((case_folder / "case.json").read_text())["is_trained"]:
            np.savez(case_folder / "tf_trained.npz", **train(case_folder))
    else:
        np.savez(case_folder / "tf_from_pt.npz", **run(case_folder, "saved_by_pt"))
