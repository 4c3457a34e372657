"""The order of examples: each pass reads every example once, in an order that the seed alone decides."""

import numpy as np
import pytest

from electra_common.runs.data_order import example_numbers, permute


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 65, 1023, 4099])
def test_a_pass_reads_every_example_once(size):
    first, second = (example_numbers(size, seed=5, first=start, count=size) for start in (0, size))
    assert sorted(first) == sorted(second) == list(range(size))
    assert size < 17 or (first != second).any()


def test_the_place_decides_and_not_what_was_asked_for_before():
    whole = example_numbers(101, seed=3, first=0, count=350)
    parts = [example_numbers(101, seed=3, first=start, count=25) for start in range(0, 350, 25)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_another_seed_gives_another_order():
    one, other = (example_numbers(997, seed=seed, first=0, count=997) for seed in (0, 1))
    assert (one == other).sum() < 20


def test_neighbours_are_spread_over_the_whole_range():
    """A shuffle of a small buffer would leave them close together: the mean distance of random pairs is a third."""
    order = example_numbers(10_000, seed=2, first=0, count=10_000)
    distance = np.abs(np.diff(order)).mean() / 10_000
    assert 0.30 < distance < 0.37
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05


def test_sizes_beyond_memory_take_none():
    assert permute(np.array([0, 5, 10**12]), 10**12 + 1, seed=0, number=0).max() <= 10**12


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        example_numbers(0, seed=0, first=0, count=1)
