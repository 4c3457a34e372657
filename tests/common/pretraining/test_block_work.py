"""Blocks are worked on in order, and no more of them are in memory than the processes need."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from weakref import WeakSet

import pytest

from electra_common.pretraining import block_work
from electra_common.pretraining.block_work import work_in_order

COUNT = 60


ALIVE = WeakSet()


class Remembered:
    """A block, or what became of one: it is known how many there are."""

    def __init__(self, place):
        self.place = place
        ALIVE.add(self)


@pytest.fixture
def threads(monkeypatch):
    """Threads in the place of processes; the work is to make another object for each block."""

    def pool(workers, context, begin, arguments):
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(block_work, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(block_work, "BlockWorker", lambda work: lambda block: Remembered(block.place))
    monkeypatch.setattr(block_work, "_work_in_process", lambda block: Remembered(block.place))


@pytest.mark.parametrize(("workers", "most_ahead"), [(1, 1), (2, 5), (5, 11)])
def test_only_a_few_blocks_are_read_ahead_and_only_their_results_are_kept(threads, workers, most_ahead):
    read = SimpleNamespace(count=0)

    def blocks():
        for number in range(COUNT):
            read.count += 1
            yield Remembered(10 * number)

    done = 0
    for place, result in work_in_order(blocks(), SimpleNamespace(), workers):
        assert place == result.place == 10 * done
        done += 1
        del result
        assert read.count - (done - 1) <= most_ahead
        # A block and its result for each that was read ahead, and one of each at hand here, there and in each worker.
        assert len(ALIVE) <= 2 * (most_ahead + workers + 1)
    assert (done, read.count) == (COUNT, COUNT)
    assert 2 * (most_ahead + workers + 1) < COUNT


def test_blocks_in_front_are_left_out(threads):
    blocks = (Remembered(place) for place in range(9))
    assert [place for place, _ in work_in_order(blocks, SimpleNamespace(), 2, skip=4)] == [4, 5, 6, 7, 8]
