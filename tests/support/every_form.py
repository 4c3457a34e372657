"""One small network in every form that is read, those that this library does not write made by independent writers."""

import json
import shutil

import h5py
import numpy as np
import safetensors.numpy

from electra_common import ElectraConfig, convert_checkpoint
from electra_common.weights.formats.tf_h5 import read_tf_h5
from electra_common.weights.names import find_row, keras_path
from electra_common.weights.saving import WRITABLE_FORMATS, save_folder
from electra_common.weights.shapes import expected_shapes
from support import flax_writer, torch_files
from support.fixtures import OTHER_TF2
from support.keras_writer import keras_archive, weights_h5
from support.tiny_networks import read_all, stored

CONFIG = ElectraConfig(
    vocab_size=11, embedding_size=5, hidden_size=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7,
    max_position_embeddings=3, type_vocab_size=2, architectures=("ElectraForPreTraining",),
)  # fmt: skip
FORMS = (*WRITABLE_FORMATS, "shards", "legacy bin", "tensorflow safetensors", "h5 shards", "flax", "keras",
         "weights.h5", "tf2", "model garden")  # fmt: skip


def arrays():
    """Return ``{canonical name: array}`` of the network."""
    random = np.random.Generator(np.random.Philox(0))
    shapes = expected_shapes(CONFIG, "ElectraForPreTraining")
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_form(form, folder):
    """Write the network into a new folder; return its files that hold weights or say where they are."""
    save_folder(folder.with_name("source"), CONFIG, stored(arrays()))
    if form in WRITABLE_FORMATS:
        convert_checkpoint(folder.with_name("source"), folder, format=form)
    elif form == "shards":
        convert_checkpoint(folder.with_name("source"), folder, max_shard_size=1200)
    else:
        folder.mkdir()
        shutil.copy(folder.with_name("source") / "config.json", folder)
        _WRITERS[form](folder)
    return sorted(file for file in folder.iterdir() if file.name not in ("config.json", "checkpoint", "expected.npz"))


def _legacy_bin(folder):
    data, values = {}, {}
    for key, (name, array) in enumerate(arrays().items()):
        data[str(key)] = array.tobytes()
        strides = [stride // array.itemsize for stride in array.strides]
        storage = torch_files.storage(str(key), numel=array.size, extra=b"N")
        values[name] = torch_files.tensor(array.shape, strides, of=storage)
    torch_files.write_stream(folder / "pytorch_model.bin", torch_files.state(**values), data)


def _tensorflow_variables(folder):
    convert_checkpoint(folder.with_name("source"), folder.with_name("h5"), format="h5")
    return read_all(read_tf_h5(folder.with_name("h5") / "tf_model.h5")[0])


def _tensorflow_safetensors(folder):
    named = {f"{name}:0": np.ascontiguousarray(array) for name, array in _tensorflow_variables(folder).items()}
    safetensors.numpy.save_file(named, folder / "model.safetensors", {"format": "tf"})


def _h5_shards(folder):
    variables = _tensorflow_variables(folder)
    weight_map = {}
    for number in (1, 2):
        name = f"tf_model-0000{number}-of-00002.h5"
        names = sorted(variables)[number - 1 :: 2]
        with h5py.File(folder / name, "w") as file:
            file.attrs["layer_names"] = [f"{key}:0".encode() for key in names]
            for key in names:
                file.create_dataset(f"{key}:0", data=variables[key])
        weight_map |= {f"tf_electra_for_pre_training/{key}:0": name for key in names}
    (folder / "tf_model.h5.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _flax(folder):
    names = {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias", "embeddings": "embedding"}
    tree = {}
    for name, array in arrays().items():
        path, _, variable = keras_path(name).replace("layer_", "layer/").rpartition("/")
        tree[f"{path}/{names[variable]}"] = array.T if find_row(name).transpose else array
    content = flax_writer.encode(flax_writer.nested(tree))
    (folder / "flax_model.msgpack").write_bytes(content)


def _keras(folder):
    (folder / "model.keras").write_bytes(keras_archive(weights_h5(arrays()), CONFIG))


def _weights_h5(folder):
    state = [np.int64(3), *arrays().values()]
    (folder / "model.weights.h5").write_bytes(weights_h5(arrays(), optimizer=state))


def _fixture(program):
    def copy(folder):
        (folder / "config.json").unlink()  # of another network
        for file in (OTHER_TF2 / program).iterdir():
            shutil.copy(file, folder)

    return copy


_WRITERS = {
    "legacy bin": _legacy_bin,
    "tensorflow safetensors": _tensorflow_safetensors,
    "h5 shards": _h5_shards,
    "flax": _flax,
    "keras": _keras,
    "weights.h5": _weights_h5,
    "tf2": _fixture("nvidia"),
    "model garden": _fixture("teams"),
}
