"""Writing a checkpoint folder that transformers opens: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from electra_common.config import ElectraConfig
from electra_common.weights.atomic import Content, write_files
from electra_common.weights.formats.safetensors import write_safetensors
from electra_common.weights.tensors import StoredTensor

WRITABLE_FORMATS: Final = ("safetensors",)
# transformers looks at this entry and refuses files without it; "pt" also says how kernels lie: [output, input].
_METADATA: Final = {"format": "pt"}
_BODY_PREFIX: Final = "electra."


def check_format(format: str) -> None:
    """Raise ValueError unless the format can be written."""
    if format not in WRITABLE_FORMATS:
        raise ValueError(f"format must be one of {', '.join(WRITABLE_FORMATS)}, found {format!r}")


def folder_files(
    config: ElectraConfig, tensors: Mapping[str, StoredTensor], *, progress: Callable[[int], None] | None = None
) -> dict[str, Content]:
    """Return the files of a folder that holds one network, for :func:`electra_common.weights.atomic.write_files`."""
    named = tensors if (config.architectures or ("",))[0] != "ElectraModel" else _without_prefix(tensors)

    def write(stream: BinaryIO) -> None:
        write_safetensors(stream, named, _METADATA, progress=progress)

    # The config last: a folder without one is not taken for a finished checkpoint.
    return {"model.safetensors": write, "config.json": config.to_json().encode()}


def _without_prefix(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Transformers stores the bare encoder without ``electra.``."""
    return {name.removeprefix(_BODY_PREFIX): tensor for name, tensor in tensors.items()}


def save_folder(
    folder: str | Path, config: ElectraConfig, tensors: Mapping[str, StoredTensor], *, format: str = "safetensors"
) -> None:
    """Write one network into a folder; each file is complete or as it was before.

    Args:
        folder: made if it does not exist; files of other names in it stay.
        config: the network's config; its ``architectures`` say which class the tensors belong to.
        tensors: ``{canonical name: tensor}``, tied copies left out.
        format: ``"safetensors"``.

    Raises:
        CheckpointError: the folder cannot be written.
        ValueError: the format is not known.
    """
    check_format(format)
    write_files(Path(folder), folder_files(config, tensors))
