"""Carries pre-training runs on in one framework: `python pretraining_worker.py pt|tf DATA START RUN=STEP …`.

All but START, which may be one of them, go on from where that run ended.
"""

import importlib
import sys
from pathlib import Path

from support.pretraining_runs import tiny_settings

family, data, start, *jobs = sys.argv[1:]
loop = importlib.import_module(f"electra_{family}.pretraining")
for job in jobs:
    run, stop = job.split("=")
    settings = tiny_settings(
        Path(data), Path(run), "steps=60", "batch_size=4", save_every=30, evaluate_every=0, stop_at=int(stop),
        start_from=None if run == start else start,
    )  # fmt: skip
    assert loop.pretrain(settings, quiet=True).step == int(stop)
