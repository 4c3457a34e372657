"""From a path to raw tensors: finds the file that holds weights and recognises its format by content, not by name.

In a folder the safest form is taken: safetensors, then the others; the order is that of ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from electra_common.config import ElectraConfig
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.bundle_paths import find_prefix
from electra_common.weights.formats.flax_msgpack import looks_like_flax_msgpack, read_flax_msgpack
from electra_common.weights.formats.keras_file import is_keras_file, read_keras_file
from electra_common.weights.formats.not_a_checkpoint import describe_impostor
from electra_common.weights.formats.npz import is_npz, read_npz
from electra_common.weights.formats.pytorch_bin import looks_like_pytorch_bin, read_pytorch_bin
from electra_common.weights.formats.safetensors import looks_like_safetensors, read_safetensors
from electra_common.weights.formats.shard_index import merge_shards, read_shard_index
from electra_common.weights.formats.tf1_bundle import read_bundle
from electra_common.weights.formats.tf2_object_graph import is_object_graph, read_object_graph
from electra_common.weights.formats.tf_h5 import looks_like_tf_h5, read_tf_h5
from electra_common.weights.joint_names import is_joint
from electra_common.weights.tensors import StoredTensor

Reader = Callable[..., tuple[dict[str, StoredTensor], dict[str, str]]]


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file, or of a set of shards, under the names they have there.

    ``set_aside`` are tensors that the format itself knows to be no weights, with what they are; ``config`` is the one
    that the file itself holds.
    """

    path: Path
    format: str
    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    set_aside: Mapping[str, str] = field(default_factory=dict)
    config: ElectraConfig | None = None


@dataclass(frozen=True)
class Format:
    """A file format: the names that its program gives its files, how it is recognised and how it is opened."""

    name: str
    file_names: tuple[str, ...]
    open: Callable[[Path, bool], WeightsFile]
    is_it: Callable[[Path, bytes], bool]


def _format(name: str, file_name: str, read: Reader, is_it: Callable[[Path, bytes], bool]) -> Format:
    """Return a format whose files hold tensors and nothing that need be known besides."""
    return Format(name, (file_name,), lambda path, verify: WeightsFile(path, name, *read(path, verify=verify)), is_it)


def _by_start(looks_like: Callable[[bytes], bool]) -> Callable[[Path, bytes], bool]:
    return lambda path, start: looks_like(start)


def _open_safetensors(path: Path, verify: bool) -> WeightsFile:
    tensors, metadata = read_safetensors(path, verify=verify)
    return WeightsFile(path, JOINT if is_joint(tensors) else SAFETENSORS, tensors, metadata)


def _open_keras(path: Path, verify: bool) -> WeightsFile:
    found = read_keras_file(path, verify=verify)
    return WeightsFile(path, KERAS, found.tensors, set_aside=found.set_aside, config=found.config)


SAFETENSORS: Final = "safetensors"
JOINT: Final = "joint"
JOINT_FILE: Final = "joint.safetensors"  # not a name that transformers looks for: it would find no tensor it knows
KERAS: Final = "keras"
FORMATS: Final = (
    Format(SAFETENSORS, ("model.safetensors", JOINT_FILE), _open_safetensors, _by_start(looks_like_safetensors)),
    # Several forms are zip files or HDF5 files; those that can be told by what is in them come first.
    _format("npz", "model.npz", read_npz, lambda path, start: is_npz(path)),
    Format(KERAS, ("model.keras", "model.weights.h5"), _open_keras, is_keras_file),
    _format("bin", "pytorch_model.bin", read_pytorch_bin, _by_start(looks_like_pytorch_bin)),
    _format("flax", "flax_model.msgpack", read_flax_msgpack, _by_start(looks_like_flax_msgpack)),
    _format("h5", "tf_model.h5", read_tf_h5, _by_start(looks_like_tf_h5)),
)
# The names that are looked for in a folder, in this order.
WEIGHTS_NAMES: Final = tuple(
    name for item in FORMATS for file in item.file_names for name in (file, f"{file}.index.json")
)
# Beside a checkpoint of two networks, config.json describes the discriminator and this file the generator.
GENERATOR_CONFIG: Final = "generator_config.json"
TF1: Final = "tf1"
TF2: Final = "tf2"
_RECOGNISING_BYTES: Final = 16


def open_weights(path: Path, *, verify: bool) -> WeightsFile:
    """Find and open the weights that a path means: a file, a TensorFlow prefix, or a folder.

    Raises:
        CheckpointError: nothing is there, the format is not known, or the file is damaged.
    """
    found = _in_folder(path) if path.is_dir() else None
    prefix = find_prefix(path) if found is None else None  # an index and a data file mean their prefix
    if prefix is not None:
        return _open_bundle(prefix, verify)
    if found is None and path.is_file():
        found = path
    if found is not None:
        return _open_file(found, verify)
    names = ", ".join(name for item in FORMATS for name in item.file_names)
    expected = f"{names}, or a TensorFlow checkpoint (model.ckpt-N.index)"
    raise CheckpointError(f"{path}: no checkpoint found; expected {expected}{_inner_checkpoints(path)}")


def _in_folder(folder: Path) -> Path | None:
    """Return the weights file of a folder, by the names that transformers uses; shards come after the whole file."""
    return next((folder / name for name in WEIGHTS_NAMES if (folder / name).is_file()), None)


def _open_file(file: Path, verify: bool) -> WeightsFile:
    if file.name.endswith(".index.json"):
        return _open_shards(file, verify)
    return _recognise(file).open(file, verify)


def _recognise(file: Path) -> Format:
    try:
        with open(file, "rb") as stream:
            start = stream.read(_RECOGNISING_BYTES)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from None
    for item in FORMATS:
        if item.is_it(file, start):
            return item
    impostor = describe_impostor(file)
    if impostor is not None:
        raise CheckpointError(f"{file}: {impostor}")
    for item in FORMATS:
        if any(file.name.endswith(name[name.index(".") :]) for name in item.file_names):
            return item  # damaged, most likely; its reader says how
    raise CheckpointError(f"{file}: no known form of weights; known: {', '.join(item.name for item in FORMATS)}, tf1")


def _open_shards(index_file: Path, verify: bool) -> WeightsFile:
    index = read_shard_index(index_file)
    formats: list[str] = []

    def read(shard: Path) -> Mapping[str, StoredTensor]:
        opened = _recognise(shard).open(shard, verify)
        formats.append(opened.format)
        return opened.tensors

    # The index of an h5 checkpoint has the names with the model's in front, its files have them without.
    in_file = _without_first_part if index_file.name.startswith("tf_model") else None
    tensors = merge_shards(index, read, rename=in_file)
    return WeightsFile(index_file, formats[0] if formats else SAFETENSORS, tensors)


def _without_first_part(name: str) -> str:
    return name.partition("/")[2].removesuffix(":0")


def _open_bundle(prefix: Path, verify: bool) -> WeightsFile:
    tensors, skipped = read_bundle(prefix, verify=verify)
    if is_object_graph((*tensors, *skipped)):
        graph_tensors, set_aside = read_object_graph(prefix, verify=verify)
        weights = {name: tensor for name, tensor in graph_tensors.items() if name not in set_aside}
        return WeightsFile(prefix, TF2, weights, set_aside=set_aside)
    return WeightsFile(prefix, TF1, tensors)


def _inner_checkpoints(path: Path) -> str:
    """Say where checkpoints are, if they lie one folder deeper: that is what converting two networks leaves."""
    inner = [name for name in ("discriminator", "generator") if (path / name / "config.json").is_file()]
    return f"; there are some in its folders {' and '.join(inner)}" if inner else ""
