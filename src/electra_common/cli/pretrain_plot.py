"""``electra pretrain plot``: the curves of one or several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from electra_common.cli.console import make_console, print_json
from electra_common.runs.metrics_log import SPLITS, MetricsEntry, read_metrics


def plot_runs(runs: Sequence[Path], *, out: Path, x: str, title: str | None, as_json: bool) -> int:
    """Draw the curves and say where they are, or print the last value of each metric."""
    from electra_common.pretraining.curves import draw_curves

    logs = {name: read_metrics(run) for name, run in zip(run_names(runs), runs, strict=True)}
    draw_curves(logs, out, x=x, title=title)
    if as_json:
        print_json({"out": str(out), "runs": {name: last_values(entries) for name, entries in logs.items()}})
    else:
        steps = ", ".join(f"{name} to step {entries[-1].step:,}" for name, entries in logs.items() if entries)
        make_console().print(f"{out}: {steps}", markup=False, soft_wrap=True)
    return 0


def run_names(runs: Sequence[Path]) -> list[str]:
    """Return a name for each run: its folder's, or the path as given where two folders have one name.

    Raises:
        ValueError: a run is given twice.
    """
    if len(set(runs)) < len(runs):
        twice = next(run for run in runs if runs.count(run) > 1)
        raise ValueError(f"{twice}: given twice; name each run once")
    short = [run.resolve().name for run in runs]
    return [name if short.count(name) == 1 else str(run) for name, run in zip(short, runs, strict=True)]


def last_values(entries: Sequence[MetricsEntry]) -> dict[str, dict[str, float]]:
    """Return by split the newest value of each metric, and the step and time of the newest line."""
    result: dict[str, dict[str, float]] = {}
    for split in SPLITS:
        of_split = [entry for entry in entries if entry.split == split]
        if of_split:
            metrics = {name: value for entry in of_split for name, value in entry.metrics.items()}
            result[split] = {"step": of_split[-1].step, "time": of_split[-1].time, **metrics}
    return result
