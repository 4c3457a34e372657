"""Running jobs in a framework, in a process of its own, and getting its numbers back as files.

No process ever imports both frameworks: that has a long record of hangs and crashes, and the numbers do not need it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from electra_common.weights.errors import CheckpointError

FRAMEWORKS: Final = {"pt": "PyTorch", "tf": "TensorFlow"}
Arrays = dict[str, NDArray[Any]]


class FrameworkError(RuntimeError):
    """A framework is not installed, or its process ended without an answer."""


class FrameworkMissingError(FrameworkError):
    """A framework is not installed."""


@dataclass(frozen=True)
class Job:
    """What a framework's process is to do.

    Attributes:
        action: ``"run"`` a checkpoint over a batch, ``"create"`` one with new weights and save it, or answer texts:
            ``"detect"`` replaced words, ``"fill-mask"``.
        path: the checkpoint, or the folder to create.
        architecture: the class, without the prefix of a framework.
        component: the network, where a checkpoint holds two.
        config_overrides: config fields to change, or all fields of a new model.
        seed: for new weights.
        texts: to be answered.
        tokenizer: path or name of the one for texts; None for the vocabulary of the released models.
        options: further arguments of what answers texts.
        more: jobs that answer texts too, for the same process; their answers follow this one's.
    """

    action: str
    path: str
    architecture: str
    component: str | None = None
    config_overrides: Mapping[str, Any] | None = None
    seed: int = 0
    texts: tuple[str, ...] = ()
    tokenizer: str | None = None
    options: Mapping[str, Any] | None = None
    more: tuple[Job, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came back: outputs by name or answers to texts, and the seconds spent on loading and on running."""

    outputs: Arrays
    load_seconds: float
    run_seconds: float
    answers: tuple[dict[str, Any], ...] = ()


class FrameworkProcess:
    """A process that runs jobs in one framework until this block ends.

    Args:
        framework: its short name; whether it is installed, the first job tells.
    """

    def __init__(self, framework: str) -> None:
        self._framework = framework

    def __enter__(self) -> Self:
        # TensorFlow talks about itself on standard error; it is shown only if the process fails.
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if self._framework == "tf":
            environment["KERAS_BACKEND"] = "tensorflow"
        self._errors = TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "electra_common.cli.worker", self._framework],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._process.kill()
        with self._errors, suppress(BrokenPipeError):
            self._process.communicate()

    def run(self, job: Job, batch: Mapping[str, NDArray[Any]]) -> Result:
        """Run one job.

        Args:
            job: what is to be done.
            batch: inputs by name, for jobs that run a model over them.

        Raises:
            FrameworkError: the framework is not installed or its process died.
            CheckpointError: the checkpoint cannot be loaded, or a text not be answered.
        """
        with TemporaryDirectory(prefix="electra-") as name:
            folder = Path(name)
            (folder / "job.json").write_text(json.dumps(asdict(job)))
            np.savez(folder / "batch.npz", allow_pickle=False, **batch)
            self._wait_for_answer(folder)
            return _read_answer(self._framework, folder)

    def _wait_for_answer(self, folder: Path) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died before; the answer that does not come tells so
            print(folder, file=self._process.stdin, flush=True)
        if not self._process.stdout.readline():
            raise FrameworkError(f"the {FRAMEWORKS[self._framework]} process {self._end()}")

    def _end(self) -> str:
        """Return how the process ended; of one that was killed, what it had printed last tells nothing."""
        code = self._process.wait()
        if code < 0:
            hint = "; was there too little memory?" if -code == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(-code).name}{hint}"
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["no message"])[-1]
        return f"ended with code {code}: {last}"


def _read_answer(framework: str, folder: Path) -> Result:
    answer = json.loads((folder / "answer.json").read_text())
    if answer["error"] == "missing":
        raise missing_error((framework,))
    if answer["error"] is not None:
        raise CheckpointError(answer["message"])
    with np.load(folder / "outputs.npz") as file:
        outputs = {key: file[key] for key in file.files}
    return Result(outputs, answer["load_seconds"], answer["run_seconds"], tuple(answer.get("answers", ())))


_STAYING: ContextVar[dict[str, FrameworkProcess] | None] = ContextVar("staying", default=None)


@contextmanager
def frameworks_stay(frameworks: Iterable[str]) -> Iterator[None]:
    """Within this block each framework has one process for all jobs; all start at once.

    Args:
        frameworks: by their short names; for others each job has a process.
    """
    with ExitStack() as stack:
        token = _STAYING.set({name: stack.enter_context(FrameworkProcess(name)) for name in frameworks})
        try:
            yield
        finally:
            _STAYING.reset(token)


def run_in_frameworks(frameworks: tuple[str, ...], job: Job, batch: Mapping[str, NDArray[Any]]) -> dict[str, Result]:
    """Run a job in each framework, one after the other so that neither disturbs the other's timing.

    Raises:
        FrameworkError: a framework is not installed or its process died.
        CheckpointError: the checkpoint cannot be loaded.
    """
    return {framework: _run(framework, job, batch) for framework in frameworks}


def run_in_first(job: Job) -> tuple[str, Result]:
    """Run a job in the first framework that is installed, and say which one that is.

    Raises:
        FrameworkError: none is installed, or the process died.
        CheckpointError: the checkpoint cannot be loaded, or a text not be answered.
    """
    for framework in FRAMEWORKS:
        try:
            return framework, _run(framework, job, {})
        except FrameworkMissingError:
            continue
    raise missing_error(tuple(FRAMEWORKS))


def missing_error(frameworks: tuple[str, ...]) -> FrameworkMissingError:
    """Return the error that none of some frameworks is installed, with the commands that install one."""
    names = [FRAMEWORKS[framework] for framework in frameworks]
    told = f"neither {' nor '.join(names)} is installed" if len(names) > 1 else f"{names[0]} is not installed"
    extras = " or ".join(f"'electra-dual[{framework}]'" for framework in frameworks)
    return FrameworkMissingError(f"{told}: pip install {extras}")


def _run(framework: str, job: Job, batch: Mapping[str, NDArray[Any]]) -> Result:
    if process := (_STAYING.get() or {}).get(framework):
        return process.run(job, batch)
    with FrameworkProcess(framework) as process:
        return process.run(job, batch)
