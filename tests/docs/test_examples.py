"""Every example on README.md and docs/*.md runs and prints what the page shows."""

import pytest

from conftest import is_installed
from support.examples import (
    FRAMEWORKS,
    assert_output,
    console_examples,
    needs_both,
    needs_one,
    python_sessions,
    run_console,
    run_session,
)


def _console_parameters():
    return [pytest.param(item, id=item.place, marks=_marks_of_console(item)) for item in console_examples()]


def _marks_of_console(example):
    if needs_both(example):
        return pytest.mark.both
    return () if needs_one(example) else pytest.mark.once


def _session_parameters():
    return [pytest.param(item, id=item.name, marks=_marks_of_session(item)) for item in python_sessions()]


def _marks_of_session(session):
    """The pages that train most take long in TensorFlow, which traces first; in PyTorch they are run every time."""
    if not session.family:
        return pytest.mark.once
    trains = session.page.name == "fine-tuning.md" or session.page.parent.name == "tutorials"
    return pytest.mark.thorough if trains and session.family == "electra_tf" else ()


@pytest.mark.parametrize("session", _session_parameters())
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


# The command line is the same in both families, which tests/cli runs; a page shows it in one.
@pytest.mark.once
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
