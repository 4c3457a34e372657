"""What the command line prints with: tables for people, JSON for machines, one line for what went wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from electra_common.terminal import CONTROL, printable


class SafeConsole(Console):
    """A console that shows texts as they are: what a file or a user wrote is neither obeyed nor turned into pictures.

    A ``rich.text.Text`` it prints as it was made: whoever makes one calls :func:`printable`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text for printing; rich calls it for all that it is given: lines, titles, cells of tables."""
        return super().render_str(printable(text), **options)


def make_console() -> Console:
    """Return a console on standard output, wide enough for whole names where no terminal sets the width."""
    return SafeConsole() if sys.stdout.isatty() else SafeConsole(width=140)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(values, indent=2))


def json_line(values: Mapping[str, Any]) -> str:
    """Return one JSON object in one line: letters as they are, control characters by their numbers."""
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(values, ensure_ascii=False))


def fail(error: BaseException | str) -> None:
    """Print an error as one line on standard error."""
    message = one_line(error) or type(error).__name__
    SafeConsole(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")


def one_line(message: object) -> str:
    """Return what a message says as one line that a terminal does not obey."""
    return printable(" ".join(str(message).split()))


def make_table(title: str, *columns: str) -> Table:
    """Return a table; columns whose name starts with ``#`` hold numbers and are aligned right."""
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    return table


class ReaderStoppedError(Exception):
    """Whoever read what is printed has stopped reading, such as ``head``."""


class _Output:
    """Standard output that tells a reader's end from that of any other pipe."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _told_apart():
            return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        with _told_apart():
            self._stream.writelines(lines)

    def flush(self) -> None:
        with _told_apart():
            self._stream.flush()


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderStoppedError from None


@contextmanager
def watched_output() -> Iterator[None]:
    """Within this block printing raises :class:`ReaderStoppedError` once nobody reads; what is left is then dropped.

    There is a standard output in it in any case: where it was closed before the program began, one that leads nowhere.
    """
    stream = sys.stdout
    if stream is None:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield
        return
    with redirect_stdout(cast("IO[str]", _Output(stream))):
        try:
            yield
        except ReaderStoppedError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise


@contextmanager
def byte_progress(label: str, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with (bytes done, bytes in all); draws a bar on a terminal only."""
    columns = TextColumn(label), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update


def human_count(number: int) -> str:
    """Return a count with thousands separators."""
    return f"{number:,}"
