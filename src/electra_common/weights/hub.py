"""From a name to a folder: local paths stay what they are, other names are fetched from the Hugging Face Hub.

One form of the weights is downloaded, the safest there is; tokens, endpoint, cache and offline mode are those of
``huggingface_hub``, which is imported only when a name is not a local path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.bundle_paths import find_prefix
from electra_common.weights.weights_file import FORMATS, GENERATOR_CONFIG

_REPOSITORY: Final = re.compile(r"^[\w.-]+/[\w.-]+$")
# Safest first: safetensors holds nothing but tensors; of the others none is executed, but more of each must be parsed.
_WEIGHTS: Final = tuple(name for item in FORMATS for name in item.file_names)
# A tokenizer has one of them, or both.
VOCABULARY_FILES: Final = ("vocab.txt", "tokenizer.json")
TOKENIZER_FILES: Final = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_BESIDE_WEIGHTS: Final = ("config.json", GENERATOR_CONFIG, *TOKENIZER_FILES)


def resolve_path(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    only: Sequence[str] = (),
) -> Path:
    """Return the local path of a checkpoint, downloading it where it is the name of a repository.

    Args:
        name_or_path: a folder, a file, a TensorFlow prefix, or ``owner/name`` on the Hub.
        revision: branch, tag or commit on the Hub; refused for local paths.
        cache_dir: where downloads are kept; by default where ``huggingface_hub`` keeps them.
        local_files_only: never ask the network.
        only: the files to fetch, instead of weights and what lies beside them.

    Raises:
        CheckpointError: no such path or repository, or it cannot be fetched.
        ValueError: ``revision`` for a local path.
    """
    path = Path(name_or_path)
    if path.exists() or (path.name not in ("", "..") and find_prefix(path) is not None):
        if revision is not None:
            raise ValueError(f"revision {revision!r} means nothing for the local path {path}")
        return path
    is_path = path.parent in (Path(), Path(".."))
    if isinstance(name_or_path, Path) or is_path or not _REPOSITORY.match(name_or_path):
        raise CheckpointError(f"{path}: no such file or folder, nor a name on the Hub (owner/name)")
    # A name in a folder that exists is taken for a path with a slip in it, and no reason to ask the network.
    if path.parent.is_dir():
        raise CheckpointError(
            f"{path}: no such file or folder in the folder {path.parent} that is here; "
            "if a name on the Hub is meant, rename the folder, or start in another one"
        )
    options = {"revision": revision, "cache_dir": cache_dir}
    try:
        if only:
            return _fetch(name_or_path, options, only, local_files_only)
        return _from_cache(name_or_path, options) if local_files_only else _download(name_or_path, options)
    except Exception as error:  # the client raises its own errors, its HTTP library's, and OSError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{name_or_path}: no such file or folder, and it cannot be fetched from the Hub: {reason}"
        ) from None


def _fetch(name: str, options: dict[str, Any], files: Sequence[str], local_files_only: bool) -> Path:
    """Return a folder with those of some files that a repository has; the cached one where there is no network."""
    import huggingface_hub

    return Path(
        huggingface_hub.snapshot_download(
            name, **options, local_files_only=local_files_only, allow_patterns=list(files)
        )
    )


def _from_cache(name: str, options: dict[str, Any]) -> Path:
    """Return the cached folder that holds the safest form of the weights; the client's error if there is none."""
    import huggingface_hub

    failure: Exception | None = None
    for weights in _WEIGHTS:
        # The client refuses a snapshot that lacks a file it knows of, so each form is asked for by itself.
        patterns = [*_BESIDE_WEIGHTS, *_files_of(weights)]
        try:
            folder = Path(
                huggingface_hub.snapshot_download(name, **options, local_files_only=True, allow_patterns=patterns)
            )
        except huggingface_hub.errors.LocalEntryNotFoundError as error:
            failure = failure or error
            continue
        if any((folder / file).exists() for file in _files_of(weights)):
            return folder
    raise failure or CheckpointError("the cache holds no weights of it in a known form")


def _files_of(weights: str) -> tuple[str, str, str]:
    """Return the name of one form's file, of its index, and the pattern of its shards."""
    stem, _, suffix = weights.rpartition(".")
    return weights, f"{weights}.index.json", f"{stem}-*-of-*.{suffix}"


def _download(name: str, options: dict[str, Any]) -> Path:
    """Download what is wanted; without a network, take what the cache has."""
    import huggingface_hub

    try:
        # Not list_repo_files, which asks again and again for 23 seconds before it says that there is no network.
        siblings = huggingface_hub.HfApi().model_info(name, revision=options["revision"]).siblings or []
    except (huggingface_hub.errors.RepositoryNotFoundError, huggingface_hub.errors.RevisionNotFoundError):
        raise
    except Exception:
        with suppress(Exception):  # the first error says more than "not in the cache"
            return _from_cache(name, options)
        raise
    return Path(
        huggingface_hub.snapshot_download(
            name, **options, allow_patterns=wanted_files(item.rfilename for item in siblings)
        )
    )


def wanted_files(names: Iterable[str]) -> list[str]:
    """Return which files of a repository to download: one form of the weights, and the small files beside it.

    Raises:
        CheckpointError: the repository has no weights in a known form.
    """
    present = set(names)
    small = [name for name in _BESIDE_WEIGHTS if name in present]
    for weights in _WEIGHTS:
        whole, index, shards = _files_of(weights)
        if whole in present:
            return [*small, whole]
        if index in present:
            return [*small, index, shards]
    found = ", ".join(sorted(present)[:8]) or "no files"
    raise CheckpointError(f"no weights among its files ({found}); expected one of {', '.join(_WEIGHTS)}")
