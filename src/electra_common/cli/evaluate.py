"""``electra evaluate``: how well a fine-tuned model answers a file whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from electra_common.cli.console import make_console, make_table, print_json
from electra_common.cli.loops import load_module
from electra_common.runs.run_folder import RUN_FILE
from electra_common.tasks.data import read_all
from electra_common.tasks.fine_tuned import FineTuned
from electra_common.tasks.readers.read import find_file
from electra_common.tasks.readers.tables import check_quoting
from electra_common.tasks.results import write_seed


def evaluate(
    model: Path,
    data: Path,
    *,
    split: str,
    framework: str | None,
    columns: Mapping[str, Any],
    out: Path | None,
    batch_size: int | None,
    precision: str,
    as_json: bool,
) -> int:
    """Measure; 0 if the answers are known, 1 if the file has none."""
    if out is not None and (out / RUN_FILE).exists():
        raise ValueError(f"{out}: holds a run, whose own predictions would be lost; give another folder with --out")
    family, module = load_module(framework, "fine_tuned")
    fine_tuned: FineTuned = module.open_fine_tuned(model, batch_size=batch_size, precision=precision)
    task = fine_tuned.task.reading(**columns)
    path = data
    if data.is_dir():
        found = find_file(task, data, split)
        if found is None:
            raise ValueError(f"{data}: no file of task {task.name} for {split}; name a file, or another --split")
        path = found
    if "quoting" in columns:
        check_quoting(path)
    examples = read_all(task, path, split)
    measured = fine_tuned.measure(examples)
    if out is not None:
        write_seed(out, 0, task, fine_tuned.task_file.labels, examples, measured.predictions)
    if as_json:
        print_json({"model": str(model), "file": str(path), "framework": family, "examples": len(examples),
                    "metrics": dict(measured.metrics)})  # fmt: skip
    else:
        _show(path, len(examples), measured.metrics)
    return 0 if measured.metrics else 1


def _show(path: Path, count: int, metrics: Mapping[str, float]) -> None:
    console = make_console()
    if not metrics:
        console.print(f"{path}: {count:,} examples without answers: nothing to measure", markup=False, soft_wrap=True)
        return
    table = make_table("", "metric", "#value")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4g}")
    console.print(table)
    console.print(f"{count:,} examples of {path}", markup=False, soft_wrap=True)
