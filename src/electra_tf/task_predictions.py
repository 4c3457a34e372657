"""What a model for a task computes for many rows: rows of like length together, little padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from electra_common.tasks.features.rows import Row, pad_rows
from electra_common.tasks.prediction_batches import outputs_of_rows, plan_batches
from electra_tf.pretrained import TFElectraPreTrainedModel
from electra_tf.processes import to_tensors
from electra_tf.programs import kept_program


def predict_rows(
    model: TFElectraPreTrainedModel,
    rows: Sequence[Row],
    *,
    batch_size: int | None = None,
    precision: str = "float32",
) -> list[dict[str, NDArray[Any]]]:
    """Return the outputs of each row by name, cut to its real length, without dropout.

    Args:
        model: one of those with a head for a task.
        rows: in any order.
        batch_size: most rows computed at once; None for as many as have 2,048 tokens together.
        precision: of the arithmetic of layers; it must be the one that the model was made with.

    Raises:
        ValueError: the batch size is below 1, or the model was made with another precision.
    """
    found: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
    _check_precision(model, precision)
    forward = _program(model, rows)
    for numbers in plan_batches(rows, batch_size):
        batch = [rows[number] for number in numbers]
        arrays, _ = pad_rows(batch, pad_token_id=model.config.pad_token_id or 0)
        outputs = {name: np.asarray(tensor) for name, tensor in forward(to_tensors(arrays)).items()}
        for number, output in zip(numbers, outputs_of_rows(outputs, batch, model.architecture), strict=True):
            found[number] = output
    return found


def _program(model: TFElectraPreTrainedModel, rows: Sequence[Row]) -> Any:
    """Return the model as a graph for batches of any size and length."""
    choices = rows[0].inputs["input_ids"].shape[:-1] if rows else ()
    shape = (None, *choices, None)  # [batch, length] or [batch, choices, length]
    signature = {name: tf.TensorSpec(shape, array.dtype) for name, array in (rows[0].inputs if rows else {}).items()}

    def run(batch: Mapping[str, Any]) -> dict[str, Any]:
        output = model(**batch, training=False).flat()
        return {name: _wide(tensor) for name, tensor in output.items()}

    return kept_program(model, ("rows", choices), lambda: tf.function(run, [signature], autograph=False))


def _wide(tensor: Any) -> Any:
    return ops.cast(tensor, "float32") if "float" in keras.backend.standardize_dtype(tensor.dtype) else tensor


def _check_precision(model: TFElectraPreTrainedModel, precision: str) -> None:
    if model.compute_dtype != precision:
        raise ValueError(f"the model computes in {model.compute_dtype}, not in {precision}: load it under that policy")
