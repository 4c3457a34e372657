"""Writing without ever leaving half a file: a temporary name, then sync, then rename."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from electra_common.weights.errors import CheckpointError

# Of renameat2(2): paths that are not absolute begin here; both names must exist, and change places.
_HERE, _EXCHANGE = -100, 2

# What a file of a folder holds: its bytes, or a function that writes them to an open stream.
Content = bytes | Callable[[BinaryIO], None]


def write_files(folder: Path, files: Mapping[str, Content]) -> None:
    """Write files into a folder, made if it does not exist.

    All are written and synced under temporary names before the first is renamed, so that an error or a kill while
    writing leaves what was there before. Files of other names in the folder are left alone.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    temporary: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            target = folder / name
            temporary[target] = folder / f".{name}.{secrets.token_hex(4)}.tmp"
            _write_and_sync(temporary[target], content)
        for target, written in temporary.items():
            os.replace(written, target)
        sync_folder(folder)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


def _write_and_sync(path: Path, content: Content) -> None:
    with open(path, "xb") as stream:
        if isinstance(content, bytes):
            stream.write(content)
        else:
            content(stream)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def new_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``target`` that takes its place when the block ends without an error.

    Raises:
        CheckpointError: the target holds files already and ``overwrite`` is off, it is a file or a link, this program
            runs in it, or it cannot be written; or the system has refused the block a file elsewhere, which is then
            named instead of the target.
    """
    _check_target(target, overwrite=overwrite)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        with _naming_files_outside(temporary):
            yield temporary
        _exchange(temporary, target)
    except OSError as error:
        raise CheckpointError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_target(target: Path, *, overwrite: bool) -> None:
    if _is_run_in(target):
        raise CheckpointError(f"{target}: this program runs in it, so it cannot be replaced; choose another folder")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        what = "a link" if target.is_symlink() else "no folder"
        raise CheckpointError(f"{target}: exists already and is {what}, so it is not replaced; choose another name")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise CheckpointError(f"{target}: exists already; choose another name or ask to overwrite it")


def holds(outer: Path, inner: Path) -> bool:
    """Whether a folder is another one or around it, however their paths are spelled."""
    absolute = inner.absolute()
    return any(_is_same(outer, item) for item in (absolute, *absolute.parents))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one is not there, or may not be looked at
        return False


def _is_run_in(folder: Path) -> bool:
    try:
        return holds(folder, Path.cwd())
    except FileNotFoundError:  # the working folder is gone
        return False


@contextmanager
def _naming_files_outside(folder: Path) -> Iterator[None]:
    """Make errors of the system about files that are not in a folder CheckpointErrors that name them."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if not isinstance(name, str) or Path(os.path.realpath(name)).is_relative_to(os.path.realpath(folder)):
            raise
        raise CheckpointError(f"{name}: {error.strerror or error}") from None


def _exchange(temporary: Path, target: Path) -> None:
    """Put a finished folder in the place of another, in one step where the system has it.

    Elsewhere the old one is moved aside first: a kill between the two renames leaves it under a name that ends in
    ``.old``, never both gone.
    """
    sync_folder(temporary)
    old = target.with_name(f"{temporary.name}.old")
    if target.is_dir() and swap_names(temporary, target):
        os.replace(temporary, old)
    else:
        _move_aside(temporary, target, old)
    sync_folder(target.parent)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def _move_aside(temporary: Path, target: Path, old: Path) -> None:
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise


def swap_names(first: Path, second: Path) -> bool:
    """Let two files or folders change names in one step; False where the system or its file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    outcome = rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE)
    return int(outcome) == 0


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
