"""Writes Keras 3's own files as Keras does, with h5py and zipfile and none of our readers.

tests/tf/test_keras_files.py compares what is written here with what Keras writes.
"""

import io
import json
import zipfile

import h5py
import ml_dtypes

from electra_common.weights.names import find_row, keras_path

# Where an attribute of our Keras models has another name than the layer that it holds.
_ATTRIBUTES = {"self": "self_attention", "output": "residual_output"}


def attribute_path(layer):
    """Return the path of attributes that leads to a layer with this path of names."""
    steps = []
    for name in layer.split("/"):
        if name.startswith("layer_"):
            index = int(name.removeprefix("layer_"))
            steps += ["layer", "tf_electra_layer" + (f"_{index}" if index else "")]
        else:
            steps.append(_ATTRIBUTES.get(name, name))
    return "/".join(steps)


def layers_of(arrays):
    """Return ``{path of layer names: [array, ...]}`` of canonical arrays, each in the order that Keras numbers them."""
    layers = {}
    for name in sorted(arrays, key=lambda name: name.endswith(".bias")):
        layer, _, _ = keras_path(name).rpartition("/")
        array = arrays[name].T if find_row(name).transpose else arrays[name]
        layers.setdefault(layer, []).append(array)
    return layers


def weights_h5(arrays, *, model_name="tf_electra", body=False, optimizer=()):
    """Return the bytes of a ``.weights.h5`` of canonical arrays, and of an optimizer's variables.

    In the file of a bare encoder (``body``) the model itself stands for the level ``electra``.
    """
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        _vars(file, "vars", model_name, [])
        for layer, variables in layers_of(arrays).items():
            names = layer.removeprefix("electra/" if body else "").split("/")
            for depth in range(1, len(names) + 1):
                path = f"{attribute_path('/'.join(names[:depth]))}/vars"
                if path not in file:
                    _vars(file, path, names[depth - 1], variables if depth == len(names) else [])
        if optimizer:
            _vars(file, "optimizer/vars", "adam_w", optimizer)
    return stream.getvalue()


def _vars(file, path, name, variables):
    group = file.create_group(path, track_order=True)
    group.attrs["name"] = name
    for index, array in enumerate(variables):
        dataset = group.create_dataset(str(index), data=array)
        if array.dtype == ml_dtypes.bfloat16:
            dataset.attrs["dtype"] = "bfloat16"


def keras_archive(weights, config, *, class_name="TFElectraForPreTraining", **changes):
    """Return the bytes of a ``.keras`` file; ``changes`` replace members, or leave them out where None."""
    described = {
        "module": "electra_tf.modeling",
        "class_name": class_name,
        "config": {"name": "tf_electra", "trainable": True, "dtype": "float32", "config": json.loads(config.to_json())},
        "registered_name": f"electra_tf>{class_name}",
    }
    members = {
        "metadata.json": b'{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}',
        "config.json": json.dumps(described).encode(),
        "model.weights.h5": weights,
        **changes,
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return stream.getvalue()
