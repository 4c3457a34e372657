"""What several processes agree on, tried with threads: all stop, and all fail, together."""

import numpy as np
import pytest

from electra_common.runs.processes import AnotherProcessFailedError, Processes
from electra_common.runs.run_folder import check_one_folder, open_run_folder
from support.threaded_processes import run_everywhere

COUNT = 3


def everywhere(function):
    return run_everywhere(function, COUNT)


def test_every_process_sees_what_each_one_said():
    assert [result() for result in everywhere(lambda n, processes: processes.gather(10.0 * n))] == [[0, 10, 20]] * COUNT
    assert [result() for result in everywhere(lambda n, processes: processes.anywhere(n == 1))] == [True] * COUNT
    assert [result() for result in everywhere(lambda n, processes: processes.anywhere(False))] == [False] * COUNT


def test_what_fails_in_one_process_ends_all_with_one_message():
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


def test_what_was_started_alike_goes_on():
    """The order of an object's fields says nothing; other numbers do not add up to the same."""
    facts = [{"seed": seed, "recipe": {"steps": 7, "learning_rate": 5e-4}} for seed in (2**60, 2**60, 2**60)]
    facts[1]["recipe"] = dict(reversed(facts[1]["recipe"].items()))
    assert [result() for result in everywhere(lambda n, processes: processes.check_alike(facts[n]))] == [None] * COUNT
    Processes().check_alike(facts[0])


@pytest.mark.parametrize(
    ("odd", "name", "value", "message"),
    [
        (1, "seed", 4, "^seed: process 1 was started with another value than process 0; start all with the same arg"),
        (2, "recipe", {"steps": 7, "learning_rate": 5.000001e-4}, "^recipe: process 2 was started with another value"),
        (0, "data", "5" * 64, "^data: process 1 was started with another value than process 0"),
        (2, "start_from", None, "^start_from: process 2 was started with another value"),
    ],
)
def test_what_was_started_otherwise_is_refused_in_all_processes_by_what_differs(odd, name, value, message):
    facts = {"recipe": {"steps": 7, "learning_rate": 5e-4}, "seed": 3, "data": "4" * 64, "start_from": "None"}
    results = everywhere(lambda n, processes: processes.check_alike({**facts, name: value} if n == odd else facts))
    for result in results:
        with pytest.raises(ValueError, match=message):
            result()


def test_a_thousand_seeds_are_told_apart_by_numbers_that_add_up_exactly():
    heard = set()

    def add_up(values):
        heard.add(float(values[0]))
        return np.full_like(values, values[0])

    for seed in range(1000):
        Processes(2, (0,), add_up).check_alike({"seed": seed})
    assert len(heard) == 1000
    assert max(heard) < 2**53


def test_processes_that_see_other_folders_are_refused(tmp_path):
    """Such as on two machines without a disk in common."""
    folders = [tmp_path / name for name in ("one", "one", "other")]
    with open_run_folder(folders[0], {"seed": 3}, {}):
        for result in everywhere(lambda n, processes: check_one_folder(folders[0], processes)):
            result()
        for result in everywhere(lambda n, processes: check_one_folder(folders[n], processes)):
            with pytest.raises(ValueError, match="process 2 sees another folder there; give all one folder that all"):
                result()


def test_alone_an_error_is_itself_and_nobody_is_asked():
    alone = Processes()
    assert alone.is_first
    assert not alone.anywhere(False)
    with pytest.raises(ValueError, match="own"), alone.together():
        raise ValueError("own")
