"""The best spans, by looking at every span there is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.decoding.best_spans import best_spans, best_spans_of_beams


def as_list(spans):
    return [(int(start), int(end), float(score)) for start, end, score in zip(*spans, strict=True)]


def every_span(starts, ends, max_length):
    """Return all spans, best first; without ties their order is settled."""
    spans = [
        (start, end, float(starts[start]) + float(ends[end]))
        for start in range(len(starts))
        for end in range(start, len(ends))
        if end - start + 1 <= max_length
    ]
    return sorted(spans, key=lambda span: -span[2])


@given(st.integers(0, 2**32), st.integers(0, 23), st.integers(1, 40), st.integers(1, 50))
def test_the_best_of_all_spans_are_found(seed, length, count, max_length):
    starts, ends = np.random.default_rng(seed).normal(size=(2, length)).astype(np.float32)
    found = as_list(best_spans(starts, ends, count=count, max_length=max_length))
    assert found == every_span(starts, ends, max_length)[:count]


def test_of_equal_spans_the_first_comes_first():
    found = as_list(best_spans(np.zeros(3), np.zeros(3), count=9, max_length=2))
    assert found == [(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 2, 0), (2, 2, 0)]


def test_a_token_without_a_number_is_in_no_span():
    found = best_spans(np.array([np.nan, 1.0]), np.array([5.0, np.nan]), count=4, max_length=4)
    assert as_list(found) == []


@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 30), st.integers(1, 12))
def test_beams_give_the_legal_spans_alone(seed, beam, count, max_length):
    random = np.random.default_rng(seed)
    length, first, behind = 15, 4, 13
    starts = random.choice(length, beam, replace=False)
    ends = np.stack([random.choice(length, beam, replace=False) for _ in range(beam)])
    start_scores, end_scores = random.normal(size=beam), random.normal(size=(beam, beam))
    expected = [
        (int(starts[i]), int(ends[i, j]), start_scores[i] + end_scores[i, j])
        for i in range(beam)
        for j in range(beam)
        if first <= starts[i] <= ends[i, j] < behind and ends[i, j] - starts[i] + 1 <= max_length
    ]
    found = best_spans_of_beams(
        start_scores, starts, end_scores, ends, first=first, behind=behind, count=count, max_length=max_length
    )
    assert as_list(found) == sorted(expected, key=lambda span: -span[2])[:count]
