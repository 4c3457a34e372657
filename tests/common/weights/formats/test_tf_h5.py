"""tf_model.h5: every file that transformers wrote is read exactly, and what is written has the same structure."""

import dataclasses
import io
import json
import re
import tracemalloc
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from electra_common import CheckpointError
from electra_common.weights.formats.tf_h5 import looks_like_tf_h5, read_tf_h5
from electra_common.weights.formats.tf_h5_writer import write_tf_h5
from electra_common.weights.transformers_tf import transformers_tf_tensors
from support.fixtures import ALL_HEADS, CONFIGURATIONS, TRANSFORMERS
from support.keras_h5 import expected_of, layers_of, structure, write_keras
from support.tiny_networks import assert_same_bytes, read_all, stored

FOLDERS = [TRANSFORMERS / configuration / head for configuration in CONFIGURATIONS for head in ALL_HEADS]


def name_of(folder):
    return f"{folder.parent.name}-{folder.name}"


def canonical_arrays(folder):
    """Return what the safetensors file beside an h5 file holds; the base class leaves out the encoder's name."""
    arrays = load_file(folder / "model.safetensors")
    prefix = "electra." if folder.name == "Model" else ""
    return {prefix + name: array for name, array in arrays.items()}


# Reading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_file_of_transformers_holds_what_its_safetensors_file_holds(folder):
    tensors, metadata = read_tf_h5(folder / "tf_model.h5")
    found, unexpected = transformers_tf_tensors(tensors)
    assert unexpected == ()
    assert_same_bytes(canonical_arrays(folder), {name: np.ascontiguousarray(a) for name, a in read_all(found).items()})
    assert metadata == {"backend": "tensorflow", "keras_version": "2.19.0"}


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_numbers_are_those_that_h5py_reads(folder):
    expected = {}
    with h5py.File(folder / "tf_model.h5") as file:
        for layer in file.attrs["layer_names"]:
            for name in file[layer].attrs["weight_names"]:
                expected[name.split("/", 1)[1].removesuffix(":0")] = file[layer][name][()]
    assert_same_bytes(expected, read_all(read_tf_h5(folder / "tf_model.h5")[0]))


def test_a_file_is_known_by_its_first_bytes():
    assert looks_like_tf_h5((FOLDERS[0] / "tf_model.h5").read_bytes()[:16])
    assert not looks_like_tf_h5(b"PK\x03\x04" + bytes(12))
    assert not looks_like_tf_h5(b"\x89HDF")


NAME_LISTS = {
    "text of variable length": list,
    "bytes": lambda names: [name.encode() for name in names],
    "bytes of fixed length": lambda names: np.array([name.encode() for name in names], "S99"),
}


@pytest.mark.parametrize("kind", NAME_LISTS)
def test_names_are_read_in_every_way_that_keras_wrote_them(kind, tmp_path):
    path = write_keras(tmp_path / "file", layers_of(), names=NAME_LISTS[kind])
    assert_same_bytes(expected_of(layers_of()), read_all(read_tf_h5(path)[0]))


@pytest.mark.parametrize("count", [1, 9, 24, 40])
@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_every_version_of_the_format_is_read(libver, count, tmp_path):
    path = write_keras(tmp_path / "file", layers_of(count), libver=libver)
    assert_same_bytes(expected_of(layers_of(count)), read_all(read_tf_h5(path)[0]))


OPTIONS = {
    "in chunks": {"chunks": (5, 4)},
    "in one chunk": {"chunks": True},
    "compressed": {"chunks": (5, 4), "compression": "gzip"},
    "shuffled": {"chunks": (4, 5), "shuffle": True},
    "shuffled and compressed": {"chunks": (1, 3), "shuffle": True, "compression": 9},
    "growing": {"chunks": (7, 7), "maxshape": (None, 99)},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_data_in_chunks_is_put_together(kind, tmp_path):
    path = write_keras(tmp_path / "file", layers_of(), **OPTIONS[kind])
    assert_same_bytes(expected_of(layers_of()), read_all(read_tf_h5(path)[0]))


def test_compact_data_is_read(tmp_path):
    path, values = write_keras(tmp_path / "file", {"electra": {}}), np.arange(15, dtype="f4").reshape(3, 5)
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    with h5py.File(path, "a") as file:
        made = h5py.h5d.create(file["electra"].id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((3, 5)), compact)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
        file["electra"].attrs["weight_names"] = [b"x"]
    assert_same_bytes({"x": values}, read_all(read_tf_h5(path)[0]))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 5), (2, 3, 5)])
def test_every_number_and_shape_is_read(dtype, shape, tmp_path):
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) - 1.5).astype(np.float64).round().astype(dtype)
    path = write_keras(tmp_path / "file", {"electra": {"m/x:0": array}})
    assert_same_bytes({"x": array}, read_all(read_tf_h5(path)[0]))


def test_long_lists_are_joined(tmp_path):
    layers = layers_of(11)
    path, electra = write_keras(tmp_path / "file", layers), list(layers["electra"])
    with h5py.File(path, "a") as file:
        del file["electra"].attrs["weight_names"]
        for index, part in enumerate(np.array_split([name.encode() for name in electra], 12)):
            file["electra"].attrs[f"weight_names{index}"] = part
    # Nine and more attributes may be kept elsewhere by newer writers; this is the form that Keras' h5py gives.
    assert_same_bytes(expected_of(layers), read_all(read_tf_h5(path)[0]))


def test_a_shard_is_read(tmp_path):
    """transformers names datasets of shards without the model's name and lists them all in layer_names."""
    arrays = expected_of(layers_of())
    with h5py.File(tmp_path / "file", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(f"{name}:0", array.shape, array.dtype)[:] = array
        file.attrs["layer_names"] = [f"{name}:0".encode() for name in arrays]
    tensors, metadata = read_tf_h5(tmp_path / "file")
    assert_same_bytes(arrays, read_all(tensors))
    assert metadata == {}


def generator(second):
    first = np.arange(15, dtype="f4").reshape(5, 3)
    name = "tf_electra_for_masked_lm/electra/embeddings/word_embeddings/weight:0"
    return {"electra": {name: first}, "generator_lm_head": {name: second(first)}}


def test_the_second_copy_of_the_embeddings_is_left_out(tmp_path):
    path = write_keras(tmp_path / "file", generator(np.array))
    assert list(read_tf_h5(path)[0]) == ["electra/embeddings/word_embeddings/weight"]


def test_copies_of_numbers_that_equal_nothing_are_the_same(tmp_path):
    layers = {layer: {"m/x:0": np.full(3, np.nan, "f4")} for layer in ("a", "b")}
    assert np.isnan(read_tf_h5(write_keras(tmp_path / "file", layers))[0]["x"].read()).all()


@pytest.mark.parametrize("change", [lambda a: a + 1e-6, lambda a: a[:4], lambda a: a.astype("f8"), np.negative])
def test_copies_that_disagree_are_refused(change, tmp_path):
    path = write_keras(tmp_path / "file", generator(change))
    with pytest.raises(CheckpointError, match="stands in two layers with different values"):
        read_tf_h5(path)


def test_copies_are_not_read_without_verification(tmp_path):
    tensors, _ = read_tf_h5(write_keras(tmp_path / "file", generator(np.negative)), verify=False)
    np.testing.assert_array_equal(tensors["electra/embeddings/word_embeddings/weight"].read()[0], [0, 1, 2])


def open_files():
    """Return how many files this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_opening_reads_no_data_and_keeps_no_file_open(tmp_path):
    path = write_keras(tmp_path / "file", {"electra": {"m/x:0": np.ones((1000, 3001), "f4")}})
    before = open_files()
    tracemalloc.start()
    array = read_tf_h5(path)[0]["x"].read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000 < array.nbytes
    assert open_files() <= before + 1  # the map itself holds one


# Writing ------------------------------------------------------------------------------------------------------------


def architecture_of(folder):
    return json.loads((folder / "config.json").read_text())["architectures"][0]


@pytest.fixture
def written(tmp_path):
    """Write arrays by canonical name."""

    def make(arrays, architecture, mode="x+b"):
        path = tmp_path / "tf_model.h5"
        with open(path, mode) as stream:
            write_tf_h5(stream, stored(arrays), architecture=architecture)
        return path

    return make


def without_counters(found):
    """Drop what depends on how many models a process made: counters of models and the number of a dropout."""

    def plain(value):
        if isinstance(value, str):
            return re.sub(r"dropout_\d+", "dropout", re.sub(r"(tf_electra_[a-z_]*[a-z])_\d+", r"\1", value))
        if isinstance(value, (list, tuple)):
            return type(value)(plain(item) for item in value)
        return {plain(key): plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    return plain(found)


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_written_file_is_built_like_that_of_transformers(folder, written):
    path = written(canonical_arrays(folder), architecture_of(folder))
    expected = without_counters(structure(folder / "tf_model.h5"))
    found = without_counters(structure(path))
    assert list(expected) == list(found)
    for name, item in expected.items():
        assert found[name] == item, name


def test_the_dropout_is_numbered_as_in_a_fresh_process(written):
    """One dropout in the embeddings, three in each layer, counted from no number at all."""
    folder = TRANSFORMERS / "base-like" / "ForTokenClassification"
    with h5py.File(written(canonical_arrays(folder), "ElectraForTokenClassification")) as file:
        assert list(file.attrs["layer_names"]) == ["electra", "dropout_7", "classifier"]


@pytest.mark.parametrize("mode", ["x+b", "xb"])
def test_names_of_very_many_layers_are_split(mode, written):
    """400 layers also fill the HDF5 library's cache, so that it reads back what it wrote."""
    arrays = {
        f"electra.encoder.layer.{layer}.output.{name}": np.full(shape, layer, "f4")
        for layer in range(400)
        for name, shape in {"dense.weight": (3, 5), "dense.bias": (3,), "LayerNorm.weight": (3,)}.items()
    }
    path = written(arrays, "ElectraModel", mode)
    with h5py.File(path) as file:
        attributes = dict(file["electra"].attrs)
        assert list(attributes) == ["weight_names0", "weight_names1"]
        assert all(0 < value.nbytes <= 64512 and value.dtype.kind == "S" for value in attributes.values())
    found, _ = transformers_tf_tensors(read_tf_h5(path)[0])
    assert_same_bytes(arrays, {name: np.ascontiguousarray(array) for name, array in read_all(found).items()})


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes_are_written(dtype, written):
    arrays = {"electra.embeddings.LayerNorm.weight": np.arange(5).astype(dtype)}
    found, _ = transformers_tf_tensors(read_tf_h5(written(arrays, "ElectraModel"))[0])
    assert_same_bytes(arrays, read_all(found))


def test_progress_is_told_each_tensor_once():
    folder, told = TRANSFORMERS / "small-like" / "ForMaskedLM", []
    arrays = canonical_arrays(folder)
    write_tf_h5(io.BytesIO(), stored(arrays), architecture="ElectraForMaskedLM", progress=told.append)
    assert sorted(told) == sorted(array.nbytes for array in arrays.values())


def test_one_tensor_is_in_memory_at_a_time(tmp_path):
    name, size = "electra.encoder.layer.{}.output.dense.weight", 500_000
    tensors = stored({name.format(layer): np.ones((1, 1), "f4") for layer in range(20)})
    tensors = {
        name: dataclasses.replace(tensor, shape=(1000, 500), read=lambda: np.ones((1000, 500), "f4"))
        for name, tensor in tensors.items()
    }
    with open(tmp_path / "file", "xb") as stream:
        tracemalloc.start()
        write_tf_h5(stream, tensors, architecture="ElectraModel")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "file").stat().st_size > 20 * 4 * size
    assert peak < 4 * 4 * size


LAYER_NORM = "electra.embeddings.LayerNorm.weight"
WORDS = "electra.embeddings.word_embeddings.weight"
REFUSED = {
    "an unknown class": ({LAYER_NORM: np.ones(3, "f4")}, "BertModel", "'BertModel' is no class of transformers"),
    "a foreign head": ({"qa_outputs.bias": np.ones(2, "f4")}, "ElectraModel", "no variable for qa_outputs.bias"),
    "an unknown name": ({"electra.pooler.bias": np.ones(2, "f4")}, "ElectraModel", "no variable for electra.pooler"),
    "bfloat16": ({LAYER_NORM: np.ones(3, ml_dtypes.bfloat16)}, "ElectraModel", "convert to float32 first"),
    "booleans": ({LAYER_NORM: np.ones(3, bool)}, "ElectraModel", "cannot hold bool"),
    "an untied vocabulary weight": (
        {WORDS: np.ones((5, 3), "f4"), "generator_lm_head.weight": np.zeros((5, 3), "f4")},
        "ElectraForMaskedLM", "differs from the word embeddings"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_format_has_no_place_for_is_refused(case):
    arrays, architecture, message = REFUSED[case]
    with pytest.raises(CheckpointError, match=message):
        write_tf_h5(io.BytesIO(), stored(arrays), architecture=architecture)


def test_a_vocabulary_weight_that_equals_the_word_embeddings_is_left_out(written):
    words = np.arange(15, dtype="f4").reshape(5, 3)
    path = written({WORDS: words, "generator_lm_head.weight": words.copy()}, "ElectraForMaskedLM")
    assert list(read_tf_h5(path)[0]) == ["electra/embeddings/word_embeddings/weight"]


def test_damage_found_while_reading_comes_out_unchanged():
    def damaged():
        raise CheckpointError("damaged: the checksum")

    (tensor,) = stored({LAYER_NORM: np.ones(3, "f4")}).values()
    with pytest.raises(CheckpointError, match="damaged: the checksum"):
        write_tf_h5(io.BytesIO(), {LAYER_NORM: dataclasses.replace(tensor, read=damaged)}, architecture="ElectraModel")


class FullDisk(io.BytesIO):
    """Takes so many bytes and no more."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("left", [0, 900, 40_000, 90_000, 99_000])
def test_a_full_disk_is_an_os_error(left):
    folder = TRANSFORMERS / "base-like" / "Model"
    with pytest.raises(OSError, match=r"could not write|No space left"):
        write_tf_h5(FullDisk(left), stored(canonical_arrays(folder)), architecture="ElectraModel")
