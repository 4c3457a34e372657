"""Running scripts in one framework, in processes of their own, so that no process ever holds both frameworks.

They are forked from a process that has imported the framework, one for each, which lives as long as the tests do:
`python -m support.workers pt|tf` reads a job a line, and answers with the exit code.
"""

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support.fixtures import TESTS


def run_script(framework, script, *arguments):
    """Run a test's worker script; its output is shown if it fails."""
    server = _server(framework)
    with TemporaryDirectory() as folder:
        output = Path(folder, "output")
        print(json.dumps([str(script), [*map(str, arguments)], str(output)]), file=server.stdin, flush=True)
        code = server.stdout.readline().strip()
        assert code == "0", f"{script.name} failed with {code or 'its server'}:\n{output.read_text()[-8000:]}"


@cache
def _server(framework):
    search_path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "support.workers", framework],
        env={**os.environ, "PYTHONPATH": search_path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(server.kill)
    return server


def _serve(framework):
    importlib.import_module(f"electra_{framework}")
    for line in sys.stdin:
        script, arguments, output = json.loads(line)
        child = os.fork()
        if not child:
            _run(script, arguments, output)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(script, arguments, output):
    """Run a script as `python` does, what it prints in a file, and end."""
    with open(output, "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    code = 1
    try:
        sys.argv = [script, *arguments]
        runpy.run_path(script, run_name="__main__")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
