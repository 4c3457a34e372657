"""Writing a checkpoint folder in any form: ``config.json`` and the weights as the named program would store them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from electra_common.config import ElectraConfig
from electra_common.weights.atomic import Content, write_files
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.npz import write_npz
from electra_common.weights.formats.pytorch_bin_writer import write_pytorch_bin
from electra_common.weights.formats.safetensors import write_safetensors
from electra_common.weights.formats.shard_index import index_file_name, index_json, plan_shards, shard_file_name
from electra_common.weights.formats.tf1_bundle_writer import bundle_files
from electra_common.weights.formats.tf_h5_writer import write_tf_h5
from electra_common.weights.google_names import google_tensors
from electra_common.weights.joint_names import joint_tensors
from electra_common.weights.names import (
    ARCHITECTURE_PARTS,
    BODY_PREFIX,
    COMPONENTS,
    GENERATOR,
    GENERATOR_ARCHITECTURES,
    TIED_VOCABULARY_WEIGHT,
    WORD_EMBEDDINGS,
)
from electra_common.weights.shapes import expected_shapes
from electra_common.weights.tensors import FLOATING_DTYPES, StoredTensor, widest_dtype
from electra_common.weights.weights_file import GENERATOR_CONFIG, JOINT_FILE, WEIGHTS_NAMES

Progress = Callable[[int], None] | None
Tensors = Mapping[str, StoredTensor]
Network = tuple[ElectraConfig, Tensors]
Writer = Callable[[BinaryIO, Tensors], None]

WRITABLE_FORMATS: Final = ("safetensors", "bin", "h5", "tf1", "npz", "joint")
_SHARDABLE_FORMATS: Final = ("safetensors", "bin", "joint")
TWO_NETWORK_FORMATS: Final = ("tf1", "joint")  # whose checkpoints may hold both networks
BUNDLE_PREFIX: Final = "model.ckpt-0"  # Google's Saver adds the training step; converted weights have none
# transformers looks at this entry and refuses files without it; "pt" also says how kernels lie: [output, input].
_METADATA: Final = {"format": "pt"}
_MOST_NAMES: Final = 4  # in an error; a model of which one layer is another has hundreds
_TAKE_OUT: Final = (
    "merge adapters into the weights, take out pruning and other parametrizations, and let the model's config say what "
    "it has"
)
_REMEDIES: Final = {
    "missing": _TAKE_OUT,
    "unexpected": _TAKE_OUT,
    "of another shape than in the config": "resize_token_embeddings of the whole model, not of its encoder alone, "
    "changes the vocabulary",
    "of a dtype that is not saved": f"convert the model to one of {', '.join(FLOATING_DTYPES)} first",
}


def check_format(format: str, max_shard_size: int | None = None) -> None:
    """Raise ValueError unless the format can be written, in shards if a size for them is given."""
    if format not in WRITABLE_FORMATS:
        raise ValueError(f"format must be one of {', '.join(WRITABLE_FORMATS)}, found {format!r}")
    if max_shard_size is not None and format not in _SHARDABLE_FORMATS:
        raise ValueError(f"format {format!r} is not written in shards; {', '.join(_SHARDABLE_FORMATS)} are")


def folder_files(
    config: ElectraConfig,
    tensors: Tensors,
    *,
    format: str = "safetensors",
    max_shard_size: int | None = None,
    progress: Progress = None,
) -> dict[str, Content]:
    """Return the files of a folder that holds one network, for :func:`electra_common.weights.atomic.write_files`."""
    architecture = (config.architectures or ("",))[0]
    files: dict[str, Content]
    if format in TWO_NETWORK_FORMATS:
        is_generator = architecture in GENERATOR_ARCHITECTURES
        networks = (None, tensors) if is_generator else (tensors, None)
        files = two_network_files(*networks, format=format, max_shard_size=max_shard_size, progress=progress)
    elif format == "h5":
        files = {
            "tf_model.h5": lambda stream: write_tf_h5(stream, tensors, architecture=architecture, progress=progress)
        }
    elif format == "npz":
        files = {"model.npz": lambda stream: write_npz(stream, tensors, progress=progress)}
    else:
        files = _torch_files(config, architecture, tensors, format, max_shard_size, progress)
    # The config last: a folder without one is not taken for a finished checkpoint.
    return {**files, "config.json": config.to_json().encode()}


def two_network_files(
    discriminator: Tensors | None,
    generator: Tensors | None,
    *,
    format: str,
    max_shard_size: int | None = None,
    progress: Progress = None,
) -> dict[str, Content]:
    """Return the files of a checkpoint of one network or both, without configs; ``format`` is Google's or joint."""
    if format == "tf1":
        return bundle_files(BUNDLE_PREFIX, google_tensors(discriminator, generator), progress=progress)
    tensors = joint_tensors(discriminator, generator)

    def write(stream: BinaryIO, part: Tensors) -> None:
        write_safetensors(stream, part, _METADATA, progress=progress)

    return _files(JOINT_FILE, tensors, max_shard_size, write)


def _torch_files(
    config: ElectraConfig,
    architecture: str,
    tensors: Tensors,
    format: str,
    max_shard_size: int | None,
    progress: Progress,
) -> dict[str, Content]:
    """Return the files that transformers' PyTorch classes open."""
    named = _without_prefix(tensors) if architecture == "ElectraModel" else tensors
    # A copy in a shard would have to stand in the index too; one file is where torch's habit has its place.
    shared = _shared(config, architecture) if max_shard_size is None else {}

    def write(stream: BinaryIO, part: Tensors) -> None:
        if format == "safetensors":
            write_safetensors(stream, part, _METADATA, progress=progress)
        else:
            write_pytorch_bin(stream, part, shared=shared, progress=progress)

    return _files("model.safetensors" if format == "safetensors" else "pytorch_model.bin", named, max_shard_size, write)


def _files(name: str, tensors: Tensors, max_shard_size: int | None, write: Writer) -> dict[str, Content]:
    """Return one file, or shards of at most so many bytes and their index."""
    shards = [list(tensors)] if max_shard_size is None else plan_shards(tensors, max_shard_size)
    if len(shards) == 1:
        return {name: _writing(write, tensors)}
    stem, suffix = Path(name).stem, Path(name).suffix
    names = [shard_file_name(stem, suffix, index, len(shards)) for index in range(1, len(shards) + 1)]
    files: dict[str, Content] = {
        file: _writing(write, {key: tensors[key] for key in shard}) for file, shard in zip(names, shards, strict=True)
    }
    total = sum(tensor.nbytes for tensor in tensors.values())
    return {**files, index_file_name(stem, suffix): index_json(shards, names, total).encode()}


def _writing(write: Writer, part: Tensors) -> Callable[[BinaryIO], None]:
    return lambda stream: write(stream, part)


def _shared(config: ElectraConfig, architecture: str) -> dict[str, str]:
    """Torch's own files name a tied projection as well, sharing the table's storage."""
    is_tied = architecture in GENERATOR_ARCHITECTURES and config.tie_word_embeddings
    return {TIED_VOCABULARY_WEIGHT: WORD_EMBEDDINGS} if is_tied else {}


def _without_prefix(tensors: Tensors) -> dict[str, StoredTensor]:
    """Transformers stores the bare encoder without ``electra.``."""
    return {name.removeprefix(BODY_PREFIX): tensor for name, tensor in tensors.items()}


def config_as_saved(config: ElectraConfig, architecture: str, tensors: Tensors) -> ElectraConfig:
    """Return the config to store with the tensors of a model: it names the class and the widest dtype.

    Args:
        config: the model's.
        architecture: the model's class, by the name that ``architectures`` uses.
        tensors: ``{canonical name: tensor}``, tied copies left out.

    Raises:
        CheckpointError: the tensors are not those of such a model, so that no class could load what would be saved.
    """
    if architecture not in ARCHITECTURE_PARTS:
        raise CheckpointError(
            f"no checkpoint holds an {architecture}: save the model that it is part of, or one of the usual classes"
        )
    expected = expected_shapes(config, architecture)
    both = sorted(expected.keys() & tensors.keys())
    problems = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape than in the config": [name for name in both if tensors[name].shape != expected[name]],
        "of a dtype that is not saved": [name for name in both if tensors[name].dtype not in FLOATING_DTYPES],
    }
    found = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if found:
        remedies = dict.fromkeys(_REMEDIES[kind] for kind, names in problems.items() if names)
        raise CheckpointError(
            f"this {architecture} could not be loaded again if it were saved: {'; '.join(found)}; {'; '.join(remedies)}"
        )
    dtype = widest_dtype(tensor.dtype for tensor in tensors.values())
    return config.replace(architectures=(architecture,), dtype=dtype)


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _MOST_NAMES else [*names[:_MOST_NAMES], "…"])


def save_folder(folder: str | Path, config: ElectraConfig, tensors: Tensors, *, format: str = "safetensors") -> None:
    """Write one network into a folder; each file is complete or as it was before.

    Args:
        folder: made if it does not exist; files of other names in it stay.
        config: the network's config; its ``architectures`` say which class the tensors belong to.
        tensors: ``{canonical name: tensor}``, tied copies left out.
        format: one of :data:`WRITABLE_FORMATS`.

    Raises:
        CheckpointError: the folder cannot be written, holds weights of another form that would be read in place of
            these, or the format has no place for a tensor.
        ValueError: the format is not known.
    """
    check_format(format)
    files = folder_files(config, tensors, format=format)
    _check_taken(Path(folder), files)
    write_files(Path(folder), files)


def save_two_networks(
    folder: str | Path,
    discriminator: Network | None,
    generator: Network | None,
    *,
    format: str = "joint",
) -> None:
    """Write both networks of a pre-training run into one folder; each file is complete or as it was before.

    Args:
        folder: made if it does not exist; files of other names in it stay.
        discriminator: its config, written as ``config.json``, and ``{canonical name: tensor}``; None if there is none.
        generator: its config, written as ``generator_config.json`` beside a discriminator's, and its tensors. What is
            the same as in the discriminator, bit for bit, is stored once: embeddings, or all but the head.
        format: one of :data:`TWO_NETWORK_FORMATS`.

    Raises:
        CheckpointError: as of :func:`save_folder`.
        ValueError: the format does not hold two networks, or there is none.
    """
    if format not in TWO_NETWORK_FORMATS:
        raise ValueError(f"two networks go into one checkpoint of {' or '.join(TWO_NETWORK_FORMATS)}, found {format!r}")
    tensors = (None if network is None else network[1] for network in (discriminator, generator))
    files = two_network_files(*tensors, format=format)
    _check_taken(Path(folder), files)
    given = {name: network for name, network in zip(COMPONENTS, (discriminator, generator), strict=True) if network}
    configs = {
        component_config_name(name, together=len(given) > 1): config.to_json().encode()
        for name, (config, _) in given.items()
    }
    write_files(Path(folder), {**files, **configs})


def _check_taken(folder: Path, files: Mapping[str, Content]) -> None:
    """Refuse to write weights beside others that a reader would take first: the new ones would be lost in silence."""
    for name in WEIGHTS_NAMES:
        if name in files:
            return
        if (folder / name).exists():
            new = ", ".join(file for file in files if file != "config.json")
            raise CheckpointError(
                f"{folder}: holds {name}, which is read before {new}; save into another folder, or remove it first"
            )


def component_config_name(component: str, *, together: bool) -> str:
    """Return the file name of a network's config; two networks of one checkpoint have one each."""
    return GENERATOR_CONFIG if together and component == GENERATOR else "config.json"
