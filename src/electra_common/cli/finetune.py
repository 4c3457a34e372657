"""``electra finetune``: a network learns a task from examples, in one framework, in this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from electra_common.cli.console import fail, make_console, make_table, print_json
from electra_common.cli.loops import STOPPED, load_module
from electra_common.runs.processes import AnotherProcessFailedError
from electra_common.runs.run import TrainingDivergedError
from electra_common.tasks.job import DataChoice, FineTuningJob, make_job
from electra_common.tasks.seeds import Statistics, Summary
from electra_common.tasks.task import Column, find_task

COLLAPSED: Final = 1
_STATISTICS: Final = ("median", "mean", "deviation", "minimum", "maximum")


def finetune(
    task: str,
    *,
    framework: str | None,
    folder: Path | None,
    files: Mapping[str, Path | None],
    columns: Mapping[str, Any],
    as_json: bool,
    **options: Any,
) -> int:
    """Fine-tune; 0 if a seed learnt something, 1 if all collapsed or one diverged, 143 if it was stopped before."""
    changes = {name: value for name, value in columns.items() if value is not None}
    choice = DataChoice(
        folder=folder, files={split: path for split, path in files.items() if path is not None}, changes=changes
    )
    job = make_job(find_task(task), choice, **options)
    family, loop = load_module(framework, "fine_tuning")

    codes = [0]  # of the first of several processes; the others have nothing to say

    def tell(summary: Summary | None) -> None:
        if summary is None:
            print("stopped; the same command with --resume goes on from there", file=sys.stderr)
            codes.append(STOPPED)
        else:
            _show(job, family, summary, as_json)
            codes.append(COLLAPSED if len(summary.collapsed) == summary.count else 0)

    try:
        loop.fine_tune(job, at_end=tell)
    except TrainingDivergedError as error:
        fail(error)
        return 1
    except AnotherProcessFailedError:
        return 1  # the first process has printed why
    return codes[-1]


def parse_column(text: str) -> Column:
    """Return a column by its number where it is written as one, else by its name."""
    return int(text) if text.removeprefix("-").isdecimal() else text


def seed_list(first: int, count: int) -> tuple[int, ...]:
    """Return so many seeds from a first one on."""
    return tuple(range(first, first + count))


def _show(job: FineTuningJob, family: str, summary: Summary, as_json: bool) -> None:
    if as_json:
        print_json({"task": job.task.name, "framework": family, "out": str(job.out), "summary": summary.as_dict()})
        return
    console = make_console()
    for title, metrics in (("", summary.metrics), ("test", summary.test_metrics)):
        if metrics:
            console.print(_table(title, metrics))
    if summary.collapsed:
        named = ", ".join(map(str, summary.collapsed))
        console.print(f"collapsed: seed {named} (why: metrics.json); --restart-collapsed tries others", markup=False)
    console.print(f"results in {job.out}", markup=False, soft_wrap=True)


def _table(title: str, metrics: Mapping[str, Statistics]) -> Table:
    table = make_table(title, "metric", *(f"#{name}" for name in _STATISTICS), "#seeds")
    for name, found in metrics.items():
        table.add_row(name, *(f"{getattr(found, value):.4g}" for value in _STATISTICS), str(found.count))
    return table
