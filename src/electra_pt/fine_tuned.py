"""Opening a fine-tuned model to let it answer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from electra_common import ElectraConfig, ElectraTokenizerFast
from electra_common.runs.precision import check_precision
from electra_common.tasks.fine_tuned import FineTuned
from electra_common.tasks.task_file import read_task_file
from electra_pt.fine_tuning import task_class
from electra_pt.prepacking import prepack_weights
from electra_pt.task_predictions import predict_rows


def open_fine_tuned(folder: str | Path, *, batch_size: int | None = None, precision: str = "float32") -> FineTuned:
    """Return the model in a folder that ``electra finetune`` wrote, in either framework, to answer and not to train.

    In float32 on a CPU its weights are prepacked (:func:`~electra_pt.prepacking.prepack_weights`), a second copy.

    Args:
        folder: such as ``results/seed-0/last``.
        batch_size: most rows computed at once; None for as many as have 2,048 tokens together.
        precision: ``"float32"``, or ``"bfloat16"`` for the arithmetic of layers.

    Raises:
        ValueError: there is no such precision.
        CheckpointError: the folder holds no such model, or it is damaged.
    """
    check_precision(precision)
    task_file = read_task_file(folder)
    config = ElectraConfig.from_pretrained(folder).replace(architectures=(task_file.task.architecture,))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = task_class(config).from_pretrained(folder, config=config).to(device)
    if device == "cpu" and precision == "float32" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        prepack_weights(model)
    predict = partial(predict_rows, model, batch_size=batch_size, precision=precision)
    return FineTuned(task_file, ElectraTokenizerFast.from_pretrained(folder), config.head, predict)
