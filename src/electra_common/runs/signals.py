"""SIGTERM and SIGINT end a run after the step at hand, with a checkpoint, instead of ending the program."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Protocol

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """What can be asked to stop."""

    was_signalled: bool

    def ask_to_stop(self) -> None:
        """End after the step at hand."""


@contextmanager
def stopped_by_signals(run: Stoppable, *, has_others: bool) -> Iterator[None]:
    """Let signals stop a run while the block lasts.

    Args:
        run: is asked to stop.
        has_others: whether other programs compute the run too.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        # Whoever presses Ctrl-C twice does not want to wait for a checkpoint. Among several programs it proves nothing:
        # the terminal sends one signal, and the launcher another.
        if run.was_signalled and number == signal.SIGINT and not has_others:
            raise KeyboardInterrupt
        run.ask_to_stop()

    try:
        before = {number: signal.signal(number, stop) for number in _SIGNALS}
    except ValueError:  # not the main thread: whoever called has the signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
