"""transformers' TensorFlow names: both ways, for all heads, and nothing is recognised that is not in the table."""

import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from electra_common import CheckpointError
from electra_common.weights.names import rows
from electra_common.weights.transformers_tf import (
    canonical_from_transformers_tf,
    in_transformers_tf_order,
    transformers_tf_name,
    transformers_tf_tensors,
    two_networks,
)
from support.fixtures import ALL_HEADS, CONFIGURATIONS, TRANSFORMERS
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored

# By hand, from the names that transformers' classes print.
NAMES = {
    "electra.embeddings.word_embeddings.weight": "electra/embeddings/word_embeddings/weight",
    "electra.embeddings.position_embeddings.weight": "electra/embeddings/position_embeddings/embeddings",
    "electra.embeddings.LayerNorm.weight": "electra/embeddings/LayerNorm/gamma",
    "electra.embeddings_project.weight": "electra/embeddings_project/kernel",
    "electra.encoder.layer.23.attention.self.query.weight": "electra/encoder/layer_._23/attention/self/query/kernel",
    "electra.encoder.layer.0.output.LayerNorm.bias": "electra/encoder/layer_._0/output/LayerNorm/beta",
    "discriminator_predictions.dense_prediction.bias": "discriminator_predictions/dense_prediction/bias",
    "generator_predictions.LayerNorm.weight": "generator_predictions/LayerNorm/gamma",
    "generator_lm_head.bias": "generator_lm_head/bias",
    "classifier.weight": "classifier/kernel",
    "classifier.dense.weight": "classifier/dense/kernel",
    "classifier.out_proj.bias": "classifier/out_proj/bias",
    "qa_outputs.weight": "qa_outputs/kernel",
    "sequence_summary.summary.weight": "sequence_summary/summary/kernel",
}


@pytest.mark.parametrize("canonical", NAMES)
def test_a_name_goes_both_ways(canonical):
    assert transformers_tf_name(canonical) == NAMES[canonical]
    for name in (NAMES[canonical], NAMES[canonical] + ":0"):
        found, row = canonical_from_transformers_tf(name)
        assert (found, row.hf_tf.split("/")[-1]) == (canonical, NAMES[canonical].split("/")[-1])


def test_every_row_goes_both_ways():
    names = [row.canonical.format(layer=17) for row in rows()]
    assert [canonical_from_transformers_tf(transformers_tf_name(name))[0] for name in names] == names


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":0",
        "tf_electra_model/electra/embeddings/LayerNorm/gamma",
        "electra/encoder/layer_._{layer}/output/dense/kernel",
        "electra/encoder/layer_._01/output/dense/kernel",
        "electra/encoder/layer_._-1/output/dense/kernel",
        "electra/encoder/layer_._9999999/output/dense/kernel",
        "electra/encoder/layer_0/output/dense/kernel",
        "electra/encoder/layer_._0/layer_._1/output/dense/kernel",
        "electra/layer_._0/embeddings/LayerNorm/gamma",
        "electra/embeddings/word_embeddings/embeddings",
        "electra/embeddings/LayerNorm/gamma:1",
        "electra/pooler/dense/kernel",
    ],
)
def test_an_unknown_name_is_unexpected(name):
    tensors = stored(random_arrays({name: (3,)}))
    assert transformers_tf_tensors(tensors) == ({}, (name,))


@pytest.mark.parametrize("name", ["electra.pooler.dense.weight", "electra.encoder.layer.{layer}.output.dense.bias"])
def test_a_canonical_name_without_a_row_is_a_key_error(name):
    with pytest.raises(KeyError):
        transformers_tf_name(name)
    with pytest.raises(KeyError):
        in_transformers_tf_order([name])


def test_the_scope_of_a_reused_layer_is_dropped():
    found, _ = canonical_from_transformers_tf("electra/electra___embeddings/LayerNorm/gamma:0")
    assert found == "electra.embeddings.LayerNorm.weight"


def test_only_kernels_are_transposed():
    arrays = random_arrays({"qa_outputs/kernel:0": (5, 2), "electra/embeddings/word_embeddings/weight:0": (7, 3)})
    found, _ = transformers_tf_tensors(stored(arrays))
    assert {name: tensor.shape for name, tensor in found.items()} == {
        "qa_outputs.weight": (2, 5),
        "electra.embeddings.word_embeddings.weight": (7, 3),
    }
    np.testing.assert_array_equal(found["qa_outputs.weight"].read(), arrays["qa_outputs/kernel:0"].T)


def test_one_tensor_under_two_names_is_refused():
    tensors = stored(random_arrays({"qa_outputs/bias": (2,), "qa_outputs/bias:0": (2,)}))
    with pytest.raises(CheckpointError, match=r"qa_outputs\.bias stands twice"):
        transformers_tf_tensors(tensors)


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_safetensors_form_of_tensorflow_is_named(configuration, head):
    """transformers' TF classes save names with ``:0`` and kernels as TensorFlow keeps them."""
    arrays = load_file(TRANSFORMERS / configuration / head / "model.safetensors")
    prefix = "electra." if head == "Model" else ""
    expected = {prefix + name: array for name, array in arrays.items()}
    in_tensorflow = {
        transformers_tf_name(name) + ":0": array.T if transformers_tf_name(name).endswith("/kernel") else array
        for name, array in expected.items()
    }
    found, unexpected = transformers_tf_tensors(stored(in_tensorflow))
    assert unexpected == ()
    assert_same_bytes(expected, {name: np.ascontiguousarray(array) for name, array in read_all(found).items()})


@pytest.mark.parametrize("part", ["_", "/electra", "/a___b", "/classifier/electra"])
def test_a_long_name_made_to_take_time_takes_none(part):
    """The square of a million would be days; the reader is done before its limits matter."""
    name = f"x/{part * 200_000}"
    started = time.perf_counter()
    assert canonical_from_transformers_tf(name) is None
    assert two_networks(stored(random_arrays({name: (2,), f"{name}/electra/x": (3,)}))) == {}
    assert time.perf_counter() - started < 5
