"""Running the command line as a user does, in this process."""

import sys

import pytest

from electra_common.cli.main import main


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
