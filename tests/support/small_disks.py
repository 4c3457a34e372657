"""A disk that is nearly full: a file system in memory, which any user's process may mount for itself alone."""

import ctypes
import os
import shutil
from pathlib import Path

from support.warm_processes import WarmProcess

NO_DISK = 77  # this system lets nobody mount anything
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_PAGE = 4096


def run_electra_on_small_disk(folder, spare, *arguments):
    """Run the command `electra` with a folder on a disk that has so many bytes left; return how it ended.

    What is then on the disk takes the folder's place. Where nothing can be mounted, the exit code is ``NO_DISK``.
    """
    return WarmProcess(_electra_on_small_disk, str(folder), spare, *map(str, arguments)).finish()


def _electra_on_small_disk(folder, spare, *arguments):
    from support.warm_processes import _electra

    folder, aside = Path(folder), Path(f"{folder}.aside")
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(-(-file.stat().st_size // _PAGE) * _PAGE for file in files) + spare
    folder.rename(aside)
    folder.mkdir()
    if not _mount(folder, size):
        folder.rmdir()
        aside.rename(folder)
        raise SystemExit(NO_DISK)
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    try:
        _electra(*arguments)
    finally:
        shutil.rmtree(aside)
        shutil.copytree(folder, aside)
        os.chdir("/")
        assert ctypes.CDLL(None).umount2(os.fsencode(folder), 2) == 0  # even if a file is still open
        folder.rmdir()
        aside.rename(folder)


def _mount(folder, size):
    """Mount a file system of so many bytes, for this process alone; return whether that could be done."""
    user, group, libc = os.getuid(), os.getgid(), ctypes.CDLL(None)
    if not hasattr(libc, "unshare") or libc.unshare(_NEW_USER | _NEW_MOUNTS):
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path("/proc/self", name).write_text(text)
    except OSError:
        return False
    return libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()) == 0
