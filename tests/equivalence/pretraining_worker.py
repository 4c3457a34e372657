"""Carries pre-training runs on in one framework: `python pretraining_worker.py pt|tf DATA RUN=STEP …`."""

import importlib
import sys
from pathlib import Path

from support.pretraining_runs import tiny_settings

family, data, *jobs = sys.argv[1:]
loop = importlib.import_module(f"electra_{family}.pretraining")
for job in jobs:
    run, stop = job.split("=")
    settings = tiny_settings(
        Path(data), Path(run), "steps=60", "batch_size=4", save_every=30, evaluate_every=0, stop_at=int(stop)
    )
    assert loop.pretrain(settings, quiet=True).step == int(stop)
