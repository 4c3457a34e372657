"""Writes HDF5 files laid out as Keras' ``save_weights`` does, with h5py and none of our code; and looks into them."""

import h5py
import numpy as np


def layers_of(count=2, model="tf_electra_model_3"):
    """Return ``{layer: {variable: array}}`` of a small network with so many encoder layers; all sizes differ."""
    generator = np.random.default_rng(count)
    shapes = {"embeddings/word_embeddings/weight": (13, 6), "embeddings/LayerNorm/beta": (6,)}
    for layer in range(count):
        shapes[f"encoder/layer_._{layer}/attention/self/query/kernel"] = (6, 10)
        shapes[f"encoder/layer_._{layer}/attention/self/query/bias"] = (10,)
    electra = {f"{model}/electra/{name}:0": generator.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    return {"electra": electra, "dropout_41": {}, "qa_outputs": {f"{model}/qa_outputs/bias:0": np.ones(3, "f4")}}


def expected_of(layers):
    """Return ``{name: array}`` as a reader should give it."""
    return {
        name.split("/", 1)[1].removesuffix(":0"): array for group in layers.values() for name, array in group.items()
    }


def write_keras(path, layers, *, names=lambda names: [name.encode() for name in names], libver=None, **options):
    """Write a file; ``names`` makes the value of a list attribute, ``options`` are those of create_dataset."""
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs["layer_names"] = names(list(layers))
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.19.0"
        for layer, variables in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = names(list(variables))
            for name, array in variables.items():
                group.create_dataset(name, data=array, **(options if array.ndim == 2 else {}))
        file.create_group("top_level_model_weights").attrs["weight_names"] = names([])
    return path


def _attributes(item):
    found = {}
    for name in item.attrs:
        raw = item.attrs.get_id(name)
        kind = raw.get_type()
        is_text = isinstance(kind, h5py.h5t.TypeStringID)
        how = (kind.is_variable_str(), kind.get_cset()) if is_text else str(raw.dtype)
        found[name] = (raw.shape, how, np.asarray(item.attrs[name]).tolist())
    return found


def structure(path):
    """Return everything in a file by path: attributes with their types, and of datasets shape, dtype, layout, bytes."""
    result = {}

    def visit(name, item):
        found = {"attributes": _attributes(item)}
        if isinstance(item, h5py.Dataset):
            plist = item.id.get_create_plist()
            found["data"] = (item.shape, item.dtype.str, plist.get_layout(), plist.get_nfilters(), item[()].tobytes())
        result[name] = found

    with h5py.File(path, "r") as file:
        visit("", file)
        file.visititems(visit)
    return result
