"""What the command line prints with: tables for people, JSON for machines, one line for what went wrong."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table


def make_console() -> Console:
    """Return a console on standard output, wide enough for whole names where no terminal sets the width."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=140)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(values, indent=2))


def fail(error: BaseException) -> None:
    """Print an error as one line on standard error."""
    message = " ".join(str(error).split()) or type(error).__name__
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")


def make_table(title: str, *columns: str) -> Table:
    """Return a table; columns whose name starts with ``#`` hold numbers and are aligned right."""
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    return table


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


def printable(text: str) -> str:
    """Return a text with a sign in the place of each control character, which a terminal would obey."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def human_count(number: int) -> str:
    """Return a count with thousands separators."""
    return f"{number:,}"
