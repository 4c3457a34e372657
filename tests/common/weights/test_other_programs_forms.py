"""Forms that are read and not written: Flax, and TensorFlow weights in shards."""

import json

import h5py
import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.tf_h5 import read_tf_h5
from support.fixtures import ALL_HEADS, TESTS, TRANSFORMERS

FLAX = TESTS / "fixtures" / "flax-a"


def fingerprint_of(path):
    component = open_checkpoint(path).component()
    assert not component.unexpected
    return fingerprint(component.tensors)


@pytest.mark.parametrize("head", ALL_HEADS)
def test_flax_has_the_fingerprint_of_the_other_forms(head):
    assert fingerprint_of(FLAX / "base-like" / f"{head}.msgpack") == fingerprint_of(TRANSFORMERS / "base-like" / head)


@pytest.fixture
def shards(tmp_path):
    """Two h5 files and their index as transformers writes them: flat names in the files, the model's in the index."""
    folder = TRANSFORMERS / "small-like" / "ForPreTraining"
    variables, _ = read_tf_h5(folder / "tf_model.h5")
    weight_map = {}
    for number in (1, 2):
        name = f"tf_model-0000{number}-of-00002.h5"
        names = sorted(variables)[number - 1 :: 2]
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["layer_names"] = [f"{key}:0".encode() for key in names]
            for key in names:
                file.create_dataset(f"{key}:0", data=variables[key].read())
        weight_map |= {f"tf_electra_for_pre_training/{key}:0": name for key in names}
    index = {"metadata": {}, "weight_map": weight_map}
    (tmp_path / "tf_model.h5.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    return tmp_path


def test_tensorflow_shards_are_put_together(shards):
    checkpoint = open_checkpoint(shards)
    assert checkpoint.format == "h5"
    assert fingerprint_of(shards) == fingerprint_of(TRANSFORMERS / "small-like" / "ForPreTraining")


def test_a_missing_shard_is_named(shards):
    (shards / "tf_model-00002-of-00002.h5").unlink()
    with pytest.raises(CheckpointError, match=r"1 of 2 files are missing beside it: tf_model-00002-of-00002\.h5"):
        open_checkpoint(shards)


def test_a_shard_outside_the_folder_is_refused(shards):
    index = json.loads((shards / "tf_model.h5.index.json").read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], "../tf_model.h5")
    (shards / "tf_model.h5.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"\.\."):
        open_checkpoint(shards)
