"""The joint form: both networks of a pre-training run in one file."""

import json

import numpy as np
import pytest
import safetensors.numpy

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.joint_names import is_joint, joint_tensors, split_joint
from electra_common.weights.loading import plan_loading
from electra_common.weights.saving import save_folder, save_two_networks
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.tiny_networks import assert_same_bytes, read_all, stored


@pytest.fixture
def networks():
    """``{component: (config, {canonical name: tensor})}`` of what Google's code trained."""
    checkpoint = open_checkpoint(GOOGLE / "trained")
    return {
        name: (checkpoint.config_of(component, num_attention_heads=GOOGLE_HEADS), dict(component.tensors))
        for name, component in checkpoint.components.items()
    }


def joint_of(networks):
    return joint_tensors(networks["discriminator"][1], networks["generator"][1])


def test_the_file_holds_what_the_page_says(tmp_path, networks):
    """Read by the safetensors library: names with the network in front, shared embeddings once."""
    save_two_networks(tmp_path, networks["discriminator"], networks["generator"])
    assert {file.name for file in tmp_path.iterdir()} == {
        "joint.safetensors", "config.json", "generator_config.json"
    }  # fmt: skip
    arrays = safetensors.numpy.load_file(tmp_path / "joint.safetensors")
    expected = {f"{component}.{name}" for component, (_, tensors) in networks.items() for name in tensors}
    expected -= {name for name in expected if name.startswith("generator.electra.embeddings.")}
    assert set(arrays) == expected
    for component, (_, tensors) in networks.items():
        name = f"{component}.electra.encoder.layer.1.output.dense.weight"
        assert np.array_equal(arrays[name], tensors[name.partition(".")[2]].read())
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["ElectraForPreTraining"]
    assert json.loads((tmp_path / "generator_config.json").read_text())["architectures"] == ["ElectraForMaskedLM"]


@pytest.mark.parametrize("format", ["joint", "tf1"])
def test_each_class_takes_its_network_from_it(tmp_path, networks, format):
    save_two_networks(tmp_path, networks["discriminator"], networks["generator"], format=format)
    for component, architecture in (("discriminator", "ElectraForPreTraining"), ("generator", "ElectraForMaskedLM")):
        plan = plan_loading(tmp_path, architecture)
        config, tensors = networks[component]
        assert plan.report.component == component
        assert fingerprint(plan.tensors) == fingerprint(tensors)
        assert plan.config.num_attention_heads == config.num_attention_heads


def test_embeddings_that_differ_in_one_bit_are_stored_twice(networks):
    config, tensors = networks["generator"]
    name = "electra.embeddings.LayerNorm.bias"
    changed = tensors[name].read().copy()
    changed.view(np.uint8)[0] ^= 1
    networks["generator"] = (config, {**tensors, **stored({name: changed})})
    found, unexpected = split_joint(joint_of(networks))
    assert not unexpected
    for component, (_, expected) in networks.items():
        assert_same_bytes(read_all(expected), read_all(found[component]))
    assert f"generator.{name}" in joint_of(networks)


def test_a_generator_that_lacks_one_of_its_own_embeddings_does_not_borrow_it(tmp_path, networks):
    """Only a generator without any embeddings shares the discriminator's; one that lost some is damaged."""
    tensors = joint_of(networks)
    own = {f"generator.{name}": networks["discriminator"][1][name] for name in networks["discriminator"][1]
           if name.startswith("electra.embeddings.")}  # fmt: skip
    del own["generator.electra.embeddings.word_embeddings.weight"]
    found, _ = split_joint({**tensors, **own})
    assert "electra.embeddings.word_embeddings.weight" not in found["generator"]


def test_one_network_alone_is_read_as_itself(tmp_path, networks):
    for component, (config, tensors) in networks.items():
        save_folder(tmp_path / component, config, tensors, format="joint")
        checkpoint = open_checkpoint(tmp_path / component)
        assert list(checkpoint.components) == [component]
        assert fingerprint(checkpoint.component().tensors) == fingerprint(tensors)


def test_other_names_are_unexpected_and_the_other_network_is_left_aside(tmp_path, networks):
    tensors = joint_of(networks)
    odd = stored({"discriminator.nobody": np.ones(3, np.float32), "momentum": np.ones(2, np.float32)})
    found, unexpected = split_joint({**tensors, **odd})
    assert set(found) == set(networks)
    assert set(unexpected) == set(odd)
    arrays = {name: np.ascontiguousarray(array) for name, array in read_all({**tensors, **odd}).items()}
    safetensors.numpy.save_file(arrays, tmp_path / "joint.safetensors")
    with pytest.raises(CheckpointError, match=r"2 unexpected \(discriminator\.nobody, momentum\)"):
        plan_loading(tmp_path, "ElectraForPreTraining", config_overrides={"num_attention_heads": 4})
    leftovers = open_checkpoint(tmp_path).component("discriminator").leftovers
    assert set(leftovers.values()) == {"belongs to the generator"}


def test_names_of_other_forms_are_not_joint(networks):
    for _, tensors in networks.values():
        assert not is_joint(tensors)
    assert not is_joint(["discriminator_predictions.dense.bias", "generator.", "discriminator"])


def test_files_of_the_run_beside_the_weights_are_left_alone(tmp_path, networks):
    (tmp_path / "optimizer.safetensors").write_bytes(b"not even safetensors")
    save_two_networks(tmp_path, networks["discriminator"], networks["generator"])
    assert open_checkpoint(tmp_path).format == "joint"
    assert (tmp_path / "optimizer.safetensors").read_bytes() == b"not even safetensors"


def test_what_does_not_go_together_is_refused(tmp_path, networks):
    with pytest.raises(ValueError, match="needs a discriminator, a generator or both"):
        joint_tensors(None, None)
    with pytest.raises(ValueError, match="tf1 or joint, found 'h5'"):
        save_two_networks(tmp_path, networks["discriminator"], networks["generator"], format="h5")
    save_folder(tmp_path, *networks["discriminator"])
    with pytest.raises(CheckpointError, match=r"holds model\.safetensors, which is read before joint\.safetensors"):
        save_two_networks(tmp_path, networks["discriminator"], networks["generator"])


def test_one_network_with_two_heads_is_stored_once(networks):
    _, tensors = networks["discriminator"]
    body = {name: tensor for name, tensor in tensors.items() if name.startswith("electra.")}
    head = stored({"generator_lm_head.bias": np.ones(120, np.float32)})
    joint = joint_tensors(tensors, {**body, **head})
    assert [name for name in joint if name.startswith("generator.")] == ["generator.generator_lm_head.bias"]
    found, unexpected = split_joint(joint)
    assert not unexpected
    assert_same_bytes(read_all({**body, **head}), read_all(found["generator"]))
