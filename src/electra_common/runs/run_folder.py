"""The folder of a run: who may write to it, which run it holds, and its checkpoints.

===============================  =====================================================================================
``run.json``                     what decides the weights (recipe, seed, data), and each start: command, versions
``data.json``, ``tokenizer/``    the manifest of the prepared corpus, and its tokenizer
``metrics.jsonl``                the curves (:mod:`electra_common.runs.metrics_log`)
``checkpoints/step-00001000/``   both networks (joint form), Adam's state, and ``state.json``; complete or not there
===============================  =====================================================================================

A checkpoint has nothing of a framework in it: a run that was started in one goes on in the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from electra_common.json_files import read_json_file
from electra_common.runs.folder_lock import LOCK_FILE, lock_folder, refuse_links
from electra_common.runs.folder_names import TOKENIZER_FOLDER
from electra_common.runs.metrics_log import METRICS_FILE, TENSORBOARD_FOLDER
from electra_common.runs.optimizer_file import Moments, read_moments, write_moments
from electra_common.runs.processes import Processes
from electra_common.weights.atomic import new_folder, write_files
from electra_common.weights.errors import CheckpointError

RUN_FILE: Final = "run.json"
DATA_FILE: Final = "data.json"
STATE_FILE: Final = "state.json"
MOST_BYTES: Final = 64 << 20  # of a file that tells of a run; its starts are recorded there, and its corpus
# What is written into; files are replaced whole, and a link with them.
WRITTEN_THROUGH: Final = ("checkpoints", TOKENIZER_FOLDER, METRICS_FILE, TENSORBOARD_FOLDER)
_CHECKPOINT: Final = re.compile(r"^step-([0-9]{8,})$")
_FORMAT: Final = 1


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        step: updates done.
        tokens: real tokens seen.
    """

    step: int = 0
    tokens: int = 0


class RunFolder:
    """A run's folder, held by one program at a time; :func:`open_run_folder` gives it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return list_checkpoints(self.path)

    def save(self, state: RunState, write_model: Callable[[Path], None], moments: Moments, keep: int) -> Path:
        """Write a checkpoint and remove those beyond the newest ``keep``.

        Args:
            state: where the run stands.
            write_model: writes both networks into the folder that it is given.
            moments: Adam's state.
            keep: how many checkpoints stay.

        Raises:
            CheckpointError: the folder cannot be written; the checkpoints that were there stay.
        """
        target = self.path / "checkpoints" / f"step-{state.step:08d}"
        facts = {"format": _FORMAT, "step": state.step, "tokens": state.tokens}
        with new_folder(target, overwrite=True) as folder:
            write_model(folder)
            write_moments(folder, moments)
            write_files(folder, {STATE_FILE: _as_json(facts)})
        for old in self.checkpoints[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
        return target


@contextmanager
def open_run_folder(
    path: Path,
    identity: Mapping[str, Any],
    start: Mapping[str, Any],
    *,
    holds_work: Callable[[Path], bool] = lambda path: bool(list_checkpoints(path)),
    restate: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda record: record,
) -> Iterator[RunFolder]:
    """Give a run's folder, made if it does not exist, to this program alone.

    Args:
        path: the folder.
        identity: what decides the weights; a folder of another run is refused.
        start: facts of this start (command, framework, versions), added to those of earlier ones.
        holds_work: whether a folder holds anything that another run must not go on with; by default a checkpoint.
        restate: rewrites the record of a run with work done in the terms of ``identity``, to compare them.

    Raises:
        ValueError: another program holds the folder, or it holds another run, or something else.
        CheckpointError: it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be made: {error.strerror or error}") from None
    with lock_folder(path, "run"):
        refuse_links(path / name for name in WRITTEN_THROUGH)
        record = _record(path, identity, holds_work, restate)
        write_files(path, {RUN_FILE: _as_json({"format": _FORMAT, **record, "starts": [*record["starts"], start]})})
        _remove_unfinished(path / "checkpoints")
        yield RunFolder(path)


def check_one_folder(path: Path, processes: Processes) -> None:
    """Raise ValueError, in all processes, unless they see one folder of a run; the first of them has opened it."""
    record = path / RUN_FILE
    other = processes.find_other(record.read_bytes() if processes.has_others and record.is_file() else b"")
    if other is not None:
        raise ValueError(f"{path}: process {other} sees another folder there; give all one folder that all of them see")


def read_run(path: Path) -> dict[str, Any]:
    """Return the content of a run's ``run.json``; raises CheckpointError where there is none that can be read."""
    return read_json_file(path / RUN_FILE, MOST_BYTES, "run")


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    found = folder.iterdir() if folder.is_dir() else ()
    named = [item for item in found if _CHECKPOINT.match(item.name) and (item / STATE_FILE).is_file()]
    return sorted(named, key=lambda item: _step_of(item.name))


def run_of(checkpoint: Path) -> Path | None:
    """Return the run that a checkpoint is of: two folders above it by name, and else by what a link leads to."""
    if (checkpoint / STATE_FILE).is_file():
        for place in (checkpoint.absolute(), Path(os.path.realpath(checkpoint))):
            if (place.parent.parent / RUN_FILE).is_file():
                return place.parent.parent
    return None


def _step_of(name: str) -> int:
    return int(name.removeprefix("step-"))


def read_checkpoint(folder: Path) -> tuple[RunState, Moments]:
    """Return where a checkpoint stands, and Adam's state; its networks are read by ``from_pretrained``.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    return read_state(folder), read_moments(folder)


def read_state(folder: Path) -> RunState:
    """Return where a checkpoint stands; raises CheckpointError if the file is missing or damaged."""
    facts = read_json_file(folder / STATE_FILE, MOST_BYTES, "state of a run")
    numbers = [facts.get(name) for name in ("step", "tokens")]
    if facts.get("format") != _FORMAT or not all(type(number) is int and number >= 0 for number in numbers):
        raise CheckpointError(f"{folder / STATE_FILE}: expected format {_FORMAT}, a step and tokens, found {facts}")
    if _CHECKPOINT.match(folder.name) and facts["step"] != _step_of(folder.name):
        raise CheckpointError(f"{folder / STATE_FILE}: says step {facts['step']}, and the folder's name another one")
    return RunState(facts["step"], facts["tokens"])


def _record(
    path: Path,
    identity: Mapping[str, Any],
    holds_work: Callable[[Path], bool],
    restate: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what is to be kept of a run, with its starts so far; refuse a folder of another run or of other things.

    A run that has no work done yet has nothing to lose: what was mistyped when it was started may be put right.
    """
    if not (path / RUN_FILE).exists():
        if strange := sorted(item.name for item in path.iterdir() if item.name != LOCK_FILE and not _is_ours(item)):
            raise ValueError(f"{path}: holds {', '.join(strange[:3])} and no run; choose a new folder")
        return {**identity, "starts": []}
    before = read_run(path)
    works = holds_work(path)
    known = restate(before) if works else before
    wanted = json.loads(json.dumps(identity))
    different = [name for name in wanted if known.get(name) != wanted[name]]
    if different and not works:
        return {**identity, "starts": []}
    if different:
        told = "; ".join(_difference(name, known, wanted) for name in different)
        raise ValueError(f"{path}: holds another run: {told}; choose another folder, or what that one was started with")
    starts = before.get("starts")
    return {**before, "starts": starts if isinstance(starts, list) else []}


def _is_ours(item: Path) -> bool:
    return item.name.startswith(f".{RUN_FILE}.")


def _difference(name: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    old, new = before.get(name), wanted[name]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return ", ".join(f"{name} {key} {old.get(key)!r}, now {new[key]!r}" for key in new if old.get(key) != new[key])
    return f"{name} {old!r}, now {new!r}"


def _remove_unfinished(folder: Path) -> None:
    """Remove what a program that was killed while writing left."""
    for item in folder.glob(".step-*.tmp*") if folder.is_dir() else ():
        shutil.rmtree(item, ignore_errors=True)


def _as_json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def start_facts(framework: str, version: str, processes: int, precision: str) -> dict[str, Any]:
    """Return what is kept of each start of a run: the command, what computed it and how, and when.

    Args:
        framework: ``"pt"`` or ``"tf"``.
        version: of the framework.
        processes: how many computed it.
        precision: of the arithmetic of layers.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"command": command_line(), "framework": framework, "version": version, "processes": processes,
            "precision": precision, "time": now}  # fmt: skip


def command_line() -> str:
    """Return the command of this process, as a shell would take it."""
    import shlex
    import sys

    program = Path(sys.argv[0]).name
    # `python -m electra_common` is the same program.
    return shlex.join(["electra" if program == "__main__.py" else program, *sys.argv[1:]])
