"""The process that runs one framework: ``python -m electra_common.cli.worker pt|tf``.

Each line of standard input names a folder with ``job.json`` and ``batch.npz``. The worker writes ``outputs.npz`` and,
last, ``answer.json`` into it, then an empty line to standard output. The end of its input is its end.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from electra_common.config import ElectraConfig
from electra_common.weights.errors import CheckpointError

_PREFIX: Final = {"pt": "", "tf": "TF"}
# What must be importable for a family to work; anything else that is missing is a fault, not an absent framework.
NEEDED: Final = {"pt": ("torch",), "tf": ("tensorflow", "keras")}
# The functions of `applications` that answer texts.
_ANSWERS: Final = {"detect": "detect_replaced_words", "fill-mask": "fill_masks"}


def run_job(framework: str, folder: Path) -> dict[str, Any]:
    """Do what ``job.json`` says and return the timings, and answers to texts; raises what the model raises."""
    job = json.loads((folder / "job.json").read_text())
    recording = importlib.import_module(f"electra_{framework}.recording")
    started = time.perf_counter()
    if job["action"] == "create":
        recording.set_seed(job["seed"])
        _model_class(framework, job)(ElectraConfig(**job["config_overrides"])).save_pretrained(job["path"])
        np.savez(folder / "outputs.npz")
        return {"load_seconds": time.perf_counter() - started, "run_seconds": 0.0}
    jobs = (job, *job["more"])
    models = [_load_model(framework, item) for item in jobs]
    loaded = time.perf_counter()
    answers: list[dict[str, Any]] = []
    outputs: dict[str, Any] = {}
    if job["action"] in _ANSWERS:
        for item, model in zip(jobs, models, strict=True):
            answers += _answer_texts(framework, model, item)
    else:
        with np.load(folder / "batch.npz") as file:
            batch = {key: file[key] for key in file.files}
        outputs = recording.record_outputs(models[0], batch)
    finished = time.perf_counter()
    np.savez(folder / "outputs.npz", **outputs)
    return {"load_seconds": loaded - started, "run_seconds": finished - loaded, "answers": answers}


def _model_class(framework: str, job: dict[str, Any]) -> Any:
    return getattr(importlib.import_module(f"electra_{framework}"), _PREFIX[framework] + job["architecture"])


def _load_model(framework: str, job: dict[str, Any]) -> Any:
    overrides = job["config_overrides"] or {}
    return _model_class(framework, job).from_pretrained(job["path"], component=job["component"], **overrides)


def _answer_texts(framework: str, model: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    from electra_common.cli.tokenize import load

    function = getattr(importlib.import_module(f"electra_{framework}.applications"), _ANSWERS[job["action"]])
    answers = function(model, load(job["tokenizer"], in_python=False), job["texts"], **(job["options"] or {}))
    return [asdict(answer) for answer in answers]


def answer_job(framework: str, folder: Path) -> None:
    """Run the job of a folder and write the answer, or what is wrong with the input."""
    answer: dict[str, Any] = {"error": None, "message": ""}
    try:
        answer |= run_job(framework, folder)
    except ModuleNotFoundError as error:
        if error.name not in NEEDED[framework]:
            raise
        answer |= {"error": "missing", "message": str(error)}
    except (CheckpointError, ValueError) as error:
        answer |= {"error": "input", "message": str(error)}
    (folder / "answer.json").write_text(json.dumps(answer))


def main(framework: str) -> None:
    """Answer jobs until there are no more."""
    # What a framework prints goes to standard error, so that nothing is taken for an answer.
    with os.fdopen(os.dup(1), "w") as answered:
        os.dup2(2, 1)
        with suppress(Exception):  # imported while the first job is written, which tells what goes wrong
            importlib.import_module(f"electra_{framework}.recording")
        for line in sys.stdin:
            answer_job(framework, Path(line.rstrip("\n")))
            print(file=answered, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
