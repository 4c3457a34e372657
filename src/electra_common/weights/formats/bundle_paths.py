"""Finding a TensorFlow checkpoint: which prefix a path, a folder or the text file ``checkpoint`` means."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.leveldb_table import FOOTER_BYTES, looks_like_table

V1_REFUSAL: Final = "a checkpoint of TensorFlow's format V1, which is not supported; save it again with a V2 Saver"

_STATE_BYTES: Final = 1 << 16
_LATEST: Final = re.compile(rb'^model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
_ESCAPE: Final = re.compile(rb"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hexadecimal>[0-9a-fA-F]{1,2})|(?P<character>.))")
_NAMED_ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def index_of(prefix: Path) -> Path:
    """Return the path of the index of a bundle."""
    return prefix.with_name(f"{prefix.name}.index")


def is_bundle_index(path: Path) -> bool:
    """Whether a file ends like the index of a bundle."""
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - FOOTER_BYTES))
            return looks_like_table(stream.read(FOOTER_BYTES))
    except OSError:
        return False


def find_prefix(path: Path) -> Path | None:
    """Return the prefix of the bundle that a path means, or None if it means none.

    A path may be the prefix itself, its index or data file, or a folder. In a folder the text file ``checkpoint`` says
    which one is the latest; only the last part of the name in it is used, for it is often a path of another machine.

    Raises:
        CheckpointError: a folder has several indexes and nothing says which one is meant, or the file is of format V1.
    """
    if path.is_dir():
        return _prefix_in_folder(path)
    name = re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", path.name)
    if name and index_of(path.with_name(name)).is_file():
        return path.with_name(name)
    if path.suffix != ".index" and path.is_file() and is_bundle_index(path):
        raise CheckpointError(f"{path}: {V1_REFUSAL}")
    return None


def _prefix_in_folder(folder: Path) -> Path | None:
    latest = _latest_name(folder / "checkpoint")
    if latest is not None and index_of(folder / latest).is_file():
        return folder / latest
    found = sorted(item for item in folder.glob("*.index") if is_bundle_index(item))
    if len(found) > 1:
        names = ", ".join(item.stem for item in found)
        raise CheckpointError(f"{folder}: holds several checkpoints ({names}); give the path of one")
    return found[0].with_suffix("") if found else None


def _latest_name(file: Path) -> str | None:
    if not file.is_file():
        return None
    try:
        with open(file, "rb") as stream:
            match = _LATEST.search(stream.read(_STATE_BYTES))
    except OSError:
        return None
    path = os.fsdecode(_ESCAPE.sub(_unescape, match[1])) if match else ""
    # Both separators, for a path that was written on Windows; what is left cannot leave the folder.
    name = re.split(r"[/\\]", path)[-1]
    return name if name not in ("", ".", "..") else None


def _unescape(match: re.Match[bytes]) -> bytes:
    """Return what an escape of protocol buffers' text form stands for."""
    if match["octal"]:
        return bytes([int(match["octal"], 8) & 0xFF])
    if match["hexadecimal"]:
        return bytes([int(match["hexadecimal"], 16)])
    return _NAMED_ESCAPES.get(match["character"], match["character"])
