"""Gradients of a Keras model by canonical name and orientation. Imports TensorFlow."""

import numpy as np
import tensorflow as tf

from electra_common.weights.names import find_row
from electra_tf.pretrained import canonical_state


def canonical_gradients(tape, loss, model):
    """Return {canonical name: gradient} as torch would have it; zeros where the loss does not depend on a weight."""
    state = canonical_state(model)
    gradients = tape.gradient(loss, [variable.value for variable in state.values()])
    result = {}
    for (name, variable), gradient in zip(state.items(), gradients, strict=True):
        dense = np.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        result[name] = dense.T if find_row(name).transpose else dense
    return result
