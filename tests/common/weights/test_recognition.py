"""A format is recognised by what is in the file; what is no checkpoint is called by its name."""

import shutil

import numpy as np
import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.loading import plan_loading
from electra_common.weights.saving import save_folder
from electra_common.weights.tensors import StoredTensor
from electra_common.weights.weights_file import WEIGHTS_NAMES
from support.every_form import FORMS, arrays, write_form
from support.fixtures import TRANSFORMERS
from support.tiny_networks import stored

FOLDER = TRANSFORMERS / "base-like" / "ForPreTraining"


@pytest.mark.parametrize(
    ("file", "format"), [("model.safetensors", "safetensors"), ("pytorch_model.bin", "bin"), ("tf_model.h5", "h5")]
)
@pytest.mark.parametrize("name", ["weights", "model.safetensors", "pytorch_model.bin", "model.npz", "x.msgpack"])
def test_any_name_will_do(tmp_path, file, format, name):
    shutil.copy(FOLDER / file, tmp_path / name)
    assert open_checkpoint(tmp_path / name).format == format


SINGLE_FILES = [form for form in FORMS if form not in ("tf1", "shards", "h5 shards", "tf2", "model garden")]


@pytest.mark.parametrize("form", SINGLE_FILES)
def test_every_form_is_known_by_its_content(tmp_path, form):
    """Under the names of all other forms, and under none, each file is read as what it is."""
    (file,) = write_form(form, tmp_path / "made")
    format = open_checkpoint(file).format
    content = file.read_bytes()
    for name in ("weights", "x.txt", *WEIGHTS_NAMES):
        if not name.endswith(".index.json"):
            (tmp_path / name).write_bytes(content)
            checkpoint = open_checkpoint(tmp_path / name)
            assert checkpoint.format == format, name
            assert fingerprint(checkpoint.component().tensors) == fingerprint(stored(arrays())), name


def test_the_safest_form_in_a_folder_is_taken(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "all")
    assert open_checkpoint(tmp_path / "all").format == "safetensors"
    (tmp_path / "all" / "model.safetensors").unlink()
    assert open_checkpoint(tmp_path / "all").format == "bin"
    (tmp_path / "all" / "pytorch_model.bin").unlink()
    assert open_checkpoint(tmp_path / "all").format == "h5"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", ["git lfs pull"]),
        (b"<!DOCTYPE html><html><body>503</body></html>", ["HTML", "download"]),
        (b"", ["empty"]),
        (b'{"error": "not found"}', ["JSON"]),
    ],
)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "tf_model.h5"])
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path, content, words, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint found; expected model\.safetensors, joint\.safe"):
        open_checkpoint(tmp_path)


def test_a_bert_checkpoint_is_not_taken_for_an_electra(tmp_path):
    config = open_checkpoint(FOLDER).config
    array = np.zeros((5, 3), np.float32)
    tensors = {
        name: StoredTensor(name, (5, 3), "float32", lambda: array)
        for name in ("bert.embeddings.word_embeddings.weight", "bert.pooler.dense.weight")
    }
    save_folder(tmp_path, config, tensors)
    with pytest.raises(CheckpointError, match="none of its 2 tensors has a name of ELECTRA's"):
        open_checkpoint(tmp_path)


def test_a_head_that_does_not_fit_says_which_tensors(tmp_path):
    with pytest.raises(CheckpointError, match=r"wrong shape \(classifier\.out_proj\.bias"):
        plan_loading(
            TRANSFORMERS / "small-like" / "ForSequenceClassification",
            "ElectraForSequenceClassification",
            config_overrides={"num_labels": 7},
        )
