"""Keras 3's own files, read without Keras. What Keras itself writes is read in tests/tf/test_keras_files.py."""

import io
import json
import zipfile

import h5py
import ml_dtypes
import numpy as np
import pytest

from electra_common import CheckpointError, ElectraConfig, convert_checkpoint, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.keras_file import is_keras_file, read_keras_file
from electra_common.weights.loading import plan_loading
from electra_common.weights.shapes import expected_shapes
from support.damage import attempt, flips, truncations
from support.fixtures import TRANSFORMERS
from support.keras_writer import keras_archive, weights_h5
from support.thoroughness import sample
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored

CONFIG = ElectraConfig(
    vocab_size=11, embedding_size=5, hidden_size=6, num_hidden_layers=2, num_attention_heads=2, intermediate_size=7,
    max_position_embeddings=3,
)  # fmt: skip
HEADS = ("ElectraModel", "ElectraForPreTraining", "ElectraForMaskedLM", "ElectraForSequenceClassification",
         "ElectraForTokenClassification", "ElectraForQuestionAnswering", "ElectraForMultipleChoice")  # fmt: skip


def arrays_of(architecture, config=CONFIG, dtype="float32"):
    return random_arrays(expected_shapes(config, architecture), dtype=dtype)


def opened(path, content):
    path.write_bytes(content)
    return open_checkpoint(path)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", HEADS)
@pytest.mark.parametrize("name", ["x.weights.h5", "x.keras", "tf_model.h5", "pytorch_model.bin"])
def test_every_head_comes_back_under_any_file_name(tmp_path, architecture, name, tied):
    config = CONFIG.replace(tie_word_embeddings=tied)
    arrays = arrays_of(architecture, config)
    content = weights_h5(arrays)
    if not name.endswith(".h5"):
        content = keras_archive(content, config, class_name=f"TF{architecture}")
    checkpoint = opened(tmp_path / name, content)
    component = checkpoint.component()
    assert checkpoint.format == "keras"
    assert_same_bytes(arrays, read_all(component.tensors))
    assert fingerprint(component.tensors) == fingerprint(stored(arrays))
    assert not component.unexpected
    if not name.endswith(".h5"):
        assert checkpoint.config_of(component) == config.replace(architectures=(architecture,))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_dtypes_come_back(tmp_path, dtype):
    arrays = arrays_of("ElectraForMaskedLM", dtype={"bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype))
    component = opened(tmp_path / "x.weights.h5", weights_h5(arrays)).component()
    assert_same_bytes(arrays, read_all(component.tensors))


def test_the_optimizer_is_left_aside_with_its_reason(tmp_path):
    arrays = arrays_of("ElectraForPreTraining")
    state = [np.int64(3), np.float32(0.1), *arrays.values()]
    component = opened(tmp_path / "x.weights.h5", weights_h5(arrays, optimizer=state)).component()
    assert set(component.leftovers.values()) == {"optimizer state"}
    assert len(component.leftovers) == len(state)
    assert fingerprint(component.tensors) == fingerprint(stored(arrays))


def test_the_config_in_the_archive_comes_before_one_beside_it(tmp_path):
    arrays = arrays_of("ElectraForPreTraining")
    CONFIG.replace(num_attention_heads=3).save_pretrained(tmp_path)
    checkpoint = opened(tmp_path / "model.keras", keras_archive(weights_h5(arrays), CONFIG))
    assert checkpoint.config_of(checkpoint.component()).num_attention_heads == 2
    checkpoint = opened(tmp_path / "x.weights.h5", weights_h5(arrays))
    assert checkpoint.config_of(checkpoint.component()).num_attention_heads == 3


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_folder_may_hold_one(tmp_path, name):
    arrays = arrays_of("ElectraForPreTraining")
    weights = weights_h5(arrays)
    (tmp_path / name).write_bytes(keras_archive(weights, CONFIG) if name.endswith(".keras") else weights)
    assert open_checkpoint(tmp_path).format == "keras"


def test_conversion_proves_that_nothing_changed(tmp_path):
    arrays = arrays_of("ElectraForMaskedLM")
    content = keras_archive(weights_h5(arrays), CONFIG, class_name="TFElectraForMaskedLM")
    (tmp_path / "x.keras").write_bytes(content)
    (done,) = convert_checkpoint(tmp_path / "x.keras", tmp_path / "out")
    assert done.unchanged
    assert done.fingerprint_after == fingerprint(stored(arrays))
    assert ElectraConfig.from_pretrained(tmp_path / "out").num_attention_heads == 2


def test_a_model_of_another_class_gives_its_weights_and_no_config(tmp_path):
    arrays = arrays_of("ElectraForPreTraining")
    other = json.dumps({"class_name": "Functional", "config": {"name": "x", "layers": []}}).encode()
    checkpoint = opened(tmp_path / "x.keras", keras_archive(weights_h5(arrays), CONFIG, **{"config.json": other}))
    assert checkpoint.config is None
    assert fingerprint(checkpoint.component().tensors) == fingerprint(stored(arrays))


def test_transformers_h5_files_are_not_taken_for_keras_files():
    file = TRANSFORMERS / "small-like" / "ForMaskedLM" / "tf_model.h5"
    assert not is_keras_file(file, file.read_bytes()[:16])


# Files that lie -----------------------------------------------------------------------------------------------------

GOOD = weights_h5(arrays_of("ElectraForPreTraining"))


def changed_h5(change):
    stream = io.BytesIO(GOOD)
    with h5py.File(stream, "r+") as file:
        change(file)
    return stream.getvalue()


def _rename(file):
    file["electra/encoder/layer/tf_electra_layer/intermediate/vars"].attrs["name"] = "../intermediate"


def compressed():
    stream = io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(keras_archive(GOOD, CONFIG)))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in good.namelist():
            archive.writestr(name, good.read(name))
    return stream.getvalue()


LIES = {
    "no weights": (keras_archive(None, CONFIG, **{"model.weights.h5": None}), "an archive without model.weights.h5"),
    "no config": (keras_archive(GOOD, CONFIG, **{"config.json": None}), "an archive without config.json"),
    "weights of another kind": (keras_archive(b"PK\x03\x04" + bytes(99), CONFIG), "x.keras: "),
    "a config that is no JSON": (keras_archive(GOOD, CONFIG, **{"config.json": b"{"}), "config.json: "),
    "a config of a megabyte": (keras_archive(GOOD, CONFIG, **{"config.json": b" " * (1 << 20) + b"{}"}), "config.json"),
    "a config of depth": (keras_archive(GOOD, CONFIG, **{"config.json": b'{"a":' * 9999}), "nested too deeply"),
    "an impossible config": (
        keras_archive(GOOD, CONFIG).replace(b'"hidden_size": 6', b'"hidden_size": 5'),
        "its checksum is",
    ),
    "compressed members": (compressed(), "is compressed"),
    "a way out": (keras_archive(GOOD, CONFIG, **{"../witness": b"x"}), "could point out of a folder"),
    "a link to another file": (
        changed_h5(lambda file: file["electra"].__setitem__("x", h5py.ExternalLink("/etc/passwd", "/"))),
        "link to another file",
    ),
    "a link to another name": (
        changed_h5(lambda file: file["electra"].__setitem__("x", h5py.SoftLink("/electra"))),
        "link to another name",
    ),
    "two names for one layer": (
        changed_h5(lambda file: file["electra"].__setitem__("x", file["electra/embeddings"])),
        "second name of one object",
    ),
    "a variable elsewhere": (
        changed_h5(lambda file: file.create_dataset("electra/0", data=np.ones(3))),
        "not where Keras stores a variable",
    ),
    "a variable without a number": (
        changed_h5(lambda file: file.create_dataset("electra/vars/x", data=np.ones(3))),
        "not where Keras stores a variable",
    ),
    "other bytes called bfloat16": (
        changed_h5(lambda file: file.create_dataset("electra/vars/0", data=np.zeros(3, "V2"))),
        "unsupported type",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused(lie, tmp_path):
    content, message = LIES[lie]
    with pytest.raises(CheckpointError, match=message) as error:
        read_all(opened(tmp_path / "x.keras", content).component().tensors)
    assert str(error.value).startswith(f"{tmp_path / 'x.keras'}: ")
    assert "\n" not in str(error.value)


def test_a_layer_of_another_name_is_unexpected(tmp_path):
    component = opened(tmp_path / "x.weights.h5", changed_h5(_rename)).component()
    found = [f"electra/encoder/layer_0/../intermediate/dense/vars/{number}" for number in (0, 1)]
    assert sorted(component.unexpected) == found
    with pytest.raises(CheckpointError, match=r"2 missing \(.*2 unexpected \("):
        plan_loading(tmp_path / "x.weights.h5", "ElectraForPreTraining", config_overrides={"num_attention_heads": 2})


def test_a_config_that_is_impossible_is_refused(tmp_path):
    stored_config = json.loads(zipfile.ZipFile(io.BytesIO(keras_archive(GOOD, CONFIG))).read("config.json"))
    stored_config["config"]["config"]["hidden_size"] = 5
    content = keras_archive(GOOD, CONFIG, **{"config.json": json.dumps(stored_config).encode()})
    with pytest.raises(CheckpointError, match="hidden_size 5 is not a multiple of num_attention_heads 2"):
        opened(tmp_path / "x.keras", content)


def test_damage_in_the_weights_of_an_archive_is_found_when_the_first_is_read(tmp_path):
    content = bytearray(keras_archive(GOOD, CONFIG))
    value = arrays_of("ElectraForPreTraining")["electra.embeddings.LayerNorm.weight"].tobytes()
    content[content.index(value)] ^= 1
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.weights\.h5: damaged: its checksum is"):
        next(iter(open_checkpoint(tmp_path / "x.keras").component().tensors.values())).read()
    read_all(open_checkpoint(tmp_path / "x.keras", verify=False).component().tensors)


def read_tensors(path):
    return read_keras_file(path).tensors, {}


@pytest.mark.parametrize("name", ["h5", "keras"])
def test_random_damage_is_refused_or_harmless(tmp_path, name):
    content = GOOD if name == "h5" else keras_archive(GOOD, CONFIG)
    for what, damaged in truncations(content, name, sample(20, thorough=60)):
        assert attempt(read_tensors, tmp_path / "file", damaged, what) is None
    for what, _, damaged in flips(content, name, sample(60, thorough=200)):
        attempt(read_tensors, tmp_path / "file", damaged, what)
