"""From a name to a folder: local paths stay what they are, other names are fetched from the Hugging Face Hub.

``huggingface_hub`` is imported only when a name is not a local path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.bundle_paths import find_prefix

_REPOSITORY: Final = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_WANTED_FILES: Final = [
    "config.json",
    "model.safetensors",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
]


def resolve_path(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Return the local path of a checkpoint, downloading it where it is the name of a repository.

    Args:
        name_or_path: a folder, a file, a TensorFlow prefix, or ``owner/name`` on the Hub.
        revision: branch, tag or commit on the Hub; refused for local paths.
        cache_dir: where downloads are kept; by default where ``huggingface_hub`` keeps them.
        local_files_only: never ask the network.

    Raises:
        CheckpointError: no such path or repository, or it cannot be fetched.
        ValueError: ``revision`` for a local path.
    """
    path = Path(name_or_path)
    if path.exists() or (path.name not in ("", "..") and find_prefix(path) is not None):
        if revision is not None:
            raise ValueError(f"revision {revision!r} means nothing for the local path {path}")
        return path
    if isinstance(name_or_path, Path) or not _REPOSITORY.match(name_or_path) or name_or_path.startswith("."):
        raise CheckpointError(f"{path}: no such file or folder")
    return _download(name_or_path, revision, cache_dir, local_files_only)


def _download(name: str, revision: str | None, cache_dir: str | Path | None, local_files_only: bool) -> Path:
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            allow_patterns=_WANTED_FILES,
        )
    except Exception as error:  # the client raises its own errors, its HTTP library's, and OSError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{name}: no such file or folder, and it cannot be fetched from the Hub: {reason}"
        ) from None
    return Path(folder)
