"""Holding a folder, so that one program at a time writes to it; and refusing folders that lead elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError

LOCK_FILE: Final = ".lock"


@contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder that exists; the system lets go of it when this program ends, however it ends.

    Nothing is held where the system has no such locks (Windows).

    Args:
        folder: the lock is an empty file in it, which stays.
        what: writes here, for the error: ``"run"``.

    Raises:
        ValueError: another program holds it.
        CheckpointError: it cannot be locked.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    path = folder / LOCK_FILE
    descriptor = None
    try:
        # What stands there is neither followed elsewhere nor emptied.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            told = f"{folder}: another {what} is writing here; wait for it, stop it, or choose another folder"
            raise ValueError(told) from None
        raise CheckpointError(f"{path}: cannot be locked: {error.strerror or error}") from None
    try:
        yield
    finally:
        os.close(descriptor)


def refuse_links(folder: Path) -> None:
    """Raise ValueError where a folder, which may come from anywhere, holds a link: writing would follow it."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (path := Path(place, name)).is_symlink():
                raise ValueError(f"{path}: a link, which would be written through; put a copy in its place")
