"""Running a model over many rows in length buckets: batches of a few fixed shapes, little padding in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from electra_common.length_buckets import (
    DEFAULT_BOUNDARIES,
    BucketedOutputs,
    cut_batch,
    plan_buckets,
    real_lengths,
)
from electra_tf.pretrained import TFElectraPreTrainedModel


def predict_in_buckets(
    model: TFElectraPreTrainedModel,
    inputs: Mapping[str, NDArray[Any]],
    *,
    boundaries: Sequence[int] = DEFAULT_BOUNDARIES,
    batch_size: int = 32,
    jit_compile: bool = False,
) -> dict[str, NDArray[Any]]:
    """Return what a model computes for padded rows, each computed in a batch of rows of like length.

    Args:
        model: any but one for multiple choice, run without dropout.
        inputs: [rows, length] each, ``attention_mask`` among them; no labels.
        boundaries: the lengths of batches, ascending; each is a program for a compiler.
        batch_size: rows of every batch; the last one of a length is filled up with copies.
        jit_compile: compile each program with XLA.

    Returns:
        ``{output: [rows, ...]}`` in the order of the inputs, 0 beyond the length that a row was cut to.

    Raises:
        ValueError: there is no mask, an input has another shape, or a row is longer than the last boundary.
    """
    rows, length = inputs["attention_mask"].shape if "attention_mask" in inputs else (0, 0)
    whole = BucketedOutputs(type(model).__name__.removeprefix("TF"), rows, length)
    run = _program(model, jit_compile)
    for bucket in plan_buckets(real_lengths(inputs), boundaries, batch_size):
        batch = cut_batch(inputs, bucket, batch_size)
        output = run({name: ops.convert_to_tensor(array) for name, array in batch.items()})
        whole.place(bucket, {name: np.asarray(ops.cast(tensor, "float32")) for name, tensor in output.items()})
    return whole.outputs


def _program(model: TFElectraPreTrainedModel, jit_compile: bool) -> Any:
    """Return the model as a graph that the model keeps: tracing a shape takes longer than computing a batch of it."""
    # Past Keras, which would look for weights in an attribute and export the functions it finds.
    programs = model.__dict__.setdefault("bucket_programs", {})
    if jit_compile not in programs:
        programs[jit_compile] = tf.function(
            lambda batch: dict(model(**batch, training=False).flat()), jit_compile=jit_compile
        )
    return programs[jit_compile]
