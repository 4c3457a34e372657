"""A framework's process: it does jobs until it is closed, tells how it died, and takes no print for an answer."""

import os
import signal

import pytest

from conftest import is_installed
from electra_common import CheckpointError
from electra_common.cli.answers import find_model, make_job
from electra_common.cli.frameworks import (
    _STAYING,
    FRAMEWORKS,
    FrameworkError,
    FrameworkMissingError,
    FrameworkProcess,
    Job,
    frameworks_stay,
    run_in_frameworks,
)
from support.assertions import count_calls

FAMILY = "pt" if is_installed("torch") else "tf"
ANSWERING = make_job("detect", find_model("detect", None), ["The chef ate the meal."], {})


def test_a_process_does_job_after_job_and_tells_how_it_died(monkeypatch):
    """Also after one that was refused."""
    started = count_calls(monkeypatch, FrameworkProcess, "__enter__")
    with frameworks_stay([FAMILY]):
        first, second = (run_in_frameworks((FAMILY,), ANSWERING, {})[FAMILY].answers for _ in range(2))
        assert first == second
        with pytest.raises(CheckpointError, match="no such file"):
            run_in_frameworks((FAMILY,), Job("run", "nowhere", "ElectraForPreTraining"), {})
        assert run_in_frameworks((FAMILY,), ANSWERING, {})[FAMILY].answers == first
        assert len(started) == 1
        os.kill(_STAYING.get()[FAMILY]._process.pid, signal.SIGKILL)
        for _ in range(2):  # the job that meets it, and any after
            with pytest.raises(FrameworkError, match=f"{FRAMEWORKS[FAMILY]} process was ended by SIGKILL; was there"):
                run_in_frameworks((FAMILY,), ANSWERING, {})


@pytest.mark.once
def test_what_a_framework_prints_is_no_answer_and_the_last_of_it_tells_why_it_ended(tmp_path, monkeypatch):
    """A package of that name stands in for the framework."""
    (tmp_path / "electra_pt").mkdir()
    (tmp_path / "electra_pt" / "__init__.py").write_text("print('hello')")
    (tmp_path / "electra_pt" / "recording.py").write_text("print('hello again')\nraise OSError('the disk is gone')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with FrameworkProcess("pt") as process, pytest.raises(FrameworkError, match="code 1: OSError: the disk is gone"):
        process.run(ANSWERING, {})


def test_a_framework_that_is_not_there_is_told_at_the_first_job():
    missing = {"pt": "torch", "tf": "tensorflow"}
    absent = [name for name, package in missing.items() if not is_installed(package)]
    if not absent:
        pytest.skip("both are installed")
    with frameworks_stay(absent), pytest.raises(FrameworkMissingError, match="pip install"):
        run_in_frameworks((absent[0],), ANSWERING, {})
