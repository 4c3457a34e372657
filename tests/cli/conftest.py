"""Running the command line as a user does, in this process."""

import sys

import pytest

from conftest import is_installed
from electra_common.cli.frameworks import frameworks_stay
from electra_common.cli.main import main


@pytest.fixture(scope="session")
def one_process_each():
    """All commands share one process for each framework that is installed; starting one takes seconds."""
    with frameworks_stay([name for name, package in (("pt", "torch"), ("tf", "tensorflow")) if is_installed(package)]):
        yield


@pytest.fixture
def electra(monkeypatch, capsys):
    """Run the command line; returns (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["electra", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run
