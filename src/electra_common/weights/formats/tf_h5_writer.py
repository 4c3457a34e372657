"""Writes ``tf_model.h5`` as transformers' TensorFlow classes do, without TensorFlow.

The order of groups, variables and attributes is that of Keras' ``save_weights``, so a file has the structure that
transformers 4.57 would have given it. The HDF5 library writes straight to the file, one tensor in memory at a time.

Source: the layout of files written by transformers 4.57 with Keras 2.19, see the tests' fixtures.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import (
    ARCHITECTURE_PARTS,
    BODY,
    TIED_VOCABULARY_WEIGHT,
    WORD_EMBEDDINGS,
    find_row,
    layer_of,
)
from electra_common.weights.tensors import StoredTensor
from electra_common.weights.transformers_tf import in_transformers_tf_order, transformers_tf_name

if TYPE_CHECKING:
    import h5py

KERAS_VERSION: Final = "2.19.0"
# Keras leaves some of the 64 kB that an object header can have to HDF5 itself.
MAX_ATTRIBUTE_BYTES: Final = 64512
_DTYPES: Final = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8")
_EMBEDDINGS: Final = "electra/embeddings/"
_TIED_HEAD: Final = "generator_lm_head"
_NO_WEIGHTS: Final = "top_level_model_weights"


def write_tf_h5(
    stream: BinaryIO,
    tensors: Mapping[str, StoredTensor],
    *,
    architecture: str,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write tensors to a stream.

    Args:
        stream: a writable, seekable stream; what it holds is replaced. The HDF5 library reads back its own tables where
            there are many, so a stream that cannot be read must be an open file, which is then opened once more.
        tensors: by canonical name, in canonical orientation.
        architecture: the class in ``config.json``, such as ``ElectraForMaskedLM``.
        progress: called with the size of each tensor once it is written; the second copy that the generator's file
            keeps of the embeddings does not count.

    Raises:
        CheckpointError: the class is unknown, or the format has no place for a tensor.
        OSError: the stream cannot be written.
    """
    import h5py  # takes longer than all of electra_common, and only this format needs it

    tensors = _check(tensors, architecture)
    try:
        with (
            _readable(stream) as target,
            h5py.File(target, "w", libver="earliest") as file,
        ):  # which every version reads
            _write(file, tensors, architecture, progress)
    except (CheckpointError, OSError):
        raise
    except Exception as error:  # the library lets out all kinds, and loses the cause
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise OSError(errno.EIO, f"the HDF5 library could not write: {cause}") from error


@contextmanager
def _readable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Give the stream, or the same file opened for reading too."""
    if stream.readable():
        yield stream
    else:
        stream.flush()
        with open(stream.name, "r+b") as again:
            yield again
            again.flush()


def _write(
    file: h5py.File,
    tensors: Mapping[str, StoredTensor],
    architecture: str,
    progress: Callable[[int], None] | None,
) -> None:
    layers = _layers(tensors, architecture)
    _write_names(file, "layer_names", list(layers))
    file.attrs["backend"] = b"tensorflow"
    file.attrs["keras_version"] = KERAS_VERSION.encode()
    for layer, names in layers.items():
        _write_layer(file, layer, names, tensors, _model_name(architecture), progress)
    _write_names(file.create_group(_NO_WEIGHTS), "weight_names", [])


def _check(tensors: Mapping[str, StoredTensor], architecture: str) -> dict[str, StoredTensor]:
    """Return the tensors that are stored; refuse what the class or the format has no place for."""
    if architecture not in ARCHITECTURE_PARTS:
        raise CheckpointError(f"{architecture[:80]!r} is no class of transformers ({', '.join(ARCHITECTURE_PARTS)})")
    if architecture == "ElectraForCausalLM":
        raise CheckpointError(
            "tf_model.h5 is of transformers' TensorFlow classes, and ElectraForCausalLM is none of them"
        )
    result = {}
    for name, tensor in tensors.items():
        row = find_row(name)
        if row is None or row.part not in (BODY, *ARCHITECTURE_PARTS[architecture]):
            raise CheckpointError(f"TF{architecture} has no variable for {name[:200]}")
        if tensor.dtype not in _DTYPES:
            raise CheckpointError(f"tf_model.h5 cannot hold {tensor.dtype} ({name}); convert to float32 first")
        if name == TIED_VOCABULARY_WEIGHT:
            _check_tied(tensor, tensors)
        else:
            result[name] = tensor
    return result


def _check_tied(weight: StoredTensor, tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse another projection onto the vocabulary than the word table, which is what the TensorFlow class takes."""
    table = tensors.get(WORD_EMBEDDINGS)
    if table is None or weight.shape != table.shape or not np.array_equal(weight.read(), table.read(), equal_nan=True):
        raise CheckpointError(f"tf_model.h5 cannot hold a {weight.name} that differs from the word embeddings")


def _model_name(architecture: str) -> str:
    """Return the name that Keras gives the first model of a class: TFElectraModel is tf_electra_model."""
    return "tf_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", architecture).lower()


def _layers(tensors: Mapping[str, StoredTensor], architecture: str) -> dict[str, list[str]]:
    """Return the top-level layers in order, each with the canonical names of its variables in order."""
    result: dict[str, list[str]] = {}
    for name in in_transformers_tf_order(tensors):
        layer = transformers_tf_name(name).split("/", 1)[0]
        if architecture == "ElectraForTokenClassification" and layer == "classifier":
            result.setdefault(_dropout_name(tensors), [])
        result.setdefault(layer, []).append(name)
    if _TIED_HEAD in result:  # it holds the embeddings as a layer of its own, hence the second copy
        result[_TIED_HEAD] += [name for name in result["electra"] if transformers_tf_name(name).startswith(_EMBEDDINGS)]
    return result


def _dropout_name(tensors: Mapping[str, StoredTensor]) -> str:
    """Return the name of the head's dropout in a fresh process: after one of the embeddings and three a layer."""
    layers = {layer_of(name) for name in tensors} - {None}
    return f"dropout_{3 * len(layers) + 1}"


def _write_layer(
    file: h5py.File,
    layer: str,
    names: list[str],
    tensors: Mapping[str, StoredTensor],
    model: str,
    progress: Callable[[int], None] | None,
) -> None:
    group = file.create_group(layer)
    paths = [f"{model}/{transformers_tf_name(name)}:0" for name in names]
    _write_names(group, "weight_names", paths)
    for path, name in zip(paths, names, strict=True):
        _write_tensor(group, path, name, tensors[name])
        is_copy = layer == _TIED_HEAD and not name.startswith(f"{_TIED_HEAD}.")
        if progress is not None and not is_copy:
            progress(tensors[name].nbytes)


def _write_tensor(group: h5py.Group, path: str, name: str, tensor: StoredTensor) -> None:
    row = find_row(name)
    if row is not None and row.transpose:
        tensor = tensor.transposed()
    dataset = group.create_dataset(path, tensor.shape, tensor.dtype)
    if tensor.nbytes:
        dataset[...] = np.ascontiguousarray(tensor.read())


def _write_names(group: Any, name: str, values: list[str]) -> None:
    """Write a list of names as Keras does: in as many attributes as it takes to keep each below 64 kB."""
    encoded = [value.encode() for value in values]
    width = max((len(value) for value in encoded), default=0)
    parts = 1
    while -(-len(encoded) // parts) * width > MAX_ATTRIBUTE_BYTES:
        parts += 1
    if parts == 1:
        group.attrs[name] = encoded
        return
    for index, part in enumerate(np.array_split(np.array(encoded, f"S{width}"), parts)):
        group.attrs[f"{name}{index}"] = part
