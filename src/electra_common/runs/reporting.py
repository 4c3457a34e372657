"""What a run tells while it goes: a progress bar on a terminal, plain lines elsewhere, and the log of its metrics."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from electra_common.runs.metrics_log import MetricsLog
from electra_common.runs.run_folder import RunState
from electra_common.terminal import printable


class Reporter:
    """Speaks for a run.

    Args:
        log: where metrics go; None in processes that do not log.
        what: what is going on, in a word or two, beside the bar.
        quiet: print nothing.
    """

    def __init__(self, log: MetricsLog | None, *, what: str, quiet: bool) -> None:
        self._log, self._what, self._quiet = log, what, quiet
        self._stack = ExitStack()
        self._bar: Any = None
        self._task: Any = None
        self._total = 0
        self._started = self._since = time.perf_counter()
        self._first = self._before = RunState()
        self._flops = self._peak = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def start(self, state: RunState, *, last_step: int, steps: int) -> None:
        """Begin to count time; the run goes from ``state`` to the last step of this call, out of so many in all."""
        self._started = self._since = time.perf_counter()
        self._first = self._before = state
        self._total = last_step
        if state.step:
            self.note(f"goes on from step {state.step:,} of {steps:,}")
        if not self._quiet and sys.stderr.isatty():
            self._start_bar(state)

    def expect_speed(self, flops: float, peak: float) -> None:
        """Tell the share of a peak from now on: ``flops`` operations a step, ``peak`` a second at most."""
        self._flops, self._peak = flops, peak

    def progress(self, state: RunState) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=state.step)

    def training(self, state: RunState, values: Mapping[str, float]) -> None:
        """Tell the means since the last line, and how fast it goes."""
        now = time.perf_counter()
        seconds, steps = max(now - self._since, 1e-9), state.step - self._before.step
        rate = (state.tokens - self._before.tokens) / seconds
        self._before, self._since = state, now
        measured = {**values, "tokens": float(state.tokens), "tokens_per_second": rate}
        if self._peak:
            measured["share_of_peak"] = self._flops * steps / seconds / self._peak
        self._write(state, "train", measured)
        losses = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        speed = f"{rate:,.0f} tokens/s" + (f" ({measured['share_of_peak']:.0%} of peak)" if self._peak else "")
        self.note(f"step {state.step:,}/{self._total:,}  {losses}  {speed}  {self._remaining(state)} left")

    def held_out(self, state: RunState, values: Mapping[str, float]) -> None:
        """Tell what an evaluation found; its time does not count against the speed of training."""
        self._write(state, "held-out", values)
        told = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        self.note(f"step {state.step:,} held out:  {told}")
        self.go_on()

    def go_on(self) -> None:
        """Begin to time training once more: what came since the last line was something else."""
        self._since = time.perf_counter()

    def note(self, text: str) -> None:
        """Print a line on standard error, above the bar if there is one."""
        if self._quiet:
            return
        text = printable(text)
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _remaining(self, state: RunState) -> str:
        done = state.step - self._first.step
        seconds = int((time.perf_counter() - self._started) / max(done, 1) * (self._total - state.step))
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02d}:{seconds % 60:02d}"

    def _write(self, state: RunState, split: str, values: Mapping[str, float]) -> None:
        if self._log is not None:
            self._log.write(state.step, split, values)

    def _start_bar(self, state: RunState) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn(self._what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = self._stack.enter_context(Progress(*columns, console=Console(stderr=True)))
        self._task = self._bar.add_task(self._what, total=self._total, completed=state.step)
