"""Lines of text files, plain or compressed, one after the other in little memory."""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

STANDARD_INPUT: Final = "-"
COMPRESSED: Final = (".gz", ".xz", ".zst")
# A longer line is no line of text, and would be held in memory whole.
MOST_LINE_BYTES: Final = 1 << 28
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
        elif suffix == ".zst":
            yield io.BufferedReader(_ZstdReader(raw, path)), raw
        else:
            yield raw, raw


def read_lines(path: str | Path, progress: Progress | None = None) -> Iterator[str]:
    """Yield the lines of a file without their ends; ``-`` is standard input; ``.gz``, ``.xz``, ``.zst`` are unpacked.

    Args:
        path: the file. Text must be UTF-8; a byte order mark in front is skipped.
        progress: called now and then with the position in the file, in bytes.

    Raises:
        ValueError: the file cannot be read or a line is not UTF-8; names file and line.
    """
    try:
        with _open(str(path)) as (stream, raw):
            for number, line in enumerate(iter(partial(stream.readline, MOST_LINE_BYTES), b""), 1):
                if len(line) == MOST_LINE_BYTES:
                    raise ValueError(f"{path}, line {number}: longer than {MOST_LINE_BYTES >> 20} MiB; is it text?")
                try:
                    text = (line.removeprefix(_BOM) if number == 1 else line).decode("utf-8")
                except UnicodeDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not UTF-8 at byte {error.start} of the line") from None
                yield text.rstrip("\r\n")
                if progress is not None and number % 1024 == 0:
                    progress(raw.tell())
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


class _ZstdReader(io.RawIOBase):
    """Unpacks Zstandard, frame after frame; unlike the package's own reader it knows a file that ends too early."""

    # The most that so many bytes can stand for is 64 MB, whatever they are.
    _BYTES_AT_ONCE: Final = 2048

    def __init__(self, raw: IO[bytes], path: str) -> None:
        try:
            import zstandard
        except ImportError:
            raise ValueError(
                f"{path}: unpacking .zst needs the package zstandard: pip install 'electra-dual[train]'"
            ) from None
        self._raw = raw
        self._context = zstandard.ZstdDecompressor()
        self._damage = zstandard.ZstdError
        self._frame = self._context.decompressobj()
        self._has_begun = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        while not self._ready:
            if not (packed := self._raw.read(self._BYTES_AT_ONCE)):
                if self._has_begun:
                    raise EOFError("the file ends in the middle of a Zstandard frame")
                return 0
            self._ready = memoryview(self._unpack(packed))
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, packed: bytes) -> bytes:
        result = []
        try:
            while packed:
                result.append(self._frame.decompress(packed))
                packed, self._has_begun = self._frame.unused_data, not self._frame.eof
                if self._frame.eof:
                    self._frame = self._context.decompressobj()
        except self._damage as error:
            raise OSError(f"damaged: {error}") from None
        return b"".join(result)


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
