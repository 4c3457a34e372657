"""The SHA-256 of files, by which they are known whatever their names; of weights it is ``weights/fingerprint.py``."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


def hash_file(path: Path, told: Callable[[int], object] = lambda place: None) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Args:
        path: of the file.
        told: called with how many bytes are read, as it goes.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with _ToldFile(path) as stream:
            stream.told = told
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None


class _ToldFile(io.FileIO):
    """A file that tells how far it is read."""

    told: Callable[[int], object]

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        self.told(self.tell())
        return count
