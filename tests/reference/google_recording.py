"""What Google's code recorded, and how a framework's results are held against it. Knows no framework."""

import numpy as np

from electra_common.weights.formats.tf1_bundle import read_bundle
from support.assertions import assert_close
from support.fixtures import GOOGLE
from support.tolerances import FORWARD

# Google's run, from `init` to `trained`.
STEPS = tuple(f"step{number}" for number in range(6))
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# Of the losses, relative; of weights and Adam's slots FORWARD holds, absolute.
LOSS = 1e-4

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


def learning_rate(number):
    """Return the rate of the update that follows step ``number``: the graph read the step after its increment."""
    return 1e-3 * (1 - (number + 1) / 20) * min(1, (number + 1) / 3)


def training_inputs(step):
    """Return what the joint model is called with to do what Google's graph did: nothing is sampled."""
    values = recorded_step(step)
    return {
        **inputs(values, "masked_input_ids"),
        "masked_positions": values["masked_lm_positions"],
        "masked_labels": values["masked_lm_ids"],
        "masked_weights": values["masked_lm_weights"],
        "corrupted_input_ids": values["corrupted_input_ids"].astype(np.int64),
        "is_replaced": values["is_fake"],
    }


def assert_losses(step, output):
    """Compare the three losses of a step with the recorded ones, relatively."""
    values = recorded_step(step)
    names = {"loss": "total_loss", "generator_loss": "mlm_loss", "discriminator_loss": "disc_loss"}
    for ours, theirs in names.items():
        assert_close(f"{step} {ours}", 1.0, float(output[ours]) / float(values[theirs]), LOSS)


def assert_trained(weights, moments):
    """Compare weights and Adam's slots with those of `trained`, by joint name: all that Google's file holds."""
    with_slots = trained_variables()
    assert len(with_slots) == 3 * len(weights) == 3 * len(moments)
    for name, array in weights.items():
        assert_close(name, with_slots[name], array, FORWARD)
        for kind, slot in zip(("adam_m", "adam_v"), moments[name], strict=True):
            assert np.abs(with_slots[f"{name}/{kind}"]).max() > 0 or name.endswith("key.bias")
            assert_close(f"{name}/{kind}", with_slots[f"{name}/{kind}"], slot, FORWARD)


def trained_variables():
    """Return `trained` by joint name, slots with their suffix, from the file itself and without our name table."""
    tensors, _ = read_bundle(GOOGLE / "trained/model.ckpt-6")
    found = {}
    for key, tensor in tensors.items():
        name, _, slot = key.partition("/adam_")
        if name == "global_step":
            continue
        array = tensor.read()
        parts = name.split("/")
        owner = "generator." if parts[0] in ("generator", "generator_predictions") else "discriminator."
        parts = ["electra" if part == "generator" else part for part in parts]
        canonical = owner + ".".join(parts).replace("layer_", "layer.").replace("dense_1", "dense_prediction")
        canonical = canonical.replace("generator_predictions.output_bias", "generator_lm_head.bias")
        for theirs, ours in (("kernel", "weight"), ("gamma", "weight"), ("beta", "bias")):
            canonical = canonical.removesuffix(f".{theirs}") + f".{ours}" * canonical.endswith(f".{theirs}")
        canonical += ".weight" if canonical.endswith("_embeddings") else ""
        found[canonical + (f"/adam_{slot}" if slot else "")] = array.T if name.endswith("kernel") else array
    return found
