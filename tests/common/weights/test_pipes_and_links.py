"""What stands where a checkpoint's file should be and is no file of its own."""

import os

import numpy as np
import pytest

from electra_common import CheckpointError, ElectraConfig, convert_checkpoint, open_checkpoint
from electra_common.weights.loading import plan_loading
from electra_common.weights.saving import save_folder
from electra_common.weights.shapes import expected_shapes
from electra_common.weights.tensors import StoredTensor

CONFIG = ElectraConfig(
    vocab_size=31, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=7, architectures=("ElectraForPreTraining",),
)  # fmt: skip


def save(folder, config):
    tensors = {}
    for name, shape in expected_shapes(config, config.architectures[0]).items():
        array = np.zeros(shape, np.float32)
        tensors[name] = StoredTensor(name, shape, "float32", lambda array=array: array)
    save_folder(folder, config, tensors)
    return folder


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "checkpoint", "model.ckpt-1.index"])
def test_a_pipe_is_refused_or_ignored_and_never_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path)
    if name == "config.json":
        with pytest.raises(CheckpointError, match="not a regular file"):
            ElectraConfig.from_pretrained(tmp_path)


def test_a_vocabulary_that_links_out_of_the_folder_is_not_copied(tmp_path):
    source = save(tmp_path / "source", CONFIG)
    (tmp_path / "secret").write_text("not yours")
    (source / "vocab.txt").symlink_to(tmp_path / "secret")
    (source / "tokenizer_config.json").write_text("{}")
    convert_checkpoint(source, tmp_path / "new")
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        "config.json", "model.safetensors", "tokenizer_config.json",
    }  # fmt: skip


def test_a_vocabulary_in_the_hubs_cache_is_copied_although_it_is_a_link(tmp_path):
    source = save(tmp_path / "models--owner--name" / "snapshots" / "abc", CONFIG)
    blobs = tmp_path / "models--owner--name" / "blobs"
    blobs.mkdir()
    (blobs / "1234").write_text("[PAD]\n")
    (source / "vocab.txt").symlink_to(blobs / "1234")
    convert_checkpoint(source, tmp_path / "new")
    assert (tmp_path / "new" / "vocab.txt").read_text() == "[PAD]\n"


def test_a_new_head_larger_than_the_whole_file_is_refused(tmp_path):
    """One piece, no layers, and a width of 3,000: 36 kB of file would ask for 36 MB of head."""
    config = CONFIG.replace(vocab_size=1, embedding_size=3000, hidden_size=3000, num_hidden_layers=0,
                            type_vocab_size=1, max_position_embeddings=1, architectures=("ElectraModel",))  # fmt: skip
    folder = save(tmp_path / "wide", config)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 100_000
    with pytest.raises(CheckpointError, match="the new head would have"):
        plan_loading(folder, "ElectraForPreTraining")
