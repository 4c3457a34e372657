"""``electra pretrain prepare``: text files to a folder of examples."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from electra_common.cli.console import human_count, make_console, print_json
from electra_common.cli.tokenize import load
from electra_common.pretraining.documents import SPLITS, ReadingOptions, Source
from electra_common.pretraining.preparation import Progress as Done
from electra_common.pretraining.preparation import Report, prepare_corpus
from electra_common.pretraining.segments import SegmentOptions
from electra_common.terminal import printable

_SECONDS_BETWEEN_LINES: Final = 10.0


def pretrain_prepare(
    corpus: list[str],
    *,
    out: Path,
    tokenizer: str | None,
    segments: SegmentOptions,
    reading: ReadingOptions,
    held_out_files: list[str],
    repeats: list[str],
    shard_bytes: int,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Prepare a corpus and print what it holds."""
    sources = _sources(corpus, held_out_files, repeats)
    started = time.perf_counter()
    with _progress(shown=not as_json) as report:
        manifest = prepare_corpus(
            sources,
            out,
            load(tokenizer, in_python=False),
            segments=segments,
            reading=reading,
            shard_bytes=shard_bytes,
            workers=_workers(workers),
            overwrite=overwrite,
            report=report,
        )
    seconds = time.perf_counter() - started
    counts = manifest.counts()
    if as_json:
        size = sum(shard.bytes for shard in manifest.shards)
        print_json({"folder": str(out), "splits": counts, "shards": len(manifest.shards), "bytes": size,
                    "vocabulary": manifest.vocabulary, "seconds": seconds})  # fmt: skip
        return 0
    console = make_console()
    for split in SPLITS:
        if counts[split]["examples"]:
            numbers = ", ".join(f"{human_count(value)} {name}" for name, value in counts[split].items())
            console.print(f"{split}: {numbers}", markup=False, soft_wrap=True)
    shards = len(manifest.shards)
    told = f"{shards} {'shard' if shards == 1 else 'shards'} in {printable(str(out))}"
    console.print(told, markup=False, soft_wrap=True)
    return 0


def _sources(corpus: list[str], held_out_files: list[str], repeats: list[str]) -> list[Source]:
    """Return the files of a corpus, those to hold out last: they are not trained on, be they named twice."""
    held_out = {_place(path) for path in held_out_files}
    times = _times({_place(path) for path in corpus} - held_out, repeats)
    sources = [Source(path, repeat=times.get(_place(path), 1)) for path in corpus if _place(path) not in held_out]
    if not sources:
        raise ValueError("--held-out-file: all files of the corpus are held out, and none is left to train on")
    return [*sources, *(Source(path, is_held_out=True) for path in held_out_files)]


def _place(path: str) -> Path:
    """Return what is the same for a file under all of its names."""
    return Path(os.path.realpath(path))


def _times(trained_on: set[Path], repeats: list[str]) -> dict[Path, int]:
    times: dict[Path, int] = {}
    for text in repeats:
        path, _, number = text.rpartition("=")
        if _place(path) not in trained_on or not number.isdecimal() or int(number) < 1:
            raise ValueError(f"--repeat: expected FILE=TIMES, FILE being one to train on; found {text!r}")
        if _place(path) in times:
            raise ValueError(f"--repeat: given twice for {path}; say once how often it is read")
        times[_place(path)] = int(number)
    return times


def _workers(asked: int | None) -> int:
    """Return how many processes to use: more than there are processors would only take memory."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked is not None and asked > processors:
        warnings.warn(f"--workers {asked}: {processors} are used, one for each processor", stacklevel=2)
    return min(asked or processors, processors)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Report]:
    """Give a function to report to: a bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("preparing", total=None, speed="")
        lines = _Lines()

        def report(done: Done) -> None:
            line = lines.line(done)
            what = "checksums" if done.is_checking else "preparing"
            bar.update(task, description=what, completed=done.bytes_done, total=done.bytes_in_all, speed=lines.speed)
            if line and shown and not console.is_terminal:
                print(line, file=sys.stderr, flush=True)

        yield report


class _Lines:
    """What to tell of a preparation where there is no terminal: a line every few seconds."""

    def __init__(self) -> None:
        self._started = self._told = time.perf_counter()
        self._first: int | None = None
        self.speed = ""

    def line(self, done: Done) -> str | None:
        """Return a line, or None if it is not time yet."""
        now = time.perf_counter()
        if done.is_checking:
            self._started = now  # speed and time left are those of preparing alone
            return f"checksums: {done.bytes_done / done.bytes_in_all:.0%}" if self._is_time(now) else None
        seconds = now - self._started
        if self._first is None:  # the blocks before were finished by an earlier run
            self._first = done.bytes_done
        self.speed = f"{done.tokens / seconds:,.0f} tokens/s"
        if done.bytes_done == self._first or not self._is_time(now):
            return None
        left = seconds * (done.bytes_in_all - done.bytes_done) / (done.bytes_done - self._first)
        share = done.bytes_done / done.bytes_in_all
        return f"{share:.0%}, {done.tokens:,} tokens, {self.speed}, {left:.0f} s left"

    def _is_time(self, now: float) -> bool:
        if now - self._told < _SECONDS_BETWEEN_LINES:
            return False
        self._told = now
        return True
