"""Running a model over numpy batches and returning everything it computed as numpy, to compare with another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


def record_outputs(model: keras.Model, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a model in evaluation mode and return each output, hidden state and attention map by name, in float32.

    Args:
        model: any model of this package.
        batch: arguments of its call, such as ``input_ids`` [batch, length].
    """
    inputs = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
    output = model(**inputs, output_attentions=True, output_hidden_states=True, return_dict=True, training=False)
    return {
        name: np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32"))) for name, tensor in output.flat().items()
    }


def set_seed(seed: int) -> None:
    """Fix every random number that this framework draws from here on."""
    keras.utils.set_random_seed(seed)
