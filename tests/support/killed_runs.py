"""Killing a pre-training run at random moments, again and again, until it has come to its end all the same.

`python -m support.killed_runs pt|tf KILLS` (what `make check-kills` does) kills a run so many times; the tests do it a
few times.
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from electra_common.pretraining.run_folder import list_checkpoints
from support.fixtures import TESTS
from support.pretraining_runs import assert_same_bits, prepare_tiny_corpus

STEPS_OF_A_START = 60
# Dropout is on, and every few steps something is written. The first step done says that compiling is over.
WORKER = """
import importlib, sys
from pathlib import Path
from electra_common.pretraining.run import PretrainingRun
from support.pretraining_runs import tiny_settings
family, data, out, steps = sys.argv[1:]
loop = importlib.import_module(f"electra_{family}.pretraining")
settings = tiny_settings(Path(data), Path(out), f"steps={steps}", "dropout=0.1", save_every=7, evaluate_every=20)
finish_step = PretrainingRun.finish_step
def told(run, step, tokens):
    if step == run.first_step:
        print("computing", flush=True)
    finish_step(run, step, tokens)
PretrainingRun.finish_step = told
loop.pretrain(settings, quiet=True)
"""


def start(family, data, out, steps):
    """Start a run, or go on with it, and return its process when it has done a step."""
    arguments = [sys.executable, "-c", WORKER, family, str(data), str(out), str(steps)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TESTS)
    assert process.stdout.readline() == b"computing\n", process.stderr.read().decode()
    return process


def finish(process):
    """Wait for a run's end, which must be a good one."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]


def kill_and_compare(family, folder, kills, seed=0):
    """Compare a run that was killed so many times, at random moments, with one that was not; return where it was."""
    data = prepare_tiny_corpus(folder)
    steps = STEPS_OF_A_START * (kills + 1)
    whole = start(family, data, folder / "whole", steps)
    begun = time.monotonic()
    finish(whole)
    usual = (time.monotonic() - begun) / (kills + 1)
    generator, found = random.Random(seed), []
    while len(found) < kills:
        process = start(family, data, folder / "killed", steps)
        try:
            process.wait(generator.uniform(0, usual))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        else:
            raise AssertionError(f"the run ended after {len(found)} kills: make it longer")
        process.communicate()
        checkpoints = list_checkpoints(folder / "killed")
        found.append(checkpoints[-1].name if checkpoints else "before the first checkpoint")
    finish(start(family, data, folder / "killed", steps))
    assert_same_bits(folder / "whole", folder / "killed")
    return found


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        print("\n".join(kill_and_compare(sys.argv[1], Path(name), int(sys.argv[2]), seed=int(time.time()))))
        print("the same bits as the run that nobody killed")
