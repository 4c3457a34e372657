"""``tf_model.h5``: what transformers' TensorFlow classes save, read without TensorFlow and without the HDF5 library.

Keras keeps a group for each top-level layer and in it every variable under its full name, which starts with the model's
name (``electra/tf_electra_model_1/electra/embeddings/…:0``); attributes list layers and variables. A shard of a large
model has its variables directly under their names. What is read is exactly what the attributes list.

HDF5 keeps no checksum for data in one piece, which all known files have: a damaged number is not noticed here.

Source: the layout of files written by transformers 4.57 with Keras 2.19, see the tests' fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.hdf5 import SIGNATURE, Hdf5File
from electra_common.weights.formats.hdf5_tree import Attributes, walk
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.tensors import StoredTensor

_TOP_LEVEL: Final = "top_level_model_weights"
_METADATA: Final = ("backend", "keras_version")


def looks_like_tf_h5(start: bytes) -> bool:
    """Whether the first bytes of a file are those of an HDF5 file; Keras' own ``.weights.h5`` starts the same way."""
    return start.startswith(SIGNATURE)


def read_tf_h5(path: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors by variable name, without the model's name and ``:0``, and Keras' version and backend.

    Args:
        path: the file, or one shard.
        verify: compare the second copy that some variables have (the embeddings, in the generator's file) byte by byte.

    Raises:
        CheckpointError: the file is damaged, was not written by transformers, or refers to other files.
    """
    try:
        return _read(Hdf5File(MappedFile(path)), verify)
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if message.startswith(str(path)) else f"{path}: {message}") from None


def _read(file: Hdf5File, verify: bool) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    attributes, datasets = walk(file)
    layers = _names(file, attributes[""], "layer_names")
    if layers is None:
        raise CheckpointError("not a tf_model.h5: the attribute layer_names is missing")
    tensors: dict[str, StoredTensor] = {}
    listed: set[str] = set()
    for path, name in _variables(file, layers, attributes, datasets):
        if path not in datasets or path in listed:
            problem = "is listed twice" if path in listed else "is listed and not there"
            raise CheckpointError(f"damaged: {path[:200]!r} {problem}")
        listed.add(path)
        tensor = datasets[path].renamed(name)
        if name in tensors:
            _check_same(tensors[name], tensor, verify)
        else:
            tensors[name] = tensor
    if unlisted := sorted(datasets.keys() - listed):
        raise CheckpointError(f"damaged: {unlisted[0][:200]} is there and not listed ({len(unlisted)} such)")
    return tensors, {
        key: text for key in _METADATA if key in attributes[""] for text in file.strings(attributes[""][key])[:1]
    }


def _variables(
    file: Hdf5File, layers: list[str], attributes: Mapping[str, Attributes], datasets: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each variable that the attributes list."""
    for layer in [*layers, *([_TOP_LEVEL] if _TOP_LEVEL in attributes else [])]:
        if layer in datasets:  # a shard: the name is the path, without the model's name
            yield layer, layer.removesuffix(":0")
            continue
        names = _names(file, attributes.get(layer, {}), "weight_names")
        if names is None:
            raise CheckpointError(f"damaged: the layer {layer[:80]!r} has no list of its variables (weight_names)")
        for name in names:
            yield f"{layer}/{name}", name.split("/", 1)[-1].removesuffix(":0")


def _names(file: Hdf5File, attributes: Attributes, name: str) -> list[str] | None:
    """Return a list of names, which Keras splits over several attributes where it is longer than 64 kB."""
    if name in attributes:
        return file.strings(attributes[name])
    if f"{name}0" not in attributes:
        return None
    result: list[str] = []
    for index in count():
        if f"{name}{index}" not in attributes:
            break
        result += file.strings(attributes[f"{name}{index}"])
    return result


def _check_same(first: StoredTensor, second: StoredTensor, verify: bool) -> None:
    """Refuse a file whose copies of one variable disagree: it cannot be known which of them is meant."""
    is_same = (first.shape, first.dtype) == (second.shape, second.dtype)
    if is_same and verify:
        before, after = (np.ascontiguousarray(tensor.read()).reshape(-1).view(np.uint8) for tensor in (first, second))
        is_same = np.array_equal(before, after)
    if not is_same:
        raise CheckpointError(f"{first.name[:200]} stands in two layers with different values")
