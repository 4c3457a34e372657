"""The log of a run's metrics: ``metrics.jsonl``, a line each time something was measured, and TensorBoard's files.

``metrics.jsonl`` is the record; it survives a kill, and a run that goes on from a checkpoint takes back what it had
logged behind it. TensorBoard's files are a copy for looking at, written without TensorFlow and without PyTorch.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from electra_common.weights.atomic import write_files
from electra_common.weights.errors import CheckpointError

METRICS_FILE: Final = "metrics.jsonl"
TENSORBOARD_FOLDER: Final = "tensorboard"
SPLITS: Final = ("train", "held-out")


@dataclass(frozen=True)
class MetricsEntry:
    """One line of the log.

    Attributes:
        step: updates done when it was measured.
        split: ``"train"`` or ``"held-out"``.
        time: seconds that the run had been going, pauses between its starts left out.
        metrics: the values by name.
    """

    step: int
    split: str
    time: float
    metrics: Mapping[str, float]

    def line(self) -> str:
        """Return the line, its end included."""
        values = {"step": self.step, "split": self.split, "time": round(self.time, 3), **self.metrics}
        return json.dumps(values, allow_nan=False) + "\n"


class MetricsLog:
    """Appends to a run's log; a context manager.

    Args:
        folder: of the run, made if it does not exist.
        tensorboard: also write event files; where the package is not installed, one warning says so.
        after_step: the run goes on from this step, so entries behind it are taken back; 0 begins anew, None keeps all.

    Raises:
        ValueError: the log that is there cannot be read.
        CheckpointError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, *, tensorboard: bool = True, after_step: int | None = None) -> None:
        folder = Path(folder)
        kept = _take_back(folder, after_step)
        self._before = kept[-1].time if kept else 0.0
        self._opened = time.monotonic()
        try:
            self._stream = open(folder / METRICS_FILE, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise CheckpointError(f"{folder / METRICS_FILE}: cannot be written: {error.strerror or error}") from None
        first_step = kept[-1].step + 1 if kept else 0
        self._events = _open_events(folder / TENSORBOARD_FOLDER, first_step) if tensorboard else None

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Append a line, and hand it to the system at once, so that a kill of the program does not lose it.

        Raises:
            ValueError: a value is not finite, or there is no such split.
            CheckpointError: the disk is full.
        """
        values = {name: float(value) for name, value in metrics.items()}
        if wrong := {name: value for name, value in values.items() if not math.isfinite(value)}:
            raise ValueError(f"step {step}: expected finite metrics, found {wrong}")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, found {split!r}")
        entry = MetricsEntry(int(step), split, self._before + time.monotonic() - self._opened, values)
        try:
            self._stream.write(entry.line())
            self._stream.flush()
            if self._events is not None:
                self._events.write(entry)
        except OSError as error:
            raise CheckpointError(f"{self._stream.name}: cannot be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the files; what a full disk did not take was told when it was written."""
        for file in (self._stream, self._events):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _take_back(folder: Path, after_step: int | None) -> list[MetricsEntry]:
    """Leave only whole lines up to a step in the file, and return them."""
    file = folder / METRICS_FILE
    if not file.exists():
        write_files(folder, {METRICS_FILE: b""})
        return []
    last = math.inf if after_step is None else after_step or -1
    kept = [entry for entry in read_metrics(folder) if entry.step <= last]
    content = "".join(entry.line() for entry in kept).encode()
    if content != file.read_bytes():
        write_files(folder, {METRICS_FILE: content})
    return kept


# Reading --------------------------------------------------------------------------------------------------------------


def read_metrics(folder: str | Path) -> list[MetricsEntry]:
    """Return the log of a run, oldest first; a last line that was cut off by a kill is left out.

    Args:
        folder: of the run.

    Raises:
        ValueError: there is no log, or a line of it is not what :class:`MetricsLog` writes; names file and line.
    """
    file = Path(folder) / METRICS_FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror or error}; a run's folder holds one") from None
    lines = content.split(b"\n")
    lines.pop()  # nothing behind the last line's end, or a line without an end
    return [_parse(line, f"{file}, line {number}") for number, line in enumerate(lines, 1)]


def _parse(line: bytes, place: str) -> MetricsEntry:
    try:
        values = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not a JSON object: {error}; the log can be read without that line") from None
    if not isinstance(values, dict):
        raise ValueError(f"{place}: expected a JSON object, found {type(values).__name__}")
    step, split, seconds = (values.pop(name, None) for name in ("step", "split", "time"))
    if type(step) is not int or step < 0 or split not in SPLITS or not _is_finite_number(seconds):
        raise ValueError(f'{place}: expected "step", "split" ({" or ".join(SPLITS)}) and "time", found {line[:80]!r}')
    if wrong := [name for name, value in values.items() if not _is_finite_number(value)]:
        raise ValueError(f"{place}: expected a finite number for {', '.join(wrong)}")
    return MetricsEntry(step, split, float(seconds), {name: float(value) for name, value in values.items()})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _is_finite_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


# TensorBoard ----------------------------------------------------------------------------------------------------------


class _EventFile:
    """An event file, by TensorBoard's own messages and record writer.

    Its ready-made file writer is not used: that one imports TensorFlow wherever it is installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2, summary_pb2
        folder.mkdir(parents=True, exist_ok=True)
        stamp = (
            f"{time.time_ns() // 1_000_000_000:010d}.{socket.gethostname()}.{os.getpid()}.{time.time_ns() % 10**9:09d}"
        )
        self._stream: IO[bytes] = open(folder / f"events.out.tfevents.{stamp}", "xb")  # noqa: SIM115 - as above
        self._records = RecordWriter(self._stream)
        self._put(file_version="brain.Event:2")
        # TensorBoard hides what earlier files hold from this step on.
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._put(step=first_step, session_log=started)

    def write(self, entry: MetricsEntry) -> None:
        """Write a value as ``name/split``, so that TensorBoard shows both splits of a metric side by side."""
        values = [
            self._summary.Summary.Value(tag=f"{name}/{entry.split}", simple_value=value)
            for name, value in entry.metrics.items()
        ]
        self._put(step=entry.step, summary=self._summary.Summary(value=values))

    def _put(self, **fields: Any) -> None:
        self._records.write(self._event.Event(wall_time=time.time(), **fields).SerializeToString())
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def _open_events(folder: Path, first_step: int) -> _EventFile | None:
    try:
        return _EventFile(folder, first_step)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "tensorboard":
            raise
        warnings.warn(
            f"tensorboard is not installed: metrics go to {METRICS_FILE} alone; "
            "to have both: pip install 'electra-dual[train]'",
            stacklevel=3,
        )
        return None
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.strerror or error}") from None
