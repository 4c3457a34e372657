"""The processes of a run, played by threads that add vectors up together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from electra_common.runs.processes import Processes

SECONDS = 5.0  # who waits longer waits for one that has gone another way


def run_everywhere(function, count=3):
    """Run a function of (number, its processes) in each of so many threads.

    Returns:
        For each of them a call that gives what the function returned, or raises what it met.
    """
    barrier, parts = threading.Barrier(count, timeout=SECONDS), {}

    def member(number):
        def add_up(values):
            parts[number] = values
            barrier.wait()
            total = np.sum(list(parts.values()), axis=0)
            barrier.wait()
            return total

        return Processes(count, (number,), add_up)

    with ThreadPoolExecutor(count) as pool:
        return [found.result for found in [pool.submit(function, n, member(n)) for n in range(count)]]
