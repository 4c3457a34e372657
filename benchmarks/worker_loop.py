"""What the worker processes share: they read a line, work, and answer with a line of JSON.

Peers run it in environments that have not this library, so nothing but Python's own is imported here.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

CLOCKS: Final = {"wall": time.perf_counter, "processor": time.process_time}


def answer_lines(works: Mapping[str, Callable[..., Any]]) -> None:
    """Answer "ready", then each line: a list of a work's name and the words that it is called with.

    The work "memory" is answered by the peak of this process's memory in MB, whatever it did before. What libraries
    print goes to the error stream, away from the answers.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        print(json.dumps("ready"), file=answers, flush=True)
        for line in sys.stdin:
            name, *words = json.loads(line)
            answer = peak_megabytes() if name == "memory" else works[name](*words)
            print(json.dumps(answer), file=answers, flush=True)


def peak_megabytes() -> float:
    """Return what the operating system accounts to this process at most."""
    with open("/proc/self/status") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmHWM"))) / 1024
