"""Every example on README.md and docs/*.md runs and prints what the page shows."""

import pytest

from conftest import is_installed
from support.examples import (
    FRAMEWORKS,
    assert_output,
    console_examples,
    needs_both,
    python_sessions,
    run_console,
    run_session,
)


def _console_parameters():
    marks = {True: pytest.mark.both, False: ()}
    return [pytest.param(item, id=item.place, marks=marks[needs_both(item)]) for item in console_examples()]


@pytest.mark.parametrize("session", python_sessions(), ids=lambda session: session.name)
def test_python_examples(session, tmp_path):
    missing = [name for name in FRAMEWORKS.get(session.family, ()) if not is_installed(name)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    printed = run_session(session, tmp_path)
    assert len(printed) == len(session.examples)
    for example, found in zip(session.examples, printed, strict=True):
        if example.output is None:
            assert not found, f"{example.place} prints something that the page does not show:\n{found}"
        else:
            assert_output(example.place, example.output, found)


@pytest.mark.parametrize("example", _console_parameters())
def test_console_examples(example, tmp_path):
    printed = run_console(example, tmp_path)
    if example.output is not None:
        assert_output(example.place, example.output, printed)


def test_there_are_examples():
    """A change of the pages' form must not empty the tests above."""
    families = {session.family for session in python_sessions() if session.page.name == "README.md"}
    assert families >= set(FRAMEWORKS)
    assert any(needs_both(example) for example in console_examples())
    assert any(not needs_both(example) for example in console_examples())
