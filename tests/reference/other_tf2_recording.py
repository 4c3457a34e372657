"""What programs recorded beside their TensorFlow 2 checkpoints (`fixtures/tf2-others`). Knows no framework."""

import numpy as np

from support.assertions import assert_close
from support.fixtures import OTHER_TF2
from support.tolerances import FORWARD

PROGRAMS = ("electra", "teams", "nvidia")
ARCHITECTURES = {"discriminator": "ElectraForPreTraining", "generator": "ElectraForMaskedLM"}
# Heads leave no trace in 2-D kernels; the Model Garden's have an axis of their own for them.
HEADS = {"nvidia": {"discriminator": 3, "generator": 2}}
_INPUTS = {
    "input_ids": ("input_word_ids", "input_ids"),
    "attention_mask": ("input_mask", "attention_mask"),
    "token_type_ids": ("input_type_ids", "token_type_ids"),
}


def recorded(program):
    """Return a batch under the names of our models' arguments, and all that the program recorded."""
    with np.load(OTHER_TF2 / program / "expected.npz") as file:
        values = {name: file[name] for name in file.files}
    batch = {
        name: next(values[key] for key in keys if key in values).astype(np.int64) for name, keys in _INPUTS.items()
    }
    return batch, values


def assert_recorded(program, component, record):
    """Compare what a model computes with what the program did, on real tokens.

    ``record`` runs a class on a batch: (architecture, folder, options, batch) -> {name: array}.
    """
    batch, values = recorded(program)
    heads = HEADS.get(program, {}).get(component)
    options = {} if heads is None else {"num_attention_heads": heads}
    found = record(ARCHITECTURES[component], OTHER_TF2 / program, {"component": component, **options}, batch)
    real = batch["attention_mask"] == 1
    assert_close(f"{program} {component}", values[f"{component}_logits"][real], found["logits"][real], FORWARD)
    if f"{component}_hidden" in values:
        last = max((name for name in found if name.startswith("hidden_states")), key=lambda name: (len(name), name))
        assert_close(f"{program} {component} hidden", values[f"{component}_hidden"][real], found[last][real], FORWARD)
