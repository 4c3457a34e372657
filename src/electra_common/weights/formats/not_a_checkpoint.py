"""What a file is that should hold weights and does not: downloads that went wrong, mostly.

For error messages only. Nothing here decides whether a file is a checkpoint: the readers do, and are asked first.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Final

START_BYTES: Final = 4096

_AGAIN: Final = "download it again"
# github.com/git-lfs/git-lfs docs/spec.md; the second address is that of its first releases.
_LFS_POINTERS: Final = (b"version https://git-lfs.github.com/spec/v1", b"version https://hawser.github.com/spec/v1")
_LFS_SIZE: Final = re.compile(rb"^size ([0-9]{1,18})$", re.MULTILINE)
_ARCHIVES: Final = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar",
}  # fmt: skip
_TAR_MAGIC_AT: Final = 257  # POSIX ustar
_ZIP_MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06")
# What torch.save puts into its archives, each behind one folder's name.
_TORCH_MEMBER: Final = re.compile(
    r"^[^/]+/(data\.pkl|constants\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/.+|data/.+|code/.+)$"
)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def describe_impostor(path: Path) -> str | None:
    """Say what a file is that is no weights, with the remedy, to follow "it is"; None if nobody knows.

    Reads at most 4 kB and raises nothing: a file that cannot be read is not described.
    """
    try:
        if not path.is_file():  # a folder has no start, and opening a pipe would wait for ever
            return None
        with open(path, "rb") as stream:
            start = stream.read(START_BYTES)
    except (OSError, ValueError):
        return None
    return describe_start(start)


def describe_start(start: bytes) -> str | None:
    """Say what a file that begins so is, as :func:`describe_impostor` does.

    Args:
        start: its first 4 kB, or the whole of a shorter one.
    """
    if not start:
        return f"an empty file; {_AGAIN}"
    if start.startswith(_LFS_POINTERS):
        return _lfs_pointer(start)
    if len(start) >= 8 and not any(start):
        return f"nothing but zeros, as a download leaves that was broken off; {_AGAIN}"
    return _archive(start) or _text(start)


def _lfs_pointer(start: bytes) -> str:
    size = _LFS_SIZE.search(start)
    stands_for = f" for {int(size[1])} bytes" if size else ""
    return f"a Git-LFS pointer{stands_for}, not the file itself; run 'git lfs pull' in its folder"


def _archive(start: bytes) -> str | None:
    kind = next((name for magic, name in _ARCHIVES.items() if start.startswith(magic)), None)
    if start[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        kind = "tar"
    if start.startswith(_ZIP_MAGICS) and not _is_zip_of_weights(start):
        kind = "zip"
    return f"an archive ({kind}); unpack it and give what is in it" if kind else None


def _is_zip_of_weights(start: bytes) -> bool:
    """Whether the first member is one of ``torch.save``'s or an array of numpy's."""
    if len(start) < 30 or start.startswith(b"PK\x05\x06"):
        return False
    (length,) = struct.unpack_from("<H", start, 26)
    name = start[30 : 30 + length].decode("utf-8", "replace")
    return name.endswith(".npy") or _TORCH_MEMBER.match(name) is not None


def _text(start: bytes) -> str | None:
    text = _decode(start.removeprefix(_BYTE_ORDER_MARK))
    if text is None:
        return None
    bare = text.lstrip()
    if re.search(r"<!doctype html|<html\b", bare[:1000], re.IGNORECASE):
        return f"an HTML page, such as a server shows instead of a file; {_AGAIN}"
    if bare.startswith("<?xml"):
        return f"XML text, such as a server's error message; {_AGAIN}"
    if bare.startswith(("{", "[")):
        return "JSON text, which holds no weights; give the file with the weights, or the folder, or download it again"
    return f"plain text ({_excerpt(bare)}); {_AGAIN}"


def _decode(start: bytes) -> str | None:
    """Return the text, or None if these bytes are none: not UTF-8, or with other control characters than line ends."""
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(start) < START_BYTES - 3 or error.start < len(start) - 3:  # not merely a character cut in two
            return None
        text = start[: error.start].decode("utf-8")
    return text if all(character.isprintable() or character in "\t\n\r\f" for character in text) else None


def _excerpt(text: str) -> str:
    line = " ".join(text[:200].split())
    if len(line) > 40:
        line = f"{line[:40]}…"
    return f'"{line}"' if line else "blank"
