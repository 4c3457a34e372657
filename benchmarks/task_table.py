"""``python -m benchmarks.task_table``: a model on many tasks, beside the same network with new weights.

Each row of the table is two fine-tuning runs with the same settings and seeds, by the commands that stand in the
second part. Runs that are there are not made again, so a table can be filled over several sittings.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Entry:
    """One task: where its files are below the folder of data, and what differs from its usual settings."""

    folder: str
    changes: tuple[str, ...] = ()
    questions: int = 0  # of SQuAD, how many are trained on


TASKS: Final = {
    "sst-2": Entry("glue/SST-2"),
    "cola": Entry("glue/CoLA"),
    "mrpc": Entry("glue/MRPC"),
    "sts-b": Entry("glue/STS-B"),
    "rte": Entry("glue/RTE"),
    "wnut17": Entry("wnut17", ("epochs=5",)),
    "ud-english-ewt": Entry("ud_english_ewt"),
    "banking77": Entry("banking77", ("epochs=4",)),
    "squad": Entry("squad", ("max_length=256", "doc_stride=96"), questions=8000),
}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_table", description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(TASKS), help=f"{', '.join(TASKS)}; by default all")
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder for each data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--model", help="what is fine-tuned; by default the model that comes with the package")
    parser.add_argument("--seeds", type=int, default=5, help="of each run (default 5)")
    parser.add_argument("--framework", default="pt", help="pt or tf (default pt)")
    parser.add_argument("--starts", nargs="+", choices=("trained", "new"), default=["trained", "new"])
    parser.add_argument("--print-only", action="store_true", help="make no run")
    options = parser.parse_args()
    for task in () if options.print_only else options.tasks:
        for start in options.starts:
            _run(task, start, options)
    print(table(options.tasks, options.out))


def _run(task: str, start: str, options: argparse.Namespace) -> None:
    out = options.out / f"{task}-{start}"
    if (out / "metrics.json").exists():
        return
    entry = TASKS[task]
    command = ["finetune", task, "--data", str(options.data / entry.folder), "--out", str(out)]
    command += ["--framework", options.framework, "--seeds", str(options.seeds), "--log-every", "200"]
    command += ["--resume"] if (out / "run.json").exists() else []
    command += [item for change in entry.changes for item in ("--set", change)]
    command += ["--model", options.model] if options.model else []
    command += ["--from-scratch"] if start == "new" else []
    if entry.questions:
        command += ["--train", str(_fewer_questions(options.data / entry.folder, options.out, entry.questions))]
    print(shlex.join(["electra", *command]), file=sys.stderr, flush=True)
    finished = subprocess.run(
        [sys.executable, "-m", "electra_common", *command], check=False, stdout=subprocess.DEVNULL
    )
    if finished.returncode not in (0, 1):
        raise SystemExit(f"{task}: ended with code {finished.returncode}")


def _fewer_questions(folder: Path, out: Path, count: int) -> Path:
    """Write a training set of SQuAD 1.1 of so many questions: an equal share of the paragraphs of every article."""
    target = out / f"squad-{count}.json"
    if target.exists():
        return target
    whole = json.loads(lzma.decompress((folder / "train-v1.1.json.xz").read_bytes()))
    questions = sum(len(part["qas"]) for article in whole["data"] for part in article["paragraphs"])
    every = max(1, questions // count)
    for article in whole["data"]:
        article["paragraphs"] = article["paragraphs"][::every]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(whole), encoding="utf-8")
    return target


def table(tasks: list[str], out: Path) -> str:
    """Return the results that are there as a table in Markdown, then the commands."""
    lines = [
        "| task | metric | trained: median | deviation | new weights: median | deviation | constant answer | seeds |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    commands = []
    for task in tasks:
        found = {start: _results(out / f"{task}-{start}") for start in ("trained", "new")}
        some = found["trained"] or found["new"]
        if some is None:
            continue
        metric = some["summary"]["main_metric"]
        cells = [cell for start in ("trained", "new") for cell in _cells(found[start], metric)]
        constant = some["seeds"][0]["constant_score"]
        split = some["seeds"][0]["split"]
        counts = " / ".join(str(len(values["seeds"])) if values else "0" for values in found.values())
        lines.append(f"| {task} | {metric} ({split}) | {' | '.join(cells)} | {constant:.4g} | {counts} |")
        commands += [values["command"] for values in found.values() if values]
    return "\n".join([*lines, "", *commands])


def _results(folder: Path) -> dict[str, Any] | None:
    file = folder / "metrics.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _cells(values: dict[str, Any] | None, metric: str) -> tuple[str, str]:
    if values is None:
        return "-", "-"
    statistics = values["summary"]["metrics"][metric]
    collapsed = values["summary"]["collapsed"]
    note = f" ({len(collapsed)} collapsed)" if collapsed else ""
    return f"{statistics['median']:.4g}{note}", f"{statistics['deviation']:.2g}"


if __name__ == "__main__":
    main()
