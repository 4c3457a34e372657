"""Timing programs in turn, so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.subjects import Subject


@dataclass
class Measured:
    """The runs of one subject: seconds until it was done, and peak memory in MB."""

    subject: Subject
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


def run_in_turn(subjects: Sequence[Subject], rounds: int) -> dict[str, Measured]:
    """Run every subject once unmeasured, then ``rounds`` times in turn: A B C, A B C, and so on."""
    from tqdm import tqdm

    results = {subject.name: Measured(subject) for subject in subjects}
    with tqdm(total=(rounds + 1) * len(subjects), unit="run", disable=None) as bar:
        for turn in range(rounds + 1):
            for subject in subjects:
                seconds, megabytes = _run(subject)
                bar.update()
                if turn:
                    results[subject.name].seconds.append(seconds)
                    results[subject.name].megabytes.append(megabytes)
    return results


def _run(subject: Subject) -> tuple[float, float]:
    """Time from starting the process to its line "done"; what the interpreter does to end is not counted."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1", "KERAS_BACKEND": "tensorflow"}
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", subject.program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        kilobytes = process.stdout.readline()
    if line != "done\n":
        raise RuntimeError(f"{subject.name} failed; run it by hand:\n{subject.program}")
    return seconds, int(kilobytes) / 1024


def ratios(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return the least, median and greatest ratio, run by run."""
    pairs = sorted(a / b for a, b in zip(first, second, strict=True))
    return pairs[0], statistics.median(pairs), pairs[-1]
