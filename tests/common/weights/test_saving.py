"""A written folder: transformers' file names, tensor names and metadata, and the same weights."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from electra_common import CheckpointError, ElectraConfig, open_checkpoint
from electra_common.weights.saving import config_as_saved, save_folder
from support.fixtures import ALL_HEADS, TRANSFORMERS
from support.tiny_networks import assert_same_bytes, stored


def canonical(head):
    """Config and arrays of a fixture, with the prefix that canonical names have."""
    folder = TRANSFORMERS / "small-like" / head
    arrays = load_file(folder / "model.safetensors")
    prefix = "electra." if head == "Model" else ""
    return ElectraConfig.from_pretrained(folder), {prefix + name: array for name, array in arrays.items()}


@pytest.mark.parametrize("head", ALL_HEADS)
def test_a_saved_folder_has_the_names_and_weights_that_transformers_wrote(head, tmp_path):
    config, arrays = canonical(head)
    save_folder(tmp_path / "new", config, stored(arrays))
    source = TRANSFORMERS / "small-like" / head
    assert_same_bytes(load_file(source / "model.safetensors"), load_file(tmp_path / "new" / "model.safetensors"))
    assert (tmp_path / "new" / "config.json").read_bytes() == (source / "config.json").read_bytes()


def test_a_saved_folder_holds_two_files_and_nothing_temporary(tmp_path):
    config, arrays = canonical("ForPreTraining")
    save_folder(tmp_path, config, stored(arrays))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_metadata_say_format_pt(tmp_path):
    config, arrays = canonical("ForPreTraining")
    save_folder(tmp_path, config, stored(arrays))
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert file.metadata()["format"] == "pt"


def test_a_saved_folder_is_opened_again(tmp_path):
    config, arrays = canonical("ForMaskedLM")
    save_folder(tmp_path, config, stored(arrays))
    checkpoint = open_checkpoint(tmp_path)
    found = {name: tensor.read() for name, tensor in checkpoint.component("generator").tensors.items()}
    assert_same_bytes(arrays, found)
    assert checkpoint.config == config


def test_other_files_of_the_folder_stay(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    config, arrays = canonical("Model")
    save_folder(tmp_path, config, stored(arrays))
    assert (tmp_path / "vocab.txt").read_text() == "[PAD]\n"


def test_saving_over_an_older_folder_replaces_it(tmp_path):
    for factor in (1, 2):
        config, arrays = canonical("Model")
        doubled = {name: array * np.float32(factor) for name, array in arrays.items()}
        save_folder(tmp_path, config, stored(doubled))
    found = load_file(tmp_path / "model.safetensors")
    assert_same_bytes({name.removeprefix("electra."): array for name, array in doubled.items()}, found)


WORDS = "electra.embeddings.word_embeddings.weight"
HEAD = "discriminator_predictions.dense.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.update({HEAD + "_orig": arrays.pop(HEAD)}),
         rf"1 missing \({HEAD}\); 1 unexpected \({HEAD}_orig\); merge adapters into the weights.*say what it has$"),
        (lambda arrays: arrays.update({WORDS: arrays[WORDS][:-3]}),
         rf"1 of another shape than in the config \({WORDS}\); resize_token_embeddings of the whole model"),
        (lambda arrays: arrays.update({HEAD: arrays[HEAD].astype("int8")}),
         rf"1 of a dtype that is not saved \({HEAD}\); convert the model to one of float64, float32"),
        (lambda arrays: [arrays.pop(name) for name in sorted(arrays)[:7]],
         r"7 missing \(discriminator_predictions.dense.bias, [^,]+, [^,]+, [^,]+, …\); merge"),
    ],
)  # fmt: skip
def test_weights_that_no_class_would_load_are_refused(change, message):
    config, arrays = canonical("ForPreTraining")
    change(arrays)
    with pytest.raises(CheckpointError, match=message):
        config_as_saved(config, "ElectraForPreTraining", stored(arrays))


def test_the_config_names_the_class_and_the_widest_dtype():
    config, arrays = canonical("ForPreTraining")
    saved = config_as_saved(config, "ElectraForPreTraining", stored({**arrays, WORDS: arrays[WORDS].astype("float16")}))
    assert saved == config.replace(architectures=("ElectraForPreTraining",), dtype="float32")


def test_a_class_of_no_checkpoint_is_refused():
    config, arrays = canonical("Model")
    with pytest.raises(CheckpointError, match="no checkpoint holds an ElectraPreTrainedModel: save the model that"):
        config_as_saved(config, "ElectraPreTrainedModel", stored(arrays))


def test_an_unknown_format_is_a_wrong_argument(tmp_path):
    config, arrays = canonical("Model")
    with pytest.raises(ValueError, match="format must be one of safetensors, bin, h5, tf1, npz, joint, found 'onnx'"):
        save_folder(tmp_path / "new", config, stored(arrays), format="onnx")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_is_a_checkpoint_error(tmp_path):
    (tmp_path / "file").write_text("x")
    config, arrays = canonical("Model")
    with pytest.raises(CheckpointError, match="file: cannot be written"):
        save_folder(tmp_path / "file", config, stored(arrays))
