"""Fine-tunes in one framework: `python fine_tuning_worker.py pt|tf FOLDER KIND=OUT:START,CHANGES …`."""

import importlib
import sys
from pathlib import Path

from support.fine_tuning_runs import STILL, job_of, write_start

family, folder, *jobs = sys.argv[1:]
folder = Path(folder)
for job in jobs:
    kind, _, rest = job.partition("=")
    out, _, changes = rest.partition(":")
    if kind == "start":
        write_start(folder / out, importlib.import_module(f"electra_{family}"))
        continue
    start = folder / changes.split(",")[0]
    settings = [change for change in changes.split(",")[1:] if change]
    loop = importlib.import_module(f"electra_{family}.fine_tuning")
    loop.fine_tune(job_of(kind, folder / "data", start, folder / out, *STILL, *settings), quiet=True)
