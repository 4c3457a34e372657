"""Killing a run at random moments, again and again, until it has come to its end all the same.

`python -m support.killed_runs pt|tf pretraining|fine-tuning KILLS` (what `make check-kills` does) kills a run so many
times; the tests do it a few times.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from electra_common.runs.run_folder import list_checkpoints
from support.fine_tuning_runs import assert_same_weights, write_data, write_start
from support.fixtures import TESTS
from support.pretraining_runs import assert_same_bits, prepare_tiny_corpus

# The first step done says that compiling is over.
TELL = """
import importlib, sys
from pathlib import Path
family, data, out, length = sys.argv[1:]
data, out = Path(data), Path(out)
def tell(kind):
    finish_step, waiting = kind.finish_step, ["computing"]
    def told(run, step, tokens):
        if waiting:
            print(waiting.pop(), flush=True)
        finish_step(run, step, tokens)
    kind.finish_step = told
"""
# Dropout is on, and every few steps something is written.
PRETRAINING = """
from electra_common.pretraining.run import PretrainingRun
from support.pretraining_runs import tiny_settings
tell(PretrainingRun)
loop = importlib.import_module(f"electra_{family}.pretraining")
steps = int(length) * 60
settings = tiny_settings(data, out, f"steps={steps}", "dropout=0.1", save_every=7, evaluate_every=20)
loop.pretrain(settings, quiet=True)
"""
FINE_TUNING = """
from electra_common.tasks.run import FineTuningRun
from support.fine_tuning_runs import job_of
tell(FineTuningRun)
loop = importlib.import_module(f"electra_{family}.fine_tuning")
often = {"save_every": 3, "evaluate_every": 10, "resume": (out / "run.json").exists(), "seeds": (4, 9)}
job = job_of("tagging", data, data / "start", out, f"epochs={length}", "max_length=120", **often)
loop.fine_tune(job, quiet=True)
"""


@dataclass(frozen=True)
class Kind:
    """How runs of one kind are prepared, started, looked at and compared."""

    prepare: Callable[[str, Path], Path]
    worker: str
    written: Callable[[Path], str]
    compare: Callable[[Path, Path], None]


def last_checkpoint(run):
    """Return the name of a pre-training run's last checkpoint."""
    checkpoints = list_checkpoints(run)
    return checkpoints[-1].name if checkpoints else "before the first checkpoint"


def prepare_tags(family, folder):
    """Write sentences with tags, and a network to start from."""
    prefix = "TF" if family == "tf" else ""
    write_start(write_data(folder / "data") / "start", __import__(f"electra_{family}"), prefix)
    return folder / "data"


def seeds_and_checkpoints(out):
    """Say for each seed of a fine-tuning run which checkpoint it has, or that its result is there."""
    found = []
    for seed in sorted(out.glob("seed-*")):
        is_done = (seed / "result.json").exists()
        found.append(f"{seed.name} {'done' if is_done else last_checkpoint(seed)}")
    return ", ".join(found) or "before the first seed"


def assert_same_results(one, other):
    """Compare the models of all seeds bit by bit, and what they came to."""
    for seed in ("seed-4", "seed-9"):
        for kept in ("last", "best"):
            assert_same_weights(one / seed / kept, other / seed / kept, atol=0)
        predictions = [(folder / seed / "predictions.jsonl").read_bytes() for folder in (one, other)]
        assert predictions[0] == predictions[1]
    expected, found = (json.loads((folder / "metrics.json").read_text())["summary"] for folder in (one, other))
    assert expected == found


KINDS = {
    "pretraining": Kind(
        lambda _family, folder: prepare_tiny_corpus(folder), PRETRAINING, last_checkpoint, assert_same_bits
    ),
    "fine-tuning": Kind(prepare_tags, FINE_TUNING, seeds_and_checkpoints, assert_same_results),
}


def start(worker, family, data, out, length):
    """Start a run, or go on with it, and return its process when it has done a step."""
    arguments = [sys.executable, "-c", TELL + worker, family, str(data), str(out), str(length)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TESTS)
    assert process.stdout.readline() == b"computing\n", process.stderr.read().decode()
    return process


def finish(process):
    """Wait for a run's end, which must be a good one."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]


def kill_and_compare(family, name, folder, kills, seed=0):
    """Compare a run that was killed so many times, at random moments, with one that was not; return where it was."""
    kind = KINDS[name]
    begin = partial(start, kind.worker, family, kind.prepare(family, folder))
    whole = begin(folder / "whole", kills + 1)
    begun = time.monotonic()
    finish(whole)
    usual = (time.monotonic() - begun) / (kills + 1)
    generator, found = random.Random(seed), []
    while len(found) < kills:
        process = begin(folder / "killed", kills + 1)
        try:
            process.wait(generator.uniform(0, usual))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        else:
            raise AssertionError(f"the run ended after {len(found)} kills: make it longer")
        process.communicate()
        found.append(kind.written(folder / "killed"))
    finish(begin(folder / "killed", kills + 1))
    kind.compare(folder / "whole", folder / "killed")
    return found


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        family, kind, kills = sys.argv[1:]
        print("\n".join(kill_and_compare(family, kind, Path(name), int(kills), seed=int(time.time()))))
        print("the same bits as the run that nobody killed")
