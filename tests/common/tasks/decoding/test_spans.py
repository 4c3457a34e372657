"""Tags and spans, by seqeval's reading of any tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from electra_common.tasks.decoding.spans import Span, bio_spans, spans_to_bio
from support.fine_tuning_examples import sentences

TAGS = ["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in ("x", "y-z"))]


@given(st.lists(st.sampled_from([*TAGS, "B", "I"])))
def test_any_tags_are_read_as_by_seqeval(tags):
    expected = [(label if label != "_" else "", start, last + 1) for label, start, last in get_entities(list(tags))]
    assert bio_spans(tags) == expected


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-x I-x O B-x B-x", [("x", 0, 2), ("x", 3, 4), ("x", 4, 5)]),
        ("I-x I-x", [("x", 0, 2)]),
        ("B-x I-y I-y", [("x", 0, 1), ("y", 1, 3)]),
        ("O I-y B-y", [("y", 1, 2), ("y", 2, 3)]),
        ("NOUN NOUN O", [("NOUN", 0, 2)]),
    ],
)
def test_spans_by_hand(tags, spans):
    assert bio_spans(tags.split()) == spans


@st.composite
def some_spans(draw):
    """Spans that do not overlap, and the length of a sentence that they lie in."""
    edges = sorted(draw(st.sets(st.integers(0, 30), max_size=12)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return [Span(draw(st.sampled_from(["", "x", "y-z"])), *pair) for pair in pairs], 30


@given(some_spans())
def test_spans_come_back_from_their_tags(given_spans):
    spans, length = given_spans
    tags = spans_to_bio(spans, length)
    assert len(tags) == length
    assert bio_spans(tags) == spans


def test_real_tags_come_back_from_their_spans():
    assert all(spans_to_bio(bio_spans(item.tags), len(item.tags)) == item.tags for item in sentences())


@pytest.mark.parametrize("span", [(3, 3), (-1, 1), (4, 6), (1, 3)])
def test_spans_that_bio_cannot_tell_are_refused(span):
    with pytest.raises(ValueError, match=f"a span of words {span[0]} to {span[1]}"):
        spans_to_bio([Span("x", 2, 4), Span("y", *span)], 5)
