"""Opening: which format and which files a path means, and which class a network belongs to."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.checkpoint import architecture_of
from support.bundle_writer import write_bundle
from support.fixtures import ALL_HEADS, GOOGLE, TRANSFORMERS


@pytest.mark.parametrize("path", ["", "model.safetensors"])
def test_a_folder_and_its_file_are_the_same_checkpoint(path):
    folder = TRANSFORMERS / "base-like" / "ForPreTraining"
    checkpoint = open_checkpoint(folder / path)
    assert (checkpoint.format, checkpoint.path) == ("safetensors", folder / "model.safetensors")
    assert checkpoint.config.hidden_size == 24


@pytest.mark.parametrize("path", ["", "model.ckpt-0", "model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001"])
def test_a_folder_a_prefix_and_its_files_are_the_same_checkpoint(path):
    checkpoint = open_checkpoint(GOOGLE / "init" / path)
    assert (checkpoint.format, checkpoint.path) == ("tf1", GOOGLE / "init" / "model.ckpt-0")
    assert sorted(checkpoint.components) == ["discriminator", "generator"]


def test_safetensors_under_another_name_are_recognised(tmp_path):
    source = TRANSFORMERS / "base-like" / "ForPreTraining" / "model.safetensors"
    (tmp_path / "weights.bin").write_bytes(source.read_bytes())
    assert open_checkpoint(tmp_path / "weights.bin").format == "safetensors"


@pytest.mark.parametrize("head", ALL_HEADS)
def test_the_class_is_known_by_the_head_even_without_a_config(head, tmp_path):
    source = TRANSFORMERS / "small-like" / head / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    checkpoint = open_checkpoint(tmp_path)
    assert architecture_of(checkpoint.component()) == f"Electra{head}"
    assert checkpoint.config_of(checkpoint.component()).architectures == (f"Electra{head}",)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint found; expected model\.safetensors, .* or a TensorFlow"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello", "text"),
        (b"\x80\x02}q\x00.", "truncated|damaged|not a"),
        (b"PK\x03\x04" + bytes(100), "does not end as a zip archive"),
    ],
)
def test_a_file_of_another_kind_is_refused(content, message, tmp_path):
    (tmp_path / "file.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "file.bin")


def test_tensors_of_another_model_are_refused_with_some_of_their_names(tmp_path):
    save_file({"bert.pooler.weight": np.ones((2, 3), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"none of its 1 tensors has a name of ELECTRA's .*bert\.pooler\.weight"):
        open_checkpoint(tmp_path)


def test_a_damaged_config_beside_the_weights_is_refused(tmp_path):
    source = TRANSFORMERS / "base-like" / "Model" / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    (tmp_path / "config.json").write_text('{"hidden_size": 0}')
    with pytest.raises(CheckpointError, match=r"config\.json: hidden_size"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "no such folder", ".", "~missing"])
def test_a_strange_path_is_a_checkpoint_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        open_checkpoint(name, local_files_only=True)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="the superuser may read anything")
def test_a_folder_that_may_not_be_read_is_a_checkpoint_error(tmp_path):
    inner = tmp_path / "locked" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0)
    try:
        with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
            open_checkpoint(inner)
    finally:
        inner.parent.chmod(0o700)


def test_the_config_beside_two_networks_is_that_of_the_class_it_names(tmp_path):
    for file in (GOOGLE / "init").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(
        '{"architectures": ["ElectraForMaskedLM"], "vocab_size": 120, "embedding_size": 32, "hidden_size": 32, '
        '"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64}'
    )
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config_of(checkpoint.component("generator")).num_attention_heads == 2
    assert checkpoint.config_of(checkpoint.component("discriminator")).hidden_size == 64


OPEN = """
import sys
from electra_common import CheckpointError, open_checkpoint
try:
    open_checkpoint(sys.argv[1])
except CheckpointError:
    print("refused")
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "checkpoint", "model.index", "m.data-00000-of-00001"]
)
def test_a_pipe_in_the_place_of_a_file_does_not_hang(name, tmp_path):
    if name == "config.json":
        source = TRANSFORMERS / "base-like" / "Model" / "model.safetensors"
        (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    if name.startswith("m."):
        write_bundle(tmp_path / "m", {"x": np.ones(3)})
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    result = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path], capture_output=True, text=True, timeout=20, check=True
    )
    assert result.stdout == "refused\n"


@pytest.mark.parametrize("kind", ["folder", "dead link"])
def test_a_config_that_cannot_be_read_is_not_taken_for_absent(kind, tmp_path):
    source = TRANSFORMERS / "base-like" / "Model" / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    file = tmp_path / "config.json"
    file.mkdir() if kind == "folder" else file.symlink_to(tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_checkpoint(tmp_path)
