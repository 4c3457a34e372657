"""Each way in which loading goes wrong for a user: one line that names the problem and what to do about it."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.loading import plan_loading
from support.fixtures import GOOGLE, TRANSFORMERS

FOLDER = TRANSFORMERS / "small-like" / "ForPreTraining"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 54245363\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>504 Gateway Time-out</title></head><body></body></html>\n"


def copy_of(folder, target):
    target.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, target)
        (target / name).chmod(0o644)
    return target


def message_of(*arguments, **options):
    with pytest.raises(CheckpointError) as error:
        plan_loading(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_wrong_component():
    message = message_of(FOLDER, "ElectraForMaskedLM", component="generator")
    assert message.endswith(": holds no generator, only a discriminator; ask for that, or for another file")


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("intermediate_size", 72, "wrong shape"),
        ("num_hidden_layers", 1, "unexpected"),
        ("num_hidden_layers", 9, "missing"),
        ("vocab_size", 50, "electra.embeddings.word_embeddings.weight: expected [50, 16], found"),
    ],
)
def test_a_wrong_config(tmp_path, field, value, word):
    folder = copy_of(FOLDER, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    assert config[field] != value
    (folder / "config.json").write_text(json.dumps({**config, field: value}))
    message = message_of(folder, "ElectraForPreTraining")
    assert word in message
    assert message.endswith(
        "the config describes another network: give the right one (config=…, or single fields such as "
        "num_hidden_layers=…)"
    )


def test_a_head_mismatch():
    folder = TRANSFORMERS / "small-like" / "ForSequenceClassification"
    message = message_of(folder, "ElectraForSequenceClassification", config_overrides={"num_labels": 7})
    assert "2 wrong shape (classifier.out_proj.bias: expected [7]" in message
    assert message.endswith("give its num_labels=… or class, or load the encoder alone with ElectraModel")


def test_half_a_head(tmp_path):
    folder = copy_of(FOLDER, tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    del tensors["discriminator_predictions.dense.bias"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    message = message_of(folder, "ElectraForPreTraining")
    assert "1 missing (discriminator_predictions.dense.bias)" in message
    assert message.endswith("the head is incomplete: get the file again, or load the encoder alone with ElectraModel")


def test_weights_of_integers(tmp_path):
    folder = copy_of(FOLDER, tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    tensors["discriminator_predictions.dense.bias"] = np.ones(32, np.int32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert message_of(folder, "ElectraForPreTraining").endswith("numbers: get the file again")


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_a_bert_checkpoint(tmp_path, prefix):
    """With a head the names begin with "bert."; a bare encoder is known by its pooler, and never loaded in silence."""
    folder = copy_of(FOLDER, tmp_path / "copy")
    tensors = {
        f"bert.{name.removeprefix('electra.')}": array
        for name, array in load_file(folder / "model.safetensors").items()
        if name.startswith("electra.") and "project" not in name
    }
    tensors["bert.pooler.dense.weight"] = np.zeros((32, 32), np.float32)
    bare = {name.removeprefix("bert.") if not prefix else name: array for name, array in tensors.items()}
    save_file(bare, folder / "model.safetensors", {"format": "pt"})
    message = message_of(folder, "ElectraForPreTraining")
    if prefix:
        assert message.endswith("these are BERT's weights: an ELECTRA cannot use them, a BERT class can")
    else:
        assert "1 unexpected (pooler.dense.weight)" in message
        assert message.endswith("is this an ELECTRA, and of a kind that docs/checkpoints lists?")


def test_googles_bert(tmp_path):
    names = ("bert/embeddings/word_embeddings", "bert/pooler/dense/kernel", "cls/predictions/output_bias")
    np.savez(tmp_path / "bert.npz", **{name: np.zeros((3, 3), np.float32) for name in names})
    assert "BERT's weights" in message_of(tmp_path / "bert.npz", "ElectraModel")


def test_an_empty_folder(tmp_path):
    message = message_of(tmp_path, "ElectraModel")
    assert message.startswith(f"{tmp_path}: no checkpoint found; expected model.safetensors, joint.safetensors,")
    assert message.endswith("or a TensorFlow checkpoint (model.ckpt-N.index)")


def test_a_git_lfs_pointer(tmp_path):
    folder = copy_of(FOLDER, tmp_path / "copy")
    (folder / "model.safetensors").write_bytes(LFS_POINTER)
    message = message_of(folder, "ElectraModel")
    assert "a Git-LFS pointer for 54245363 bytes, not the file itself; run 'git lfs pull' in its folder" in message


def test_an_html_error_page_saved_as_bin(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(PAGE)
    message = message_of(tmp_path, "ElectraModel")
    assert "an HTML page, such as a server shows instead of a file" in message
    assert message.endswith("download it again")


def test_the_other_network_where_one_was_meant_is_said_in_a_warning():
    """What the original documentation promises to work: the encoder is loaded, the head is new."""
    with pytest.warns(UserWarning, match="no weights for discriminator_predictions.*must be trained before use"):
        plan_loading(GOOGLE / "trained", "ElectraForPreTraining", component="generator")


def test_the_checkpoint_that_all_this_is_made_from_loads():
    assert plan_loading(FOLDER, "ElectraForPreTraining").report.is_complete
    assert open_checkpoint(FOLDER).format == "safetensors"
