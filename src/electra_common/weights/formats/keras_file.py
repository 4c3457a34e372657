"""Keras 3's own files, read without Keras: ``.weights.h5``, and ``.keras``, an archive of one and the model's config.

A group stands for each layer, nested as the attributes of the program are. Its member ``vars`` has the layer's name as
an attribute, and the layer's variables under their numbers. Read is the path through the layers' names, which for our
models is the path of the variables: ``model/electra/encoder/layer_0/attention/self/query/vars/1``. Of the config only
the one of ELECTRA is taken; nothing that it names is built. Written by Keras alone.

The archive has a CRC-32, checked when the first tensor is read; ``.weights.h5`` has none.

Source: ``keras/src/saving/saving_lib.py`` of Keras 3.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.config_json import MAX_CONFIG_BYTES, MODEL_TYPE
from electra_common.json_files import parse_json_object
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.hdf5 import SIGNATURE, Hdf5File
from electra_common.weights.formats.hdf5_tree import Attributes, walk
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.formats.zip_archive import Member, first_member_name, read_members
from electra_common.weights.tensors import Array, StoredTensor

_WEIGHTS: Final = "model.weights.h5"
_CONFIG: Final = "config.json"
_MEMBERS: Final = ("metadata.json", _CONFIG, _WEIGHTS)
_VARIABLES: Final = "vars"
_OPTIMIZER: Final = "optimizer"  # the attribute of a compiled model
OPTIMIZER_STATE: Final = "optimizer state"
_PIECE: Final = 1 << 24


@dataclass(frozen=True)
class KerasFile:
    """What a file holds: weights by the path of their layer and number, the rest with its reason, and the config."""

    tensors: Mapping[str, StoredTensor]
    set_aside: Mapping[str, str]
    config: ElectraConfig | None


def is_keras_file(path: Path, start: bytes) -> bool:
    """Whether a file is an archive of Keras's or an HDF5 file in Keras 3's layout."""
    file = MappedFile(path)
    if not start.startswith(SIGNATURE):
        return first_member_name(file) in _MEMBERS
    try:
        hdf5 = Hdf5File(file)
        return _VARIABLES in hdf5.links(hdf5.messages(hdf5.root))
    except CheckpointError:
        return False  # damaged; the reader of the other files of this kind says how


def read_keras_file(path: Path, *, verify: bool = True) -> KerasFile:
    """Return what a file holds.

    Args:
        path: the file.
        verify: check the archive's CRC-32 of the weights when the first of them is read; the config's always is.

    Raises:
        CheckpointError: the file is damaged, holds what Keras does not write, or a config that cannot be used.
    """
    file = MappedFile(path)
    try:
        if file.bytes(0, min(file.size, len(SIGNATURE))) == SIGNATURE:
            return KerasFile(*_read_weights(Hdf5File(file)), config=None)
        return _read_archive(file, verify)
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if message.startswith(str(path)) else f"{path}: {message}") from None


# The archive --------------------------------------------------------------------------------------------------------


def _read_archive(file: MappedFile, verify: bool) -> KerasFile:
    members = read_members(file)
    for name in (_CONFIG, _WEIGHTS):
        if name not in members:
            raise CheckpointError(f"an archive without {name}, so not one of Keras's")
        if members[name].is_compressed:
            raise CheckpointError(f"{name} is compressed; Keras stores members as they are")
    config = _read_config(file, members[_CONFIG])
    weights = members[_WEIGHTS]
    tensors, set_aside = _read_weights(Hdf5File(file.part(weights.offset, weights.stored)))
    if verify:
        check = _check_once(file, weights)
        tensors = {name: replace(tensor, read=_checked(check, tensor.read)) for name, tensor in tensors.items()}
    return KerasFile(tensors, set_aside, config)


def _read_config(file: MappedFile, member: Member) -> ElectraConfig | None:
    """Return the config that the model was made with, or None if it is no model of ours alone."""
    if member.size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{_CONFIG}: more than {MAX_CONFIG_BYTES} bytes, which no config of Keras's has")
    member.check(file)
    try:
        stored = parse_json_object(bytes(member.view(file)).decode("utf-8"))
        values = _inner(_inner(stored, "config"), "config")
        if values.get("model_type") != MODEL_TYPE:
            return None
        config = ElectraConfig.from_dict(values)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{_CONFIG}: {error}") from None
    name = stored.get("class_name")
    return config.replace(architectures=(name.removeprefix("TF"),)) if isinstance(name, str) else config


def _inner(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _check_once(file: MappedFile, member: Member) -> Callable[[], None]:
    """Return a check of a member's CRC-32 that runs once, before the first array of it is handed out."""
    checked = False

    def check() -> None:
        nonlocal checked
        if checked:
            return
        checksum = 0
        for start in range(0, member.stored, _PIECE):
            checksum = zlib.crc32(file.view(member.offset + start, min(_PIECE, member.stored - start)), checksum)
            file.release()
        member.compare_checksum(file, checksum)
        checked = True

    return check


def _checked(check: Callable[[], None], read: Callable[[], Array]) -> Callable[[], Array]:
    def read_checked() -> Array:
        check()
        return read()

    return read_checked


# The weights --------------------------------------------------------------------------------------------------------


def _read_weights(file: Hdf5File) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    attributes, datasets = walk(file)
    tensors: dict[str, StoredTensor] = {}
    set_aside: dict[str, str] = {}
    for path, tensor in datasets.items():
        group, _, number = path.rpartition("/")
        layer, _, variables = group.rpartition("/")
        if variables != _VARIABLES or not number.isascii() or not number.isdigit():
            raise CheckpointError(f"damaged: {path[:200]!r} is not where Keras stores a variable")
        if layer.split("/")[0] == _OPTIMIZER:
            set_aside[path] = OPTIMIZER_STATE
            continue
        name = f"{_layer_path(file, attributes, layer)}/{_VARIABLES}/{number}"
        if name in tensors:
            raise CheckpointError(f"damaged: two variables are called {name[:200]!r}")
        tensors[name] = tensor.renamed(name)
    return tensors, set_aside


def _layer_path(file: Hdf5File, attributes: Mapping[str, Attributes], layer: str) -> str:
    """Return the names of a layer and all around it; a list of layers is a group without a name of its own."""
    steps = layer.split("/") if layer else []
    names: list[str] = []
    for count in range(len(steps) + 1):
        group = "/".join([*steps[:count], _VARIABLES])
        name = attributes.get(group, {}).get("name")
        if name is not None:
            names += file.strings(name)[:1]
        elif group in attributes:
            names += steps[count - 1 : count]
    return "/".join(names)
