"""One side of the measurements in TensorFlow: a process that works and tells the seconds, one line for each it reads.

For the line "memory" it tells the peak of its memory in MB, whatever it did before.

Usage: python tensorflow_worker.py ours|prepacked|peer FOLDER BATCHES.npz THREADS CLOCK. The peer's environment has
transformers 4.57.6 and not this library, so nothing of it is imported for the peer.
"""

import os
import sys
import time

SIDE, FOLDER, BATCHES, THREADS, CLOCK = sys.argv[1:]
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", USE_TORCH="0", USE_TF="1")
if SIDE == "peer":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np  # noqa: E402 (settings come before what reads them)
import tensorflow as tf  # noqa: E402

BATCH_SIZE = 32
EAGER_CALLS, GRAPH_CALLS = 3, 10
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def load():
    if SIDE == "peer":
        from transformers import TFElectraForPreTraining
    else:
        from electra_tf import TFElectraForPreTraining
    model = TFElectraForPreTraining.from_pretrained(FOLDER)
    if SIDE == "prepacked":
        from electra_tf.prepacking import prepack_weights

        prepack_weights(model)
    return model


def in_file_order(run, rows):
    """The peer's way: batches padded to their own longest row; one program takes them all."""
    logits = np.zeros(rows["input_ids"].shape, np.float32)
    for start in range(0, len(logits), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        length = int(rows["attention_mask"][part].sum(axis=1).max())
        logits[part, :length] = run(*(tf.constant(rows[name][part, :length]) for name in NAMES))
    return logits


def peak_megabytes():
    with open("/proc/self/status") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmHWM"))) / 1024


def main():
    tf.config.threading.set_intra_op_parallelism_threads(int(THREADS))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(BATCHES) as file:
        arrays = {name: file[name].astype("int32") for name in file.files}
    model = load()
    short = [tf.constant(arrays[f"short/{name}"]) for name in NAMES]
    rows = {name: arrays[name] for name in NAMES}

    def run(ids, mask, types):
        return model(input_ids=ids, attention_mask=mask, token_type_ids=types, training=False).logits

    any_shape = [tf.TensorSpec([None, None], tf.int32)] * len(NAMES)
    graph = tf.function(run, input_signature=any_shape)

    def real():
        if SIDE == "peer":
            return in_file_order(graph, rows)
        from electra_tf.bucketing import predict_in_buckets

        return predict_in_buckets(model, rows, batch_size=BATCH_SIZE)["logits"]

    works = {
        "eager": lambda: [run(*short) for _ in range(EAGER_CALLS)],
        "graph": lambda: [graph(*short) for _ in range(GRAPH_CALLS)],
        "real": real,
    }
    clock = {"wall": time.perf_counter, "processor": time.process_time}[CLOCK]
    print("ready", flush=True)
    for line in sys.stdin:
        name, _, target = line.strip().partition(" ")
        if name == "memory":
            print(peak_megabytes(), flush=True)
            continue
        started = clock()
        result = works[name]()
        seconds = clock() - started
        if target:
            np.save(target, result)
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
