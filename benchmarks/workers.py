"""Programs that cannot share a process, or whose memory is told apart: each has its own, and they take turns."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",  # all figures are a CPU's
}


class Worker:
    """A process that answers lines; :func:`open_worker` starts it, and :mod:`benchmarks.worker_loop` is its side."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors

    def ask(self, *words: object) -> Any:
        """Send a work's name with what it is to be called with, and return what it answers.

        Raises:
            RuntimeError: the process ended.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the answer that does not come says so
            self._process.stdin.write(json.dumps(list(map(str, words))) + "\n")
            self._process.stdin.flush()
        return self.answer(" ".join(map(str, words)))

    def answer(self, work: str) -> Any:
        """Return the next answer; raises RuntimeError where there is none."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            with suppress(subprocess.TimeoutExpired):  # it may still be writing what it died of
                self._process.wait(timeout=10)
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            command = " ".join(map(str, self._process.args))  # type: ignore[arg-type]
            raise RuntimeError(f"a process ended while it worked on {work!r}: {last}\nTo run it by hand: {command}")
        return json.loads(answer)


@contextmanager
def open_worker(python: str | Path, module: str, *arguments: object) -> Iterator[Worker]:
    """Start ``python -m benchmarks.MODULE`` and wait until it is ready; it ends with the context.

    Args:
        python: an interpreter, which need not have this library: a module for peers imports none of it.
        module: calls :func:`benchmarks.worker_loop.answer_lines`.
        arguments: of the module.

    Raises:
        RuntimeError: it did not start.
    """
    # Not resolved: what a virtual environment's link leads to is not that environment.
    interpreter = str(Path(python).absolute()) if Path(python).exists() else str(python)
    command = [interpreter, "-W", "ignore", "-m", f"benchmarks.{module}", *map(str, arguments)]
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=_ROOT,
            env={**os.environ, **_ENVIRONMENT},
        ) as process,
    ):  # fmt: skip
        worker = Worker(process, errors)
        worker.answer("starting")
        yield worker


def in_turn(asked: Mapping[str, tuple[Worker, str]], rounds: int) -> dict[str, list[float]]:
    """Ask each for its seconds, all in turn; the first answers, which build graphs, are not counted.

    Args:
        asked: by a name, a process and the work that it is to do; a process may stand there twice.
        rounds: how many turns count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(rounds + 1):
        for name, (worker, work) in asked.items():
            taken = worker.ask(work)
            if turn:
                seconds[name].append(taken)
    return seconds
