"""What a loop asks of a run and tells it: the part that pre-training and fine-tuning have in common.

What it is not: data, batches, metrics and checkpoints, which each of them has for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager

from electra_common.runs.processes import Processes
from electra_common.runs.reporting import Reporter
from electra_common.runs.run_folder import RunState


class TrainingDivergedError(RuntimeError):
    """A loss or gradient is no longer a number; the checkpoints written before are good."""


class Run:
    """A run as its loop sees it, in each of the processes that compute it.

    Args:
        state: where it stands.
        last_step: of this call.
        processes: how many compute it, and which of them this program drives.
        reporter: speaks for it.

    Attributes:
        state: steps done and tokens seen; the loop moves it with :meth:`finish_step`.
        last_step: how many steps are done when this call ends.
        was_signalled: whether this process was asked to stop.
        asked_to_stop: whether any process was, before the step just finished ended: all of them see the same.
    """

    def __init__(self, state: RunState, *, last_step: int, processes: Processes, reporter: Reporter) -> None:
        self.state, self.last_step = state, last_step
        self._processes, self._reporter = processes, reporter
        self.asked_to_stop = self.was_signalled = False

    def together(self) -> AbstractContextManager[None]:
        """Let what fails inside in one process, such as a full disk, end all of them; all must come here."""
        return self._processes.together()

    def finish_step(self, step: int, tokens: int) -> None:
        """Count a step, and the real tokens of all processes in it."""
        self.state = RunState(step + 1, self.state.tokens + tokens)
        self.asked_to_stop = self._processes.anywhere(self.was_signalled)
        self._reporter.progress(self.state)

    def ask_to_stop(self) -> None:
        """Let all processes end after the step at hand, with a checkpoint."""
        self.was_signalled = True

    def is_due(self, every: int) -> bool:
        """Whether what happens every so many steps, and at the end, is due; 0 for never."""
        return every > 0 and (self.state.step % every == 0 or self.state.step == self.last_step)

    def log(self, values: Mapping[str, float]) -> None:
        """Write a line of the training log. What fails in one process fails in all, so all of them come here.

        Raises:
            TrainingDivergedError: a value is not finite.
        """
        with self.together():
            self.check_finite(values)
            self._reporter.training(self.state, values)

    def check_finite(self, values: Mapping[str, float]) -> None:
        """Raise TrainingDivergedError where a value is no number."""
        if wrong := {name: value for name, value in values.items() if not math.isfinite(value)}:
            found = ", ".join(f"{name} is {value}" for name, value in wrong.items())
            raise TrainingDivergedError(
                f"{self.place}: {found}; {self.remains}try a smaller learning_rate or a longer warm-up"
            )

    @property
    def place(self) -> str:
        """Where the run stands, for messages."""
        return f"step {self.state.step}"

    @property
    def remains(self) -> str:
        """What is left of a run that diverged, for messages; empty or with ``"; "`` at its end."""
        return ""
