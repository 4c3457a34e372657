"""What a model for a task computes for many rows: rows of like length together, padding left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from electra_common.tasks.features.rows import Row, pad_rows
from electra_common.tasks.prediction_batches import outputs_of_rows, plan_batches
from electra_pt.pretrained import ElectraPreTrainedModel
from electra_pt.processes import to_tensors
from electra_pt.task_losses import without_padding


@torch.inference_mode()
def predict_rows(
    model: ElectraPreTrainedModel,
    rows: Sequence[Row],
    *,
    batch_size: int | None = None,
    precision: str = "float32",
) -> list[dict[str, NDArray[Any]]]:
    """Return the outputs of each row by name, cut to its real length, without dropout.

    Args:
        model: one of those with a head for a task; it is left in the mode that it is in.
        rows: in any order.
        batch_size: most rows computed at once; None for as many as have 2,048 tokens together.
        precision: ``"float32"``, or ``"bfloat16"`` for the arithmetic of layers.

    Raises:
        ValueError: the batch size is below 1.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    found: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
    for numbers in plan_batches(rows, batch_size):
        batch = [rows[number] for number in numbers]
        arrays, _ = pad_rows(batch, pad_token_id=model.config.pad_token_id or 0)
        with torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
            outputs = _outputs(model, to_tensors(arrays, device))
        for number, output in zip(numbers, outputs_of_rows(outputs, batch, model.architecture), strict=True):
            found[number] = output
    model.train(was_training)
    return found


def _outputs(model: ElectraPreTrainedModel, inputs: dict[str, torch.Tensor]) -> Mapping[str, NDArray[Any]]:
    output = model(**without_padding(model.config, inputs), return_dict=True)
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
        for name, tensor in output.flat().items()
    }
