"""Windows over a context, by hand and by what must hold of any."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.features.windows import context_windows


@pytest.mark.parametrize(
    ("length", "room", "stride", "windows"),
    [
        (0, 4, 3, [(0, 0)]),
        (4, 4, 3, [(0, 4)]),
        (10, 4, 3, [(0, 4), (3, 7), (6, 10)]),
        (11, 4, 3, [(0, 4), (3, 7), (6, 10), (9, 11)]),
        (9, 4, 7, [(0, 4), (4, 8), (8, 9)]),  # a stride beyond the window leaves no gap
        (3, 1, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_windows_stand_where_bert_places_them(length, room, stride, windows):
    assert context_windows(length, room, stride) == windows


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 50))
def test_every_token_stands_in_a_window_and_no_window_is_needless(length, room, stride):
    windows = context_windows(length, room, stride)
    assert {token for start, end in windows for token in range(start, end)} == set(range(length))
    assert all(0 < end - start <= room for start, end in windows)
    assert all(end < length for _, end in windows[:-1])
    assert {after[0] - before[0] for before, after in pairwise(windows)} <= {min(room, stride)}
