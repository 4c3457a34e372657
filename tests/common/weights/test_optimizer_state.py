"""Adam's slots and the training step of Google's checkpoints, under the names of the joint form."""

import re

import numpy as np
import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.atomic import write_files
from electra_common.weights.formats.tf1_bundle import read_bundle
from electra_common.weights.formats.tf1_bundle_writer import bundle_files
from electra_common.weights.joint_names import joint_tensors
from electra_common.weights.optimizer_state import read_optimizer_state
from electra_common.weights.saving import save_two_networks
from reference.google_recording import trained_variables
from support.fixtures import GOOGLE, GOOGLE_HEADS, TRANSFORMERS
from support.tiny_networks import (
    google_discriminator_head,
    google_embeddings,
    google_encoder,
    google_generator_head,
    google_pretraining,
    random_arrays,
    stored,
)

UNTIED = {
    **google_pretraining(),
    **google_embeddings("generator", 7),
    **google_encoder("generator", 7, 9, embedding=7),
    **google_generator_head(7, 7),
}
UNTIED = {name: shape for name, shape in UNTIED.items() if not name.startswith("generator/embeddings_project")}
ONE_NETWORK = {
    **google_embeddings(), **google_encoder(), **google_discriminator_head(), **google_generator_head(10),
}  # fmt: skip
LANGUAGE_MODEL = {**google_embeddings(), **google_encoder(), **google_generator_head(10)}
UNIFORM = {**google_embeddings(), **google_encoder(), **google_discriminator_head()}
FORMS = {
    "shared embeddings": google_pretraining(), "own embeddings": UNTIED, "one network": ONE_NETWORK,
    "masked language model": LANGUAGE_MODEL, "uniform": UNIFORM,
}  # fmt: skip


def write(folder, variables):
    """Write variables as Google's Saver would."""
    write_files(folder, bundle_files("model.ckpt-9", stored(variables)))
    return folder


def with_slots(shapes, step=9):
    """Return random variables, both slots of each, and the step."""
    weights = random_arrays(shapes)
    names = {f"{name}/{slot}": shape for name, shape in shapes.items() for slot in ("adam_m", "adam_v")}
    slots = random_arrays(names, seed=1)
    return {**weights, **slots, "global_step": np.array(step, np.int64)}


def test_what_google_wrote():
    """Against the file itself, without our name table."""
    step, moments = read_optimizer_state(GOOGLE / "trained")
    assert step == 6
    variables = trained_variables()
    assert 3 * len(moments) == len(variables)
    for name, pair in moments.items():
        for slot, array in zip(("adam_m", "adam_v"), pair, strict=True):
            assert np.array_equal(array, variables[f"{name}/{slot}"]), name
    assert any(pair[1].any() for pair in moments.values())
    step, moments = read_optimizer_state(GOOGLE / "init/model.ckpt-0")
    assert step == 0
    assert not any(array.any() for pair in moments.values() for array in pair)


@pytest.mark.parametrize("form", FORMS)
def test_slots_have_the_names_of_their_weights_in_every_form(form, tmp_path):
    variables = with_slots(FORMS[form])
    step, moments = read_optimizer_state(write(tmp_path, variables))
    components = open_checkpoint(tmp_path).components
    networks = [components[name].tensors if name in components else None for name in ("discriminator", "generator")]
    weights = joint_tensors(*networks)
    assert step == 9
    assert moments.keys() == weights.keys()
    by_bytes = {np.sort(array.reshape(-1)).tobytes(): name for name, array in variables.items()}
    for name, tensor in weights.items():
        owner = by_bytes[np.sort(tensor.read().reshape(-1)).tobytes()]
        for slot, array in zip(("adam_m", "adam_v"), moments[name], strict=True):
            expected = variables[f"{owner}/{slot}"]
            assert np.array_equal(array, expected.T if owner.endswith("kernel") else expected), (name, slot)


def test_stripped_checkpoints_and_other_forms_have_none(tmp_path):
    assert read_optimizer_state(write(tmp_path / "stripped", random_arrays(google_pretraining()))) is None
    only_step = {**random_arrays(google_pretraining()), "global_step": np.array(5, np.int64)}
    assert read_optimizer_state(write(tmp_path / "step", only_step)) is None
    assert read_optimizer_state(TRANSFORMERS / "small-like" / "ForPreTraining") is None
    trained = open_checkpoint(GOOGLE / "trained")
    pairs = [
        (trained.config_of(item, num_attention_heads=GOOGLE_HEADS), item.tensors)
        for item in trained.components.values()
    ]
    save_two_networks(tmp_path / "joint", *pairs)
    assert read_optimizer_state(tmp_path / "joint") is None


@pytest.mark.parametrize("step", [None, np.array(-3, np.int64), np.array([4, 4], np.int64), np.array(2.5, np.float32)])
def test_a_step_that_means_nothing_is_the_first(tmp_path, step):
    variables = with_slots(google_pretraining())
    del variables["global_step"]
    if step is not None:
        variables["global_step"] = step
    found, moments = read_optimizer_state(write(tmp_path, variables))
    assert found == 0
    assert moments


@pytest.mark.parametrize("damage", ["missing", "shape", "all of one kind"])
def test_slots_in_part_are_an_error_and_the_weights_load_all_the_same(tmp_path, damage):
    variables = with_slots(google_pretraining())
    name = "generator/encoder/layer_1/output/dense/kernel/adam_v"
    if damage == "missing":
        del variables[name]
    elif damage == "shape":
        variables[name] = variables[name][1:]
    else:
        variables = {key: array for key, array in variables.items() if not key.endswith("adam_v")}
    write(tmp_path, variables)
    where = (
        r"generator\.electra\.encoder\.layer\.1\.output\.dense\.weight" if damage != "all of one kind" else "such as"
    )
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(tmp_path))}\S+: adam_v is missing .*{where}"):
        read_optimizer_state(tmp_path)
    assert set(open_checkpoint(tmp_path).components) == {"discriminator", "generator"}


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint found"):
        read_optimizer_state(tmp_path)


def test_the_bundle_of_the_tests_is_what_it_says(tmp_path):
    tensors, _ = read_bundle(write(tmp_path, with_slots(UNIFORM)) / "model.ckpt-9")
    assert len(tensors) == 3 * len(UNIFORM) + 1
