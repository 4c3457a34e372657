"""The table of weight names, against the files that the original programs wrote."""

import json
import struct

import pytest

from electra_common import ElectraConfig, open_checkpoint
from electra_common.weights.names import ARCHITECTURE_PARTS, find_row, google_names, keras_path, layer_of, rows
from electra_common.weights.shapes import expected_shapes
from support.fixtures import ALL_HEADS, CAUSAL, CAUSAL_CASES, CONFIGURATIONS, GOOGLE, TRANSFORMERS


def shapes_in_file(path):
    """Read names and shapes of a safetensors file by hand."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    table = json.loads(content[8 : 8 + length])
    return {name: tuple(entry["shape"]) for name, entry in table.items() if name != "__metadata__"}


@pytest.mark.parametrize("column", ["canonical", "keras", "google", "hf_tf"])
def test_no_name_stands_twice_in_a_column(column):
    names = [name for row in rows() if (name := getattr(row, column)) is not None]
    assert len(names) == len(set(names))
    assert len(names) >= 25


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_names_and_shapes_are_those_that_transformers_wrote(configuration, head):
    folder = TRANSFORMERS / configuration / head
    shapes = expected_shapes(ElectraConfig.from_pretrained(folder), f"Electra{head}")
    if head == "Model":
        shapes = {name.removeprefix("electra."): shape for name, shape in shapes.items()}
    assert shapes == shapes_in_file(folder / "model.safetensors")


@pytest.mark.parametrize("case", CAUSAL_CASES)
def test_names_and_shapes_of_a_decoder_are_those_that_transformers_wrote(case):
    folder = CAUSAL / case
    shapes = expected_shapes(ElectraConfig.from_pretrained(folder), "ElectraForCausalLM")
    assert shapes == shapes_in_file(folder / "model.safetensors")


def test_every_class_of_the_table_has_a_file_above():
    assert set(ARCHITECTURE_PARTS) == {"ElectraForCausalLM", *(f"Electra{head}" for head in ALL_HEADS)}


@pytest.mark.parametrize("moment", ["init", "trained"])
def test_every_variable_that_google_wrote_is_known(moment):
    for component in open_checkpoint(GOOGLE / moment).components.values():
        assert component.unexpected == ()


@pytest.mark.parametrize(
    ("component", "architecture", "hidden"),
    [("discriminator", "ElectraForPreTraining", 64), ("generator", "ElectraForMaskedLM", 32)],
)
def test_the_networks_that_google_wrote_have_the_shapes_of_their_sizes(component, architecture, hidden):
    config = ElectraConfig(
        vocab_size=120, embedding_size=32, hidden_size=hidden, num_hidden_layers=3, num_attention_heads=1,
        intermediate_size=128, max_position_embeddings=64,
    )  # fmt: skip
    found = open_checkpoint(GOOGLE / "init").component(component).tensors
    assert {name: tensor.shape for name, tensor in found.items()} == expected_shapes(config, architecture)


# From the reference's master table, one of each kind.
EXAMPLES = [
    ("electra.embeddings.word_embeddings.weight", "electra/embeddings/word_embeddings",
     "electra/embeddings/word_embeddings/weight", False),
    ("electra.embeddings.position_embeddings.weight", "electra/embeddings/position_embeddings",
     "electra/embeddings/position_embeddings/embeddings", False),
    ("electra.embeddings.LayerNorm.bias", "electra/embeddings/LayerNorm/beta", "electra/embeddings/LayerNorm/beta",
     False),
    ("electra.embeddings_project.weight", "electra/embeddings_project/kernel", "electra/embeddings_project/kernel",
     True),
    ("electra.encoder.layer.{layer}.attention.self.query.weight",
     "electra/encoder/layer_{layer}/attention/self/query/kernel",
     "electra/encoder/layer_._{layer}/attention/self/query/kernel", True),
    ("electra.encoder.layer.{layer}.output.LayerNorm.weight", "electra/encoder/layer_{layer}/output/LayerNorm/gamma",
     "electra/encoder/layer_._{layer}/output/LayerNorm/gamma", False),
    ("discriminator_predictions.dense_prediction.weight", "discriminator_predictions/dense_1/kernel",
     "discriminator_predictions/dense_prediction/kernel", True),
    ("generator_predictions.LayerNorm.weight", "generator_predictions/LayerNorm/gamma",
     "generator_predictions/LayerNorm/gamma", False),
    ("generator_lm_head.bias", "generator_predictions/output_bias", "generator_lm_head/bias", False),
    ("classifier.out_proj.weight", None, "classifier/out_proj/kernel", True),
    ("qa_outputs.bias", None, "qa_outputs/bias", False),
    ("electra.encoder.layer.{layer}.crossattention.output.dense.weight", None,
     "electra/encoder/layer_._{layer}/crossattention/output/dense/kernel", True),
    ("sequence_summary.summary.weight", None, "sequence_summary/summary/kernel", True),
]  # fmt: skip


@pytest.mark.parametrize(("canonical", "google", "hf_tf", "transpose"), EXAMPLES)
def test_a_row_is_that_of_the_reference(canonical, google, hf_tf, transpose):
    row = next(row for row in rows() if row.canonical == canonical)
    assert row.hf_tf == hf_tf
    assert row.transpose == transpose
    if google is None:
        assert row.google is None
    else:
        assert google_names("electra", "electra/embeddings")[google] is row


def test_the_generator_has_its_own_scope_and_the_shared_embeddings():
    names = google_names("generator", "electra/embeddings")
    assert "generator/encoder/layer_{layer}/intermediate/dense/bias" in names
    assert "electra/embeddings/word_embeddings" in names
    assert not any(name.startswith("electra/encoder") for name in names)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("electra.encoder.layer.0.output.dense.bias", 0),
        ("electra.encoder.layer.17.output.dense.bias", 17),
        ("electra.encoder.layer.017.output.dense.bias", None),
        ("electra.encoder.layer.-1.output.dense.bias", None),
        ("electra.encoder.layer.1234567.output.dense.bias", None),
        ("electra.embeddings.LayerNorm.bias", None),
    ],
)
def test_the_layer_is_read_from_a_name(name, layer):
    assert layer_of(name) == layer


@pytest.mark.parametrize(
    "name",
    [
        "electra.encoder.layer.{layer}.output.dense.bias",
        "electra.encoder.layer.01.output.dense.bias",
        "electra.encoder.layer.3.output.dense.bias\n",
        "encoder.layer.3.output.dense.bias",
        "electra.embeddings.word_embeddings",
        "",
    ],
)
def test_a_name_that_is_almost_right_has_no_row(name):
    assert find_row(name) is None


def test_a_keras_path_has_the_layer_in_it():
    path = keras_path("electra.encoder.layer.12.attention.output.dense.weight")
    assert path == "electra/encoder/layer_12/attention/output/dense/kernel"


def test_a_keras_path_of_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="pooler"):
        keras_path("electra.pooler.weight")
