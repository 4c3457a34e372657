"""Running a script in a process of its own, so that no process ever holds both frameworks."""

import os
import subprocess
import sys

from support.fixtures import TESTS


def run_script(script, *arguments, environment=None):
    """Run a test's worker script; its output is shown if it fails."""
    search_path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": search_path, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, f"{script.name} failed:\n{finished.stdout}\n{finished.stderr[-6000:]}"
    return finished
