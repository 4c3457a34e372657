"""One side of fine-tuning in TensorFlow: a process that trains a classifier of sentences and tells the seconds.

Usage: python -m benchmarks.tensorflow_training_worker SIDE FOLDER BATCHES.npz THREADS CLOCK, where the side is ``ours``
or ``peer`` (transformers 4.57.6), whose environment has not this library.
"""

import os
import sys

SIDE, FOLDER, BATCHES, THREADS, CLOCK = sys.argv[1:]
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", USE_TORCH="0", USE_TF="1")
if SIDE == "peer":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np  # noqa: E402 (settings come before what reads them)
import tensorflow as tf  # noqa: E402

from benchmarks.worker_loop import CLOCKS, answer_lines  # noqa: E402

if SIDE == "peer":
    from tf_keras.optimizers import AdamW
    from transformers import TFElectraForSequenceClassification
else:
    from keras.optimizers import AdamW

    from electra_tf import TFElectraForSequenceClassification

BATCH_SIZE = 32
RATE = 1e-5
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def plan_batches(rows):
    """Return ids, masks and segments by batch: the peer's in file order, ours of rows of like length."""
    lengths = rows["attention_mask"].sum(axis=1)
    order = np.arange(len(lengths)) if SIDE == "peer" else np.argsort(lengths, kind="stable")
    return [cut(rows, order[start : start + BATCH_SIZE]) for start in range(0, len(order), BATCH_SIZE)]


def cut(rows, chosen):
    """Return a batch as long as its longest row."""
    length = rows["attention_mask"][chosen].sum(axis=1).max()
    return [tf.constant(rows[name][chosen, :length]) for name in NAMES]


def main():
    """Build what is measured, and answer."""
    tf.config.threading.set_intra_op_parallelism_threads(int(THREADS))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(BATCHES) as file:
        rows = {name: file[name].astype("int32") for name in NAMES}
    batches, first = plan_batches(rows), cut(rows, np.arange(BATCH_SIZE))
    model, optimizer = TFElectraForSequenceClassification.from_pretrained(FOLDER), AdamW(RATE)

    def mean_loss(given, training):
        labels = tf.range(tf.shape(given[0])[0]) % 2  # they take turns
        loss = model(**dict(zip(NAMES, given, strict=True)), labels=labels, training=training).loss
        return tf.reduce_mean(loss)  # transformers has one for each row

    first_loss = float(mean_loss(first, training=False))  # what both must agree in
    optimizer.build(model.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * len(NAMES), autograph=False)
    def step(*given):
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            loss = mean_loss(given, training=True)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def timed_epoch():
        started = CLOCKS[CLOCK]()
        for batch in batches:
            step(*batch).numpy()
        return CLOCKS[CLOCK]() - started

    answer_lines({"first-loss": lambda: first_loss, "fine-tuning": timed_epoch})


if __name__ == "__main__":
    main()
