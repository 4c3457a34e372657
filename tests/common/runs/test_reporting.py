"""What a run tells on a terminal and elsewhere."""

import io
import re

import pytest

from electra_common.runs.reporting import Reporter
from electra_common.runs.run_folder import RunState


class Terminal(io.StringIO):
    """A terminal that remembers what it was sent."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def streams(monkeypatch):
    """Return a function that puts another stream in the place of standard error."""
    for name, value in (("TERM", "xterm"), ("COLUMNS", "200"), ("LINES", "30")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def replace(stream):
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return replace


def tell_of_a_run(*, quiet=False):
    with Reporter(None, what="pre-training", quiet=quiet) as reporter:
        reporter.start(RunState(3, 30), last_step=17, steps=20)
        for step in (4, 5):
            reporter.progress(RunState(step, 10 * step))
        reporter.training(RunState(5, 50), {"generator_loss": 2.5})


def test_a_terminal_shows_a_bar_with_lines_above_it(streams):
    shown = streams(Terminal())
    tell_of_a_run()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    lines = [line.rpartition("\r")[2] for line in text.split("\n")]  # what is drawn last stays
    assert lines[0] == "goes on from step 3 of 20"
    assert re.fullmatch(r"step 5/17  generator loss 2\.5  .* left", lines[-3])
    assert re.fullmatch(r"pre-training ━\S+ +5/17 .*", lines[-2])


def test_elsewhere_there_are_plain_lines_and_no_bar(streams):
    written = streams(io.StringIO())
    tell_of_a_run()
    first, second = written.getvalue().splitlines()
    assert first == "goes on from step 3 of 20"
    assert second.startswith("step 5/17  generator loss 2.5  ")


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_who_is_to_be_quiet_tells_nothing(streams, stream):
    written = streams(stream())
    tell_of_a_run(quiet=True)
    assert written.getvalue() == ""
