"""Lines of text files, plain or compressed, one after the other in little memory."""

from __future__ import annotations

import gzip
import lzma
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

STANDARD_INPUT: Final = "-"
_BOM: Final = b"\xef\xbb\xbf"

Progress = Callable[[int], None]


@contextmanager
def _open(path: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Give the stream of the text's bytes, and the one that tells how far into the file that is."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with open(path, "rb") as raw:
        suffix = Path(path).suffix
        if suffix == ".gz":
            with gzip.open(raw) as stream:
                yield stream, raw  # type: ignore[misc]
        elif suffix == ".xz":
            with lzma.open(raw) as stream:
                yield stream, raw
        else:
            yield raw, raw


def read_lines(path: str | Path, progress: Progress | None = None) -> Iterator[str]:
    """Yield the lines of a file without their ends; ``-`` is standard input, ``.gz`` and ``.xz`` are unpacked.

    Args:
        path: the file. Text must be UTF-8; a byte order mark in front is skipped.
        progress: called now and then with the position in the file, in bytes.

    Raises:
        ValueError: the file cannot be read or a line is not UTF-8; names file and line.
    """
    try:
        with _open(str(path)) as (stream, raw):
            for number, line in enumerate(stream, 1):
                try:
                    text = (line.removeprefix(_BOM) if number == 1 else line).decode("utf-8")
                except UnicodeDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not UTF-8 at byte {error.start} of the line") from None
                yield text.rstrip("\r\n")
                if progress is not None and number % 1024 == 0:
                    progress(raw.tell())
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_files(paths: Sequence[str], progress: Progress | None = None) -> Iterator[str]:
    """Yield the lines of several files; ``progress`` is told the position in all of them together.

    Raises:
        ValueError: as :func:`read_lines`.
    """
    done = 0
    for path in paths:
        told = None if progress is None else partial(_told, progress, done)
        yield from read_lines(path, told)
        done += 0 if path == STANDARD_INPUT else Path(path).stat().st_size
        if progress is not None:
            progress(done)


def _told(progress: Progress, before: int, place: int) -> None:
    progress(before + place)


def total_bytes(paths: Sequence[str]) -> int:
    """Return the size of some files on disk; 0 where standard input is one of them.

    Raises:
        ValueError: a file is not there.
    """
    if STANDARD_INPUT in paths:
        return 0
    for path in paths:
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such file")
    return sum(Path(path).stat().st_size for path in paths)
