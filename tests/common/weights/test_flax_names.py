"""Flax's names: the files that transformers' Flax classes wrote hold the weights of its PyTorch classes."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from electra_common.weights.flax_names import flax_tensors
from electra_common.weights.formats.flax_msgpack import read_flax_msgpack
from electra_common.weights.names import rows
from support.fixtures import ALL_HEADS, TESTS, TRANSFORMERS
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored

FLAX = TESTS / "fixtures" / "flax-a"
CASES = [*(("base-like", head) for head in ALL_HEADS), ("small-like", "ForMaskedLM")]


@pytest.mark.parametrize(("configuration", "head"), CASES)
def test_a_checkpoint_of_flax_holds_what_the_one_of_pytorch_holds(configuration, head):
    tensors, _ = read_flax_msgpack(FLAX / configuration / f"{head}.msgpack")
    found, unexpected = flax_tensors(tensors)
    expected = load_file(TRANSFORMERS / configuration / head / "model.safetensors")
    if head == "Model":
        expected = {f"electra.{name}": array for name, array in expected.items()}
    assert_same_bytes(expected, {name: np.ascontiguousarray(array) for name, array in read_all(found).items()})
    assert unexpected == ()


def test_shapes_and_names_are_those_of_the_arrays():
    found, _ = flax_tensors(stored(random_arrays({"electra/encoder/layer/11/intermediate/dense/kernel": (3, 5)})))
    (tensor,) = found.values()
    assert (tensor.name, tensor.shape) == ("electra.encoder.layer.11.intermediate.dense.weight", (5, 3))
    assert tensor.read().shape == (5, 3)


def test_an_untied_vocabulary_projection_is_known():
    found, _ = flax_tensors(stored(random_arrays({"electra/embeddings/word_embeddings/embedding": (7, 3),
                                                  "generator_lm_head/kernel": (3, 7)})))  # fmt: skip
    assert found["generator_lm_head.weight"].shape == (7, 3)


def test_every_row_of_the_table_has_a_name_of_its_own():
    names = {
        "/".join(row.canonical.split(".")[:-1]) + "/" + last
        for row in rows()
        for last in [
            {"kernel": "kernel", "embeddings": "embedding", "gamma": "scale"}.get(row.keras.split("/")[-1], "bias")
        ]
    }
    found, unexpected = flax_tensors(stored({name.replace("{layer}", "3"): np.ones((2, 2)) for name in names}))
    assert unexpected == ()
    assert set(found) == {row.canonical.replace("{layer}", "3") for row in rows()}


STRANGE = (
    "electra/encoder/layer/{layer}/output/dense/kernel",
    "electra/encoder/layer/01/output/dense/kernel",
    "electra/encoder/layer/-1/output/dense/kernel",
    "electra/encoder/layer/1/output/dense/weight",
    "electra/encoder/layer/1/output/dense",
    "electra/electra/embeddings/LayerNorm/scale",
    "encoder/layer/1/output/dense/kernel",
    "bert/embeddings/word_embeddings/embedding",
    "",
)


@pytest.mark.parametrize("name", STRANGE)
def test_a_name_that_nobody_knows_is_unexpected(name):
    arrays = random_arrays({"electra/embeddings/LayerNorm/scale": (3,), name: (3, 5)})
    found, unexpected = flax_tensors(stored(arrays))
    assert set(found) == {"electra.embeddings.LayerNorm.weight"}
    assert unexpected == (name,)


def test_the_bare_model_has_no_prefix():
    arrays = random_arrays({"encoder/layer/0/attention/self/key/bias": (3,), "embeddings_project/kernel": (3, 5),
                            "classifier/bias": (2,), "pooler/bias": (2,)})  # fmt: skip
    found, unexpected = flax_tensors(stored(arrays))
    assert set(found) == {
        "electra.encoder.layer.0.attention.self.key.bias", "electra.embeddings_project.weight", "classifier.bias",
    }  # fmt: skip
    assert unexpected == ("pooler/bias",)
