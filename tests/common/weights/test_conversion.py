"""convert_checkpoint: what is written, that nothing changed, and that nothing half-done is left."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from electra_common import CheckpointError, ElectraConfig, convert_checkpoint, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.tf1_bundle import read_bundle
from support import tiny_networks as tiny
from support.bundle_writer import write_bundle
from support.fixtures import ALL_HEADS, GOOGLE, GOOGLE_HEADS, TRANSFORMERS
from support.tiny_networks import assert_same_bytes


def files_below(folder):
    return sorted(str(item.relative_to(folder)) for item in folder.rglob("*") if item.is_file())


def test_both_networks_of_googles_checkpoint_are_written_unchanged(tmp_path):
    done = convert_checkpoint(GOOGLE / "init", tmp_path / "new", num_attention_heads=GOOGLE_HEADS)
    assert [(item.component, item.architecture, item.unchanged) for item in done] == [
        ("discriminator", "ElectraForPreTraining", True),
        ("generator", "ElectraForMaskedLM", True),
    ]
    assert files_below(tmp_path) == [
        f"new/{name}/{file}" for name in ("discriminator", "generator") for file in ("config.json", "model.safetensors")
    ]


@pytest.mark.parametrize("component", ["discriminator", "generator"])
def test_the_fingerprint_of_the_new_folder_is_that_of_the_source(component, tmp_path):
    source = open_checkpoint(GOOGLE / "trained").component(component)
    (done,) = convert_checkpoint(
        GOOGLE / "trained", tmp_path / "new", component=component, num_attention_heads=GOOGLE_HEADS
    )
    new = open_checkpoint(tmp_path / "new").component(component)
    assert fingerprint(new.tensors) == fingerprint(source.tensors) == done.fingerprint_before == done.fingerprint_after


def test_the_new_files_hold_googles_numbers_under_transformers_names(tmp_path):
    convert_checkpoint(GOOGLE / "init", tmp_path / "new", num_attention_heads=GOOGLE_HEADS)
    google = {name: tensor.read() for name, tensor in read_bundle(GOOGLE / "init" / "model.ckpt-0")[0].items()}
    found = load_file(tmp_path / "new" / "generator" / "model.safetensors")
    layer = "encoder/layer_2/intermediate/dense"
    np.testing.assert_array_equal(
        found["electra.encoder.layer.2.intermediate.dense.weight"], google[f"generator/{layer}/kernel"].T
    )
    np.testing.assert_array_equal(found["generator_lm_head.bias"], google["generator_predictions/output_bias"])
    np.testing.assert_array_equal(
        found["electra.embeddings.word_embeddings.weight"], google["electra/embeddings/word_embeddings"]
    )


def test_the_new_configs_have_googles_sizes(tmp_path):
    convert_checkpoint(GOOGLE / "init", tmp_path / "new", num_attention_heads=GOOGLE_HEADS)
    spec = json.loads((GOOGLE / "spec.json").read_text())
    config = ElectraConfig.from_pretrained(tmp_path / "new" / "discriminator")
    sizes = {name: value for name, value in spec["overrides"].items() if isinstance(value, int)}
    sizes |= {"vocab_size": spec["vocab_size"], "embedding_size": spec["embedding_size"]}
    assert {name: getattr(config, name) for name in sizes} == sizes
    assert (config.architectures, config.dtype) == (("ElectraForPreTraining",), "float32")
    generator = ElectraConfig.from_pretrained(tmp_path / "new" / "generator")
    assert (generator.hidden_size, generator.num_attention_heads) == (32, 1)


@pytest.mark.parametrize("head", ALL_HEADS)
def test_a_folder_of_transformers_is_converted_to_the_same_content(head, tmp_path):
    source = TRANSFORMERS / "small-like" / head
    (done,) = convert_checkpoint(source, tmp_path / "new")
    assert (done.architecture, done.unchanged) == (f"Electra{head}", True)
    assert (tmp_path / "new" / "config.json").read_bytes() == (source / "config.json").read_bytes()
    assert_same_bytes(load_file(source / "model.safetensors"), load_file(tmp_path / "new" / "model.safetensors"))


@pytest.mark.parametrize("head", ["ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering"])
def test_a_head_is_kept_even_without_a_config(head, tmp_path):
    source = TRANSFORMERS / "small-like" / head / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    (done,) = convert_checkpoint(tmp_path, tmp_path / "new", num_attention_heads=4)
    assert done.architecture == f"Electra{head}"
    assert_same_bytes(load_file(source), load_file(tmp_path / "new" / "model.safetensors"))


def test_a_generator_without_a_head_is_converted(tmp_path):
    shapes = {**tiny.google_embeddings(), **tiny.google_encoder(), **tiny.google_encoder("generator", 7, 9)}
    write_bundle(tmp_path / "model.ckpt-1", tiny.random_arrays(shapes))
    done = convert_checkpoint(tmp_path / "model.ckpt-1", tmp_path / "new")
    assert [(item.component, item.architecture, item.unchanged) for item in done] == [
        ("discriminator", "ElectraModel", True),
        ("generator", "ElectraModel", True),
    ]


def test_tokenizer_files_are_taken_along(tmp_path):
    for file in (TRANSFORMERS / "base-like" / "Model").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "private.txt").write_text("secret")
    convert_checkpoint(tmp_path, tmp_path / "new")
    assert files_below(tmp_path / "new") == ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    assert (tmp_path / "new" / "vocab.txt").read_text() == "[PAD]\n"


def test_a_folder_that_holds_files_is_not_overwritten(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.txt").write_text("precious")
    with pytest.raises(CheckpointError, match="new: exists already"):
        convert_checkpoint(GOOGLE / "init", tmp_path / "new")
    assert files_below(tmp_path) == ["new/thesis.txt"]


def test_a_folder_is_replaced_whole_if_that_is_asked_for(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "old.txt").write_text("old")
    convert_checkpoint(TRANSFORMERS / "base-like" / "Model", tmp_path / "new", overwrite=True)
    assert files_below(tmp_path) == ["new/config.json", "new/model.safetensors"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "new").mkdir()
    convert_checkpoint(TRANSFORMERS / "base-like" / "Model", tmp_path / "new")
    assert files_below(tmp_path) == ["new/config.json", "new/model.safetensors"]


def test_a_folder_can_be_converted_onto_itself(tmp_path):
    convert_checkpoint(TRANSFORMERS / "base-like" / "Model", tmp_path / "model")
    before = load_file(tmp_path / "model" / "model.safetensors")
    convert_checkpoint(tmp_path / "model", tmp_path / "model", overwrite=True)
    assert_same_bytes(before, load_file(tmp_path / "model" / "model.safetensors"))


def test_a_folder_around_the_source_is_not_replaced(tmp_path):
    convert_checkpoint(GOOGLE / "init", tmp_path / "both", num_attention_heads=GOOGLE_HEADS)
    before = files_below(tmp_path)
    with pytest.raises(CheckpointError, match="both: a folder around the one that is converted"):
        convert_checkpoint(tmp_path / "both" / "discriminator", tmp_path / "both", overwrite=True)
    assert files_below(tmp_path) == before


def test_damage_that_shows_while_writing_leaves_nothing(tmp_path):
    for file in (GOOGLE / "init").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = tmp_path / "model.ckpt-0.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40_000] = bytes(40_000)
    data.write_bytes(content)
    before = files_below(tmp_path)
    with pytest.raises(CheckpointError, match="does not match"):
        convert_checkpoint(tmp_path, tmp_path / "new")
    assert files_below(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_that_lacks_a_tensor_is_not_converted(tmp_path):
    arrays = load_file(TRANSFORMERS / "base-like" / "ForPreTraining" / "model.safetensors")
    del arrays["electra.embeddings.LayerNorm.bias"]
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing \(electra\.embeddings\.LayerNorm\.bias\)"):
        convert_checkpoint(tmp_path, tmp_path / "new")
    assert files_below(tmp_path) == ["model.safetensors"]


def test_a_head_that_the_config_promises_and_the_file_lacks_is_not_made_up(tmp_path):
    source = TRANSFORMERS / "base-like"
    (tmp_path / "model.safetensors").write_bytes((source / "Model" / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_bytes((source / "ForPreTraining" / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"has no weights for discriminator_predictions\.dense"):
        convert_checkpoint(tmp_path, tmp_path / "new")


def test_a_config_of_a_class_that_nobody_knows_is_refused(tmp_path):
    source = TRANSFORMERS / "base-like" / "Model"
    (tmp_path / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    config = json.loads((source / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["ElectraForPoetry"]}))
    with pytest.raises(CheckpointError, match="no class 'ElectraForPoetry'"):
        convert_checkpoint(tmp_path, tmp_path / "new")


def test_one_number_of_heads_for_two_networks_is_a_wrong_argument(tmp_path):
    with pytest.raises(ValueError, match="num_attention_heads=4 for two networks"):
        convert_checkpoint(GOOGLE / "init", tmp_path / "new", num_attention_heads=4)


def test_an_unknown_format_is_a_wrong_argument(tmp_path):
    with pytest.raises(ValueError, match="format must be one of"):
        convert_checkpoint(GOOGLE / "init", tmp_path / "new", format="gguf")


def test_progress_reaches_the_announced_total(tmp_path):
    told = []
    convert_checkpoint(GOOGLE / "init", tmp_path / "new", progress=lambda done, total: told.append((done, total)))
    done, totals = [item[0] for item in told], {item[1] for item in told}
    assert totals == {done[-1]}
    assert done == sorted(done)
