"""Names of other TensorFlow 2 programs. What they compute is compared in tests/reference/test_other_tf2_*.py."""

import numpy as np
import pytest

from electra_common import convert_checkpoint, open_checkpoint
from electra_common.weights.components import find_components
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.tf2_object_graph import read_object_graph
from electra_common.weights.loading import plan_loading
from electra_common.weights.model_garden_names import is_model_garden, model_garden_networks
from electra_common.weights.transformers_tf import two_networks
from reference.other_tf2_recording import ARCHITECTURES, HEADS, PROGRAMS
from support.fixtures import OTHER_TF2, TRANSFORMERS
from support.tiny_networks import stored

PREFIXES = {"electra": "ckpt-3", "teams": "ckpt-3", "nvidia": "ckpt-1"}


def raw(program):
    """Return what the reader gives of a checkpoint: weights by name, and what is set aside."""
    tensors, set_aside = read_object_graph(OTHER_TF2 / program / PREFIXES[program])
    return {name: tensor for name, tensor in tensors.items() if name not in set_aside}, set_aside


def networks_of(program, tensors):
    return find_components(tensors, architecture=None, tied=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_both_networks_are_found_and_fit(program):
    checkpoint = open_checkpoint(OTHER_TF2 / program)
    assert checkpoint.format == "tf2"
    assert list(checkpoint.components) == ["discriminator", "generator"]
    for component, architecture in ARCHITECTURES.items():
        overrides = {"num_attention_heads": HEADS["nvidia"][component]} if program == "nvidia" else {}
        plan = plan_loading(OTHER_TF2 / program, architecture, component=component, config_overrides=overrides)
        assert plan.report.is_complete
        assert not plan.report.new


@pytest.mark.parametrize("program", ["electra", "teams"])
def test_the_model_gardens_shapes_tell_the_heads_and_its_code_the_activation(program):
    checkpoint = open_checkpoint(OTHER_TF2 / program)
    heads = {name: checkpoint.config_of(item).num_attention_heads for name, item in checkpoint.components.items()}
    assert heads == {"discriminator": 3, "generator": 2 if program == "electra" else 3}
    for component in checkpoint.components.values():
        config = checkpoint.config_of(component)
        assert (config.hidden_act, config.generator_hidden_act) == ("gelu_new", "gelu_new")
        assert checkpoint.config_of(component, num_attention_heads=1).num_attention_heads == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_weight_is_left_aside_with_its_reason(program):
    reasons = {
        "electra": {"next-sentence head of the Model Garden", "pooler of the Model Garden, which ELECTRA does not use"},
        "teams": {
            "head of TEAMS for multi-word selection",
            "layer of TEAMS for multi-word selection",
            "pooler of the Model Garden, which ELECTRA does not use",
        },
        "nvidia": {"optimizer state"},
    }[program] | {"number of the program's own, such as a step"}
    assert set(open_checkpoint(OTHER_TF2 / program).component("discriminator").leftovers.values()) == reasons


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_tensor_of_the_file_is_accounted_for(program):
    tensors, _ = raw(program)
    networks = networks_of(program, tensors)
    values = [tensor.read() for network in networks.values() for tensor in network.tensors.values()]
    left = {name for network in networks.values() for name in network.leftovers}
    for name, tensor in tensors.items():
        flat = np.sort(np.asarray(tensor.read()).ravel())
        found = [array for array in values if array.size == flat.size and np.array_equal(np.sort(array.ravel()), flat)]
        assert bool(found) != (name in left), name


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_tensor_that_is_lost_is_missed_and_never_replaced(program):
    """Whatever is taken out, no network may still look complete, unless it was for another task."""
    tensors, _ = raw(program)
    whole = networks_of(program, tensors)
    expected = {name: set(network.tensors) for name, network in whole.items()}
    left = {name for network in whole.values() for name in network.leftovers}
    for name in tensors.keys() - left:
        found = networks_of(program, {key: tensor for key, tensor in tensors.items() if key != name})
        kept = {network: set(item.tensors) for network, item in found.items()}
        assert kept != expected, name


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_tensor_is_unexpected(program):
    tensors, _ = raw(program)
    odd = stored({"model/encoder/new_invention/kernel": np.ones((2, 2), np.float32)})
    for network in networks_of(program, {**tensors, **odd}).values():
        assert network.unexpected == tuple(odd)


@pytest.mark.parametrize("program", PROGRAMS)
def test_both_networks_are_converted_with_proof(tmp_path, program):
    written = convert_checkpoint(
        OTHER_TF2 / program, tmp_path / "new", format="joint", num_attention_heads=HEADS.get(program)
    )
    assert all(item.unchanged for item in written)
    for component in ARCHITECTURES:
        prints = {
            fingerprint(open_checkpoint(path).component(component).tensors)
            for path in (OTHER_TF2 / program, tmp_path / "new")
        }
        assert len(prints) == 1
    generator = open_checkpoint(tmp_path / "new").component("generator")
    config = open_checkpoint(tmp_path / "new").config_of(generator)
    assert config.hidden_act == ("gelu" if program == "nvidia" else "gelu_new")


def test_kernels_of_attention_are_folded_head_by_head():
    """Column h * size + i of the query's kernel is entry i of head h; rows of the output's kernel likewise."""
    heads, size, hidden = 2, 3, 5
    query = np.arange(hidden * heads * size, dtype=np.float32).reshape(hidden, heads, size)
    output = np.arange(heads * size * hidden, dtype=np.float32).reshape(heads, size, hidden)
    bias = np.arange(heads * size, dtype=np.float32).reshape(heads, size)
    path = "encoder/layer_with_weights-4/_attention_layer"
    tensors = stored({
        f"{path}/_query_dense/kernel": query, f"{path}/_query_dense/bias": bias, f"{path}/_output_dense/kernel": output
    })  # fmt: skip
    assert is_model_garden(tensors)
    networks, unexpected = model_garden_networks(tensors)
    assert not unexpected
    found = {name: tensor.read() for name, tensor in networks["discriminator"].tensors.items()}
    layer = "electra.encoder.layer.0.attention"
    for head in range(heads):
        for index in range(size):
            place = head * size + index
            assert np.array_equal(found[f"{layer}.self.query.weight"][place], query[:, head, index])
            assert np.array_equal(found[f"{layer}.output.dense.weight"][:, place], output[head, index])
            assert found[f"{layer}.self.query.bias"][place] == bias[head, index]


def test_a_generator_with_embeddings_of_its_own_keeps_them():
    tensors, _ = raw("nvidia")
    own = "pretraining_model/tf_electra_for_masked_lm/electra/embeddings"
    other = "pretraining_model/tf_electra_for_pre_training/electra/embeddings"
    shared = {name: tensor for name, tensor in tensors.items() if "/electra/embeddings/" in name}
    plain = {name.partition("/embeddings/")[2]: tensor for name, tensor in shared.items()}
    rest = {name: tensor for name, tensor in tensors.items() if name not in shared}
    twice = {f"{prefix}/{name}": tensor for prefix in (own, other) for name, tensor in plain.items()}
    changed = stored({f"{own}/word_embeddings/weight": np.full((17, 6), 7, np.float32)})
    networks = networks_of("nvidia", {**rest, **twice, **changed})
    word = "electra.embeddings.word_embeddings.weight"
    assert (networks["generator"].tensors[word].read() == 7).all()
    assert not (networks["discriminator"].tensors[word].read() == 7).any()


def test_files_of_one_network_are_not_split():
    for head in ("ForMaskedLM", "ForPreTraining", "Model"):
        tensors = open_checkpoint(TRANSFORMERS / "small-like" / head / "tf_model.h5").component().tensors
        assert not two_networks(tensors)
        assert not is_model_garden(tensors)
