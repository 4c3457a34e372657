"""What several processes agree on, tried with threads: all stop, and all fail, together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from electra_common.pretraining.processes import AnotherProcessFailedError, Processes

COUNT = 3


@pytest.fixture
def everywhere():
    """Run a function of (number, its processes) in each of three threads that add vectors up together."""
    barrier, parts = threading.Barrier(COUNT, timeout=20), {}

    def member(number):
        def add_up(values):
            parts[number] = values
            barrier.wait()
            total = np.sum(list(parts.values()), axis=0)
            barrier.wait()
            return total

        return Processes(COUNT, (number,), add_up)

    def run(function):
        with ThreadPoolExecutor(COUNT) as pool:
            return [found.result for found in [pool.submit(function, n, member(n)) for n in range(COUNT)]]

    return run


def test_every_process_sees_what_each_one_said(everywhere):
    assert [result() for result in everywhere(lambda n, processes: processes.gather(10.0 * n))] == [[0, 10, 20]] * COUNT
    assert [result() for result in everywhere(lambda n, processes: processes.anywhere(n == 1))] == [True] * COUNT
    assert [result() for result in everywhere(lambda n, processes: processes.anywhere(False))] == [False] * COUNT


def test_what_fails_in_one_process_ends_all_with_one_message(everywhere):
    def fail_in_the_second(number, processes):
        with processes.together():
            if number == 1:
                raise ValueError("the disk is full")

    first, second, third = everywhere(fail_in_the_second)
    with pytest.raises(ValueError, match="the disk is full"):
        second()
    for result in (first, third):
        with pytest.raises(AnotherProcessFailedError, match="process 1 of 3 failed, and tells why"):
            result()


def test_alone_an_error_is_itself_and_nobody_is_asked():
    alone = Processes()
    assert alone.is_first
    assert not alone.anywhere(False)
    with pytest.raises(ValueError, match="own"), alone.together():
        raise ValueError("own")
