"""TensorFlow against what transformers 4.57.6 recorded: outputs, hidden states, attention maps, every gradient."""

import numpy as np
import pytest

from support.assertions import assert_all_close
from support.fixtures import ALL_HEADS, CONFIGURATIONS, TRANSFORMERS, recorded
from support.tolerances import FORWARD, GRADIENT

tf = pytest.importorskip("tensorflow")

import electra_tf  # noqa: E402
from support.keras_gradients import canonical_gradients  # noqa: E402


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("head", ALL_HEADS)
def test_everything_is_as_recorded(configuration, head):
    folder = TRANSFORMERS / configuration / head
    expected = recorded(folder)
    model = getattr(electra_tf, f"TFElectra{head}").from_pretrained(folder)
    with tf.GradientTape() as tape:
        output = model(**expected["in"], output_attentions=True, output_hidden_states=True)
    found = {name: np.asarray(tensor) for name, tensor in output.flat().items()}
    assert_all_close(expected["out"], found, FORWARD)
    if head != "Model":
        assert_all_close(expected["grad"], canonical_gradients(tape, output.loss, model), GRADIENT)
