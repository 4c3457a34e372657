"""Examples of one document: Google's rules as they are written down, and what must hold where no text is lost."""

import random
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.pretraining.segments import Draw, Draws, SegmentOptions, cut_document
from support.google_segments import by_the_rules


def cut(lines, draws, **options):
    ids = np.array([token for line in lines for token in line], np.int32)
    ends = np.cumsum([len(line) for line in lines]).astype(np.int64)
    found = cut_document(ids, ends, SegmentOptions(**options), draws)
    return [(first.tolist(), second.tolist()) for first, second in found]


def numbered(lengths):
    """Return lines of tokens that are all different."""
    tokens = iter(range(1000, 1_000_000))
    return [[next(tokens) for _ in range(length)] for length in lengths]


def some_draws(seed):
    """Return enough draws for any document below; edges of the three decisions come often."""
    chance = random.Random(seed)
    edges = (0.0, 0.049, 0.05, 0.099, 0.1, 0.499, 0.5, 0.999)
    return [Draw(*(chance.choice((chance.random(), chance.choice(edges))) for _ in range(4))) for _ in range(400)]


draw_lists = st.integers(0, 10_000).map(some_draws)
line_lengths = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 70)), min_size=1, max_size=30)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(line_lengths, st.integers(8, 40), draw_lists)
def test_google_follows_the_rules(lengths, max_length, draws):
    lines = numbered(lengths)
    assert cut(lines, draws, method="google", max_length=max_length) == by_the_rules(lines, max_length, draws)


def test_google_on_a_case_worked_by_hand():
    """Of lines of 4, 3, 6, 2 and 9 tokens and a length of 13, half of which is 5."""
    a, b, c, d, e = numbered([4, 3, 6, 2, 9])
    never = {"single": 0.5, "shorter": 0.5, "length": 0.0}
    stays, goes = Draw(takes_line=0.7, **never), Draw(takes_line=0.2, **never)
    # 13 tokens are there after three lines; of the second segment 13 - 4 - 3 are kept.
    assert cut([a, b, c, d, e], [stays, stays, stays], method="google", max_length=13)[0] == (a, (b + c)[:6])
    assert cut([a, b, c, d, e], [goes, stays, stays], method="google", max_length=13)[0] == (a + b, c[:3])
    single = Draw(0.05, 0.7, 0.5, 0.0)
    assert cut([a, b, c, d, e], [stays, single, stays], method="google", max_length=13)[1] == (d + e, [])
    # A target of 5 is reached by the first two lines.
    shorter = Draw(0.5, 0.2, 0.01, 0.0)
    assert cut([a, b, c, d, e], [shorter, stays, stays], method="google", max_length=13)[0] == (a, b)
    # A line that comes back to the first segment, behind one that went to the second.
    assert cut([a[:3], e, d[:1]], [Draw(0.5, 0.9, 0.5, 0)] * 2, method="google", max_length=16)[0] == (a[:3] + d[:1], e)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(line_lengths, st.integers(8, 40), draw_lists)
def test_whole_loses_nothing_and_keeps_the_order(lengths, max_length, draws):
    lines = numbered(lengths)
    draws *= 2
    examples = cut(lines, draws, method="whole", max_length=max_length)
    assert [token for example in examples for part in example for token in part] == list(chain.from_iterable(lines))
    line_starts = {line[0] for line in lines if line}
    targets = [5 + int(d.length * (max_length - 4)) if d.shorter < 0.05 else max_length for d in draws]
    for number, (first, second) in enumerate(examples):
        size = 2 + len(first) + (len(second) + 1 if second else 0)
        assert first
        assert size <= targets[number]
        # All but the last are full.
        assert number == len(examples) - 1 or size == targets[number]
        assert not second or second[0] in line_starts
        assert not (second and draws[number].single < 0.1)


def test_whole_divides_where_google_does():
    """What Google's rules keep of an example that ends with a line is divided at the same line by both."""
    a, b, c = numbered([4, 3, 3])
    for takes_line, expected in ((0.7, (a, b + c)), (0.2, (a + b, c))):
        draw = Draw(0.5, takes_line, 0.5, 0.0)
        assert cut([a, b, c], [draw], method="whole", max_length=13) == [expected]
        assert cut([a, b, c], [draw, draw], method="google", max_length=13) == [expected]


def test_a_line_of_many_examples_has_single_segments():
    (line,) = numbered([100])
    examples = cut([line], [Draw(0.5, 0.5, 0.5, 0.5)] * 8, method="whole", max_length=18)
    assert [len(first) for first, _ in examples] == [16] * 6 + [4]
    assert not any(second for _, second in examples)


def test_a_document_without_tokens_is_an_empty_example_to_google_and_none_to_us():
    assert cut([[], []], [Draw(0.5, 0.5, 0.5, 0.5)] * 2, method="google") == [([], [])]
    assert cut([[], []], [Draw(0.5, 0.5, 0.5, 0.5)] * 2, method="whole") == []


def test_draws_depend_on_seed_document_and_example_alone():
    draws = Draws(3, document=7)
    forward = [draws[example] for example in range(200)]
    backward = [draws[example] for example in reversed(range(200))]
    assert forward == backward[::-1] == [Draws(3, 7)[example] for example in range(200)]
    # Philox itself, counting from the place of the document; the upper 53 bits make a number.
    raw = np.random.Philox(key=[3, 0], counter=[0, 0, 7, 0]).random_raw(4 * 200)
    np.testing.assert_array_equal(np.array(forward), (raw >> np.uint64(11)).reshape(200, 4) / 2**53)
    others = [Draws(4, 7), Draws(3, 8), Draws(3, 7, part=1)]
    everything = {
        number for rows in (forward, *([d[i] for i in range(200)] for d in others)) for row in rows for number in row
    }
    assert len(everything) == 4 * 200 * 4  # no number comes twice


def test_draws_are_even():
    rows = np.array([Draws(0, document)[example] for document in range(40) for example in range(250)])
    assert rows.min() >= 0
    assert rows.max() < 1
    # 10,000 numbers in ten bins: chi-square with 9 degrees of freedom is above 33.7 in one of 10,000 cases.
    for column in rows.T:
        counts, _ = np.histogram(column, bins=10, range=(0, 1))
        assert ((counts - 1000) ** 2 / 1000).sum() < 33.7


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "half"}, "segments must be one of 'whole', 'google', found 'half'"),
        ({"max_length": 7}, "max_length must be from 8 to 32768, found 7"),
        ({"shorter": 1.5}, "shorter must be a probability, found 1.5"),
        ({"single_segment": -0.1}, "single_segment must be a probability"),
    ],
)
def test_wrong_options_are_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        SegmentOptions(**options)
