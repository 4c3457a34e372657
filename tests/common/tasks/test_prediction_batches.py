"""Which rows are computed at once: each once, with rows of like length, and no more tokens than asked for."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.tasks.features.rows import Row
from electra_common.tasks.prediction_batches import plan_batches

TOKENS = 2048


def rows_of(lengths, choices=None):
    def row(number, length):
        shape = (length,) if choices is None else (choices, length)
        return Row({"input_ids": np.ones(shape, np.int64)}, {}, number)

    return [row(number, length) for number, length in enumerate(lengths)]


@settings(deadline=None, derandomize=True)
@given(lengths=st.lists(st.one_of(st.integers(1, 40), st.integers(1, 3000)), max_size=300))
def test_batches_are_as_full_as_the_tokens_allow(lengths):
    batches = list(plan_batches(rows_of(lengths), None))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    in_order = [lengths[number] for batch in batches for number in batch]
    assert in_order == sorted(lengths)
    assert all(len(batch) * lengths[batch[-1]] <= TOKENS or len(batch) == 1 for batch in batches)
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * lengths[following[0]] > TOKENS


def test_choices_count_as_tokens():
    sizes = [len(batch) for batch in plan_batches(rows_of([16] * 100, choices=5), None)]
    assert max(sizes) * 5 * 16 <= TOKENS < (max(sizes) + 1) * 5 * 16


def test_a_number_of_rows_may_be_asked_for():
    assert list(plan_batches(rows_of([9, 3, 7, 3, 5]), 2)) == [[1, 3], [4, 2], [0]]
    assert list(plan_batches([], None)) == list(plan_batches([], 3)) == []
    with pytest.raises(ValueError, match="batch size of at least 1, found 0"):
        list(plan_batches(rows_of([3]), 0))
