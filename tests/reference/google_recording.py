"""What Google's code recorded, and how a framework's results are held against it. Knows no framework."""

import numpy as np

from support.assertions import assert_close
from support.fixtures import GOOGLE
from support.tolerances import FORWARD

# The step whose recorded values belong to the weights in each checkpoint.
CHECKPOINTS = {"init/model.ckpt-0": "step0", "trained/model.ckpt-6": "eval"}


def recorded_step(step):
    """Return what Google's code saw and computed at a step, by name."""
    with np.load(GOOGLE / "expected.npz") as file:
        return {key.removeprefix(f"{step}/"): file[key] for key in file.files if key.startswith(f"{step}/")}


def inputs(values, ids):
    """Return the arguments of a model call; the generator saw masked ids, the discriminator corrupted ones."""
    return {
        "input_ids": values[ids].astype(np.int64),
        "attention_mask": values["input_mask"].astype(np.int64),
        "token_type_ids": values["segment_ids"].astype(np.int64),
    }


def assert_hidden_states(component, values, hidden_states):
    """Compare hidden states on real tokens; what stands on padding is used by nothing."""
    real = values["input_mask"] == 1
    if component == "discriminator":
        expected = values["discriminator_embeddings"][real]
        assert_close("discriminator embeddings", expected, hidden_states[0][real], FORWARD)
    assert_close(f"{component} hidden", values[f"{component}_hidden"][real], hidden_states[-1][real], FORWARD)


def at_masked_positions(logits, values):
    """Pick [batch, predictions, vocabulary] out of [batch, length, vocabulary]; unused slots point at position 0."""
    return np.take_along_axis(logits, values["masked_lm_positions"][:, :, None].astype(np.int64), axis=1)
