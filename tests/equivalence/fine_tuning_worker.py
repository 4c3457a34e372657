"""Fine-tunes in one framework: `python fine_tuning_worker.py pt|tf FOLDER KIND=OUT:START,CHANGES …`.

Among the changes, `stop=N` asks the run to stop after N updates, and `resume` goes on with one.
"""

import importlib
import sys
from pathlib import Path

from electra_common.tasks.run import FineTuningRun
from support.fine_tuning_runs import STILL, job_of, write_start

FINISH_STEP = FineTuningRun.finish_step


def stop_after(steps):
    """Let runs be asked to stop after so many updates; None for never."""

    def finish_step(run, step, tokens):
        if step + 1 == steps:
            run.ask_to_stop()
        FINISH_STEP(run, step, tokens)

    FineTuningRun.finish_step = finish_step


family, folder, *jobs = sys.argv[1:]
folder = Path(folder)
for job in jobs:
    kind, _, rest = job.partition("=")
    out, _, changes = rest.partition(":")
    if kind == "start":
        write_start(folder / out, importlib.import_module(f"electra_{family}"))
        continue
    start, *given = (item for item in changes.split(",") if item)
    steps = [int(item.removeprefix("stop=")) for item in given if item.startswith("stop=")]
    stop_after(steps[0] if steps else None)
    settings = [item for item in given if not item.startswith(("stop=", "resume"))]
    loop = importlib.import_module(f"electra_{family}.fine_tuning")
    run = job_of(kind, folder / "data", folder / start, folder / out, *STILL, *settings, resume="resume" in given)
    assert (loop.fine_tune(run, quiet=True) is None) == bool(steps)
