"""Preparing a corpus beside Google's algorithm on transformers' tokenizer: tokens a second, in fresh processes.

All count the same tokens, those of the text, whatever becomes of them; Google's algorithm throws some away. Packages
are imported before the clock starts; processes that a side begins are counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import google_preparation
from benchmarks.measure import ratios
from electra_common.text_files import read_lines

OURS, OURS_GOOGLE = "electra pretrain prepare", "the same, --segments google"
PEER, PEER_BATCHED = "transformers, line by line", "transformers, a thousand lines at once"
KINDS: Final = (OURS, OURS_GOOGLE, PEER, PEER_BATCHED)


@dataclass
class Prepared:
    """Runs of one program: wall's and processors' seconds of each, tokens of the text."""

    kind: str
    processes: int
    tokens: int = 0
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    def speedups(self, peer: Prepared) -> dict[str, tuple[float, float, float]]:
        """Return how many times as fast as a peer this is, by either clock: least, median, greatest."""
        return {
            "wall": ratios(peer.seconds, self.seconds),
            "processors": ratios(peer.processor_seconds, self.processor_seconds),
        }


def measure_preparation(corpus: Path, folder: Path, vocabulary: Path, *, megabytes: int, rounds: int) -> list[Prepared]:
    """Measure all programs with one process and with two over the first megabytes of a corpus."""
    parts = split_corpus(corpus, folder, megabytes)
    results = [Prepared(kind, processes) for processes in (1, 2) for kind in KINDS]
    for turn in range(rounds):
        for result in results:
            out = folder / f"{turn}-{results.index(result)}"
            out.mkdir()
            files = [parts[0]] if result.processes == 1 else parts[1:]
            files = parts[:1] if result.kind in (OURS, OURS_GOOGLE) else files
            arguments = [result.kind, result.processes, vocabulary, out, *files]
            command = [sys.executable, "-m", "benchmarks.pretraining_data", *map(str, arguments)]
            run = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            result.seconds.append(run["seconds"])
            result.processor_seconds.append(run["processor_seconds"])
            result.tokens = run["tokens"] or next(item.tokens for item in results if item.kind == PEER)
    tokens = max(result.tokens for result in results)
    for result in results:
        result.tokens = tokens
    return results


def split_corpus(corpus: Path, folder: Path, megabytes: int) -> list[Path]:
    """Write the first megabytes of a corpus as one file, and the same documents as two files of like size."""
    whole, *halves = (folder / name for name in ("all.txt", "half-0.txt", "half-1.txt"))
    size = 0
    with open(whole, "w", encoding="utf-8") as all_lines, open(halves[0], "w") as first, open(halves[1], "w") as second:
        for line in read_lines(corpus):
            is_full = size >= megabytes << 20
            all_lines.write(line + "\n")
            # A document longer than a half is divided; to a program that sees lines it makes no difference.
            (first if size < megabytes << 19 else second).write(line + "\n")
            size += len(line.encode()) + 1
            if is_full:
                break
    return [whole, *halves]


def _run(kind: str, processes: int, vocabulary: str, out: Path, files: list[Path]) -> dict[str, Any]:
    if kind in (OURS, OURS_GOOGLE):
        from electra_common import ElectraTokenizerFast
        from electra_common.pretraining.documents import Source
        from electra_common.pretraining.preparation import prepare_corpus
        from electra_common.pretraining.segments import SegmentOptions

        tokenizer = ElectraTokenizerFast(vocabulary)
        segments = SegmentOptions(method="google" if kind == OURS_GOOGLE else "whole")
        started = _clocks()
        prepare_corpus(
            [Source(str(file)) for file in files], out / "corpus", tokenizer, segments=segments, workers=processes
        )
        tokens = 0
    else:
        from transformers import BertTokenizer

        BertTokenizer(vocabulary)
        started = _clocks()
        tokens = google_preparation.prepare(files, out, vocabulary, batched=kind == PEER_BATCHED)
    wall, processor = (now - then for now, then in zip(_clocks(), started, strict=True))
    return {"seconds": wall, "processor_seconds": processor, "tokens": tokens}


def _clocks() -> tuple[float, float]:
    """Return the wall's clock and the processors', ended processes included."""
    times = os.times()
    return time.perf_counter(), times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    kind, processes, vocabulary, out, *files = sys.argv[1:]
    print(json.dumps(_run(kind, int(processes), vocabulary, Path(out), [Path(file) for file in files])))
