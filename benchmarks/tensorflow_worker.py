"""One side of the measurements in TensorFlow: a process that works and tells the seconds.

Usage: python -m benchmarks.tensorflow_worker SIDE FOLDER BATCHES.npz THREADS CLOCK, where the side is ``ours``,
``prepacked``, ``peer`` (transformers 4.57.6) or ``keras-hub``. The environments of the last two have not this library,
so nothing of it is imported for them.
"""

import json
import os
import sys
from pathlib import Path

SIDE, FOLDER, BATCHES, THREADS, CLOCK = sys.argv[1:]
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", USE_TORCH="0", USE_TF="1")
if SIDE == "peer":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np  # noqa: E402 (settings come before what reads them)
import tensorflow as tf  # noqa: E402

from benchmarks.reading import memory_reader  # noqa: E402
from benchmarks.worker_loop import CLOCKS, answer_lines  # noqa: E402

BATCH_SIZE = 32
EAGER_CALLS, GRAPH_CALLS = 3, 10
NAMES = ("input_ids", "attention_mask", "token_type_ids")
FULL_LENGTHS = (128, 512)


def load():
    """Return the model, and what calls it with ids, mask and segments."""
    if SIDE == "keras-hub":
        model = keras_hub_backbone()

        def hidden_states(ids, mask, types):
            given = {"token_ids": ids, "padding_mask": mask, "segment_ids": types}
            return model(given, training=False)["sequence_output"]

        return model, hidden_states
    if SIDE == "peer":
        from transformers import TFElectraForPreTraining
    else:
        from electra_tf import TFElectraForPreTraining
    model = TFElectraForPreTraining.from_pretrained(FOLDER)
    if SIDE == "prepacked":
        from electra_tf.prepacking import prepack_weights

        prepack_weights(model)

    def logits(ids, mask, types):
        return model(input_ids=ids, attention_mask=mask, token_type_ids=types, training=False).logits

    return model, logits


def keras_hub_backbone():
    """Return keras-hub's encoder with the sizes of our config: it has no head, and another GELU."""
    import keras_hub

    config = json.loads((Path(FOLDER) / "config.json").read_text(encoding="utf-8"))
    return keras_hub.models.ElectraBackbone(
        vocab_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        embedding_dim=config["embedding_size"],
        intermediate_dim=config["intermediate_size"],
        max_sequence_length=config["max_position_embeddings"],
        num_segments=config["type_vocab_size"],
    )


def in_file_order(run, rows):
    """The peers' way: batches padded to their own longest row, one program for all; only logits are kept."""
    logits = np.zeros(rows["input_ids"].shape, np.float32)
    for start in range(0, len(logits), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        length = int(rows["attention_mask"][part].sum(axis=1).max())
        found = run(*(tf.constant(rows[name][part, :length]) for name in NAMES)).numpy()
        if found.ndim == logits.ndim:
            logits[part, :length] = found
    return logits


def main():
    """Build what is measured, and answer."""
    tf.config.threading.set_intra_op_parallelism_threads(int(THREADS))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(BATCHES) as file:
        arrays = {name: file[name].astype("int32") for name in file.files}
    model, run = load()
    rows = {name: arrays[name] for name in NAMES}
    short, *full = (
        [tf.constant(arrays[f"{kind}/{name}"]) for name in NAMES]
        for kind in ("short", *(f"full-{length}" for length in FULL_LENGTHS))
    )
    graph = tf.function(run, input_signature=[tf.TensorSpec([None, None], tf.int32)] * len(NAMES))

    if SIDE == "ours":
        read_weights = memory_reader(model.electra.encoder.count_params(), int(THREADS))

    def real():
        if SIDE in ("peer", "keras-hub"):
            return in_file_order(graph, rows)
        from electra_tf.bucketing import predict_in_buckets

        return predict_in_buckets(model, rows, batch_size=BATCH_SIZE)["logits"]

    def predict():
        names = ("token_ids", "padding_mask", "segment_ids")
        given = {name: tensor.numpy() for name, tensor in zip(names, short, strict=True)}
        return [model.predict_on_batch(given) for _ in range(GRAPH_CALLS)]

    def read():  # of ours: nothing but the layers' weights, as often as the graph multiplies with them
        for _ in range(GRAPH_CALLS):
            read_weights()

    works = {
        "eager": lambda: [run(*short) for _ in range(EAGER_CALLS)],
        "graph": lambda: [graph(*short) for _ in range(GRAPH_CALLS)],
        "predict": predict,  # keras-hub's other graph
        "read": read,
        "real": real,
        **{
            f"full-{length}": lambda batch=batch: graph(*batch)
            for length, batch in zip(FULL_LENGTHS, full, strict=True)
        },
    }

    def timed(work):
        started = CLOCKS[CLOCK]()
        work()
        return CLOCKS[CLOCK]() - started

    timed_works = {name: lambda work=work: timed(work) for name, work in works.items()}
    answer_lines({**timed_works, "save": lambda target: np.save(target, real())})


if __name__ == "__main__":
    main()
