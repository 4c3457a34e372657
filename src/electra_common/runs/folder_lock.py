"""Holding a folder, so that one program at a time writes to it; and refusing folders that lead elsewhere."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError

LOCK_FILE: Final = ".lock"
_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


@contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder that exists; the system lets go of it when this program ends, however it ends.

    Nothing is held where the system or its file system has no such locks.

    Args:
        folder: the lock is an empty file in it, which stays.
        what: writes here, for the error: ``"run"``.

    Raises:
        ValueError: another program holds it.
        CheckpointError: it cannot be locked.
    """
    descriptor = None if os.name == "nt" else _lock(folder, what)
    try:
        yield
    finally:
        if descriptor is not None:
            _unlock(descriptor)


def _lock(folder: Path, what: str) -> int | None:
    import fcntl

    path = folder / LOCK_FILE
    descriptor = None
    try:
        # What stands there is neither followed elsewhere nor emptied.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            told = f"{folder}: another {what} is writing here; wait for it, stop it, or choose another folder"
            raise ValueError(told) from None
        if error.errno not in _NO_LOCKS:
            raise CheckpointError(f"{path}: cannot be locked: {error.strerror or error}") from None
        warnings.warn(f"{folder}: not held against other programs: {error.strerror}", stacklevel=4)
        return None


def _unlock(descriptor: int) -> None:
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing it alone would not, where a forked process has it open too
    os.close(descriptor)


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise ValueError where one of the paths that a program writes to is a link, which might lead anywhere.

    Args:
        paths: in a folder that may come from anyone.
    """
    for path in paths:
        if path.is_symlink():
            raise ValueError(f"{path}: a link, which would be written through; put what it leads to in its place")
