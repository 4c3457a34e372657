"""PyTorch against the numbers that Google's code recorded: both checkpoints, both networks."""

import numpy as np
import pytest

from support.assertions import assert_close
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")

from electra_pt import ElectraForMaskedLM, ElectraForPreTraining, ElectraModel  # noqa: E402
from electra_pt.losses import classification_loss  # noqa: E402
from reference.google_recording import (  # noqa: E402
    CHECKPOINTS,
    assert_hidden_states,
    at_masked_positions,
    inputs,
    recorded_step,
)


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def run(model_class, checkpoint, component, batch, **extra):
    model = model_class.from_pretrained(
        GOOGLE / checkpoint, component=component, num_attention_heads=GOOGLE_HEADS[component]
    )
    with torch.no_grad():
        return model(**tensors(batch), output_hidden_states=True, **tensors(extra))


@pytest.mark.parametrize(("checkpoint", "step"), CHECKPOINTS.items())
def test_discriminator_gives_the_recorded_numbers(checkpoint, step):
    values = recorded_step(step)
    batch = inputs(values, "corrupted_input_ids")
    output = run(ElectraForPreTraining, checkpoint, "discriminator", batch, labels=values["is_fake"].astype(np.int64))
    real = values["input_mask"] == 1
    assert_hidden_states("discriminator", values, [state.numpy() for state in output.hidden_states])
    probabilities = torch.sigmoid(output.logits).numpy()
    assert_close("probabilities", values["discriminator_probs"][real], probabilities[real], FORWARD)
    assert_close("loss", values["disc_loss"], output.loss.numpy(), FORWARD)


@pytest.mark.parametrize(("checkpoint", "step"), CHECKPOINTS.items())
def test_generator_gives_the_recorded_numbers(checkpoint, step):
    values = recorded_step(step)
    output = run(ElectraForMaskedLM, checkpoint, "generator", inputs(values, "masked_input_ids"))
    assert_hidden_states("generator", values, [state.numpy() for state in output.hidden_states])
    logits = at_masked_positions(output.logits.numpy(), values)
    assert_close("logits", values["generator_logits_at_masked"], logits, FORWARD)
    labels, weights = (torch.from_numpy(values[f"masked_lm_{name}"]) for name in ("ids", "weights"))
    loss = classification_loss(torch.from_numpy(logits), labels, weights)
    assert_close("loss", values["mlm_loss"], loss.numpy(), FORWARD)


@pytest.mark.parametrize("component", GOOGLE_HEADS)
def test_the_bare_encoder_loads_from_either_network(component):
    values = recorded_step("eval")
    ids = "corrupted_input_ids" if component == "discriminator" else "masked_input_ids"
    output = run(ElectraModel, "trained/model.ckpt-6", component, inputs(values, ids))
    assert_hidden_states(component, values, [state.numpy() for state in output.hidden_states])
