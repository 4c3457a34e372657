"""Running a model over many rows in length buckets: rows of like length together, little padding in each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
from electra_tf.programs import kept_program

_OF_TOKENS: Final = ("last_hidden_state", "logits", "start_logits", "end_logits", "hidden_states")


def predict_in_buckets(
    model: TFElectraPreTrainedModel,
    inputs: Mapping[str, NDArray[Any]],
    *,
    boundaries: Sequence[int] | None = None,
    batch_size: int = 32,
    jit_compile: bool = False,
) -> dict[str, NDArray[Any]]:
    """Return what a model computes for padded rows, each computed in a batch of rows of like length.

    Args:
        model: any but one for multiple choice or with Google's head for answers, run without dropout.
        inputs: [rows, length] each, ``attention_mask`` among them; no labels.
        boundaries: the lengths of batches, ascending; each is a program for a compiler. None for batches as long as
            their longest row, or with ``jit_compile`` for 16, 32, 64, 128, 256 and 512.
        batch_size: rows of a batch. With boundaries the last one of a length is filled up with copies.
        jit_compile: compile each program with XLA.

    Returns:
        ``{output: [rows, ...]}`` in the order of the inputs, 0 beyond the length that a row was cut to.

    Raises:
        ValueError: there is no mask, an input has another shape, a row is longer than the last boundary, or the model
            gives what is neither one for each token nor, of a sequence classifier, for each row.
    """
    rows, length = inputs["attention_mask"].shape if "attention_mask" in inputs else (0, 0)
    whole = BucketedOutputs(model.architecture, rows, length)
    if boundaries is None and jit_compile:
        boundaries = DEFAULT_BOUNDARIES
    run = _program(model, inputs, jit_compile, has_any_shape=boundaries is None)
    for bucket in plan_buckets(real_lengths(inputs), boundaries, batch_size):
        batch = cut_batch(inputs, bucket, bucket.rows.size if boundaries is None else batch_size)
        output = run({name: ops.convert_to_tensor(array) for name, array in batch.items()})
        _check_outputs(output, ("logits",) if not whole.is_per_token else _OF_TOKENS)
        whole.place(bucket, {name: np.asarray(ops.cast(tensor, "float32")) for name, tensor in output.items()})
    return whole.outputs


def _check_outputs(output: Mapping[str, Any], placed: Sequence[str]) -> None:
    if others := [name for name in output if name.partition("/")[0] not in placed]:
        raise ValueError(
            f"predict_in_buckets puts together {', '.join(placed)} of this model, found {others[0]} too: leave it out, "
            "or call the model on padded rows"
        )


def _program(
    model: TFElectraPreTrainedModel, inputs: Mapping[str, NDArray[Any]], jit_compile: bool, has_any_shape: bool
) -> Any:
    """Return the model as a graph, for each shape by itself or for any."""
    signature = None
    if has_any_shape:
        signature = {name: tf.TensorSpec((None, None, *array.shape[2:]), array.dtype) for name, array in inputs.items()}

    def run(batch: dict[str, Any]) -> dict[str, Any]:
        return dict(model(**batch, training=False).flat())

    key = ("buckets", jit_compile, signature and tuple(sorted(signature.items())))
    return kept_program(
        model, key, lambda: tf.function(run, signature and [signature], jit_compile=jit_compile, autograph=False)
    )
