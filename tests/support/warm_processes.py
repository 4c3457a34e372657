"""Programs in processes of their own that start warm: forked from one that has imported what they would all import.

Importing a framework takes seconds, and what a test's program computes a fraction of one. Nothing else is shared: a
program has its own environment, folder, arguments and streams, and what it changes ends with it. What is about starting
itself (tests/architecture, torchrun) starts cold.
"""

import io
import multiprocessing
import os
import re
import sys
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

from conftest import is_installed

# What is read when packages are imported, the same for all programs.
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONIOENCODING": "utf-8",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_CONTEXT = multiprocessing.get_context("forkserver")
# What is between quotes means itself, unless it is between double ones and begins a substitution.
_QUOTED = re.compile(r"""'[^']*'|["][^"$`\\]*["]""")
_MEANS_MORE = re.compile(r"""[|&;<>()$`*?\[\]{}~#!'"\\]""")


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def is_plain(command):
    """Whether a line for a shell calls `electra` with arguments, and asks nothing else of the shell."""
    return command.startswith("electra ") and not _MEANS_MORE.search(_QUOTED.sub("", command))


def run_electra(*arguments, **options):
    """Run the command `electra` as from a shell; for the options see :class:`WarmProcess`."""
    return start_electra(*arguments, **options).finish()


def start_electra(*arguments, **options):
    """Start the command `electra`; for the options see :class:`WarmProcess`."""
    return WarmProcess(_electra, *map(str, arguments), **options)


def run_code(code, *arguments, **options):
    """Run Python as ``python -c`` does; for the options see :class:`WarmProcess`."""
    return WarmProcess(_code, code, *map(str, arguments), **options).finish()


class WarmProcess:
    """A process that runs ``program(*arguments)``, a function of a module that can be imported.

    Args:
        program: what is run; like a script it may end by ``sys.exit``.
        arguments: plain values.
        folder: where it runs.
        environment: what it has besides this process's and ``SETTINGS``.
        input: what it reads from standard input.
        prepare: a function that is called first, such as one that sets limits.
        merged: both streams are one, as on a terminal.
    """

    def __init__(self, program, *arguments, folder=".", environment=None, input="", prepare=None, merged=False):
        _start_server()
        self._streams = TemporaryDirectory()
        names = ("in", "out", "out" if merged else "errors")
        given, self._out, self._errors = streams = [str(Path(self._streams.name, name)) for name in names]
        Path(given).write_text(input, encoding="utf-8")
        variables = {**os.environ, **SETTINGS, **(environment or {})}
        place = (str(Path(folder).absolute()), variables, prepare, streams)
        self._process = _CONTEXT.Process(target=_run, args=(program, arguments, *place))
        self._process.start()

    def kill(self):
        """End it at once; :meth:`finish` then tells what it had printed."""
        self._process.kill()

    def finish(self, seconds=None):
        """Wait for its end, or for so many seconds and kill it, and return what it printed."""
        self._process.join(seconds)
        self._process.kill()
        self._process.join()
        out, errors = (Path(name).read_text(encoding="utf-8") for name in (self._out, self._errors))
        self._streams.cleanup()
        return Finished(self._process.exitcode, out, "" if self._out == self._errors else errors)


def _start_server():
    """Start the process that all others are forked from; it imports the framework where exactly one is installed."""
    installed = [name for name, package in (("pt", "torch"), ("tf", "keras")) if is_installed(package)]
    modules = ["electra_common.cli.main", *([f"electra_{name}" for name in installed] if len(installed) == 1 else ())]
    if installed == ["pt"]:
        modules.append("torch._dynamo")  # which any optimizer imports
    _CONTEXT.set_forkserver_preload(modules)
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update(SETTINGS)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _run(program, arguments, folder, variables, prepare, streams):
    for number, name in enumerate(streams):
        stream = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = io.TextIOWrapper(io.FileIO(0), encoding="utf-8")  # multiprocessing put another in its place
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    if prepare is not None:
        prepare()
    program(*arguments)


def _code(code, *arguments):
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})


def _electra(*arguments):
    from electra_common.cli.main import main

    sys.argv = ["electra", *arguments]
    main()
