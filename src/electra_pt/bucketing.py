"""Running a model over many rows in length buckets: rows of like length together, little padding in each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from electra_common.length_buckets import (
    DEFAULT_BOUNDARIES,
    BucketedOutputs,
    cut_batch,
    plan_buckets,
    real_lengths,
)
from electra_pt.pretrained import ElectraPreTrainedModel


@torch.inference_mode()
def predict_in_buckets(
    model: ElectraPreTrainedModel,
    inputs: Mapping[str, NDArray[Any]],
    *,
    boundaries: Sequence[int] | None = None,
    batch_size: int = 32,
    jit_compile: bool = False,
) -> dict[str, NDArray[Any]]:
    """Return what a model computes for padded rows, each computed in a batch of rows of like length.

    Args:
        model: any but one for multiple choice, run in the mode it is in; evaluation mode is what you want.
        inputs: [rows, length] each, ``attention_mask`` among them; no labels.
        boundaries: the lengths of batches, ascending; each is a program for a compiler. None for batches as long as
            their longest row, or with ``jit_compile`` for 16, 32, 64, 128, 256 and 512.
        batch_size: rows of a batch. With boundaries the last one of a length is filled up with copies.
        jit_compile: compile the model with :func:`torch.compile`.

    Returns:
        ``{output: [rows, ...]}`` in the order of the inputs, 0 beyond the length that a row was cut to.

    Raises:
        ValueError: there is no mask, an input has another shape, or a row is longer than the last boundary.
    """
    rows, length = inputs["attention_mask"].shape if "attention_mask" in inputs else (0, 0)
    whole = BucketedOutputs(type(model).__name__, rows, length)
    device = next(model.parameters()).device
    run = torch.compile(model) if jit_compile else model
    if boundaries is None and jit_compile:
        boundaries = DEFAULT_BOUNDARIES
    for bucket in plan_buckets(real_lengths(inputs), boundaries, batch_size):
        batch = cut_batch(inputs, bucket, bucket.rows.size if boundaries is None else batch_size)
        output = run(
            **{name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in batch.items()}
        )
        whole.place(bucket, {name: tensor.float().cpu().numpy() for name, tensor in output.flat().items()})
    return whole.outputs
