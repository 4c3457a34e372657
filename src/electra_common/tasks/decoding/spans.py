"""Tags that mark spans: from BIO tags to spans of words, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from electra_common.tasks.readers.labels import OUTSIDE


class Span(NamedTuple):
    """Words ``start`` to ``end`` (not included) of a sentence, and what they are."""

    label: str
    start: int
    end: int


def bio_spans(tags: Sequence[str]) -> list[Span]:
    """Return the spans that tags mark, reading them as conlleval and seqeval do by default.

    No sequence of tags is wrong: an ``I-`` that continues nothing, or something of another label, begins a span.
    ``E-`` (the last word of a span) and ``S-`` (the only one) are understood too, and any other tag is read as the
    inside of a span that is called like it.
    """
    spans = []
    label, start = "", -1  # -1: no span is open
    for place, tag in enumerate(tags):
        prefix, found = _split(tag)
        if start >= 0 and (prefix in (OUTSIDE, "B", "S") or found != label):
            spans.append(Span(label, start, place))
            start = -1
        if prefix == OUTSIDE:
            continue
        if start < 0:
            label, start = found, place
        if prefix in ("E", "S"):
            spans.append(Span(label, start, place + 1))
            start = -1
    if start >= 0:
        spans.append(Span(label, start, len(tags)))
    return spans


def spans_to_bio(spans: Iterable[Span], length: int) -> tuple[str, ...]:
    """Return the BIO tags of a sentence of so many words.

    Raises:
        ValueError: a span is empty, reaches beyond the sentence or overlaps another one.
    """
    tags = [OUTSIDE] * length
    for span in spans:
        if not 0 <= span.start < span.end <= length:
            raise ValueError(f"a span of words {span.start} to {span.end} does not lie in a sentence of {length} words")
        if any(tag != OUTSIDE for tag in tags[span.start : span.end]):
            raise ValueError(
                f"a span of words {span.start} to {span.end} overlaps another one; BIO has no tags for that"
            )
        suffix = f"-{span.label}" if span.label else ""
        tags[span.start : span.end] = ["B" + suffix, *["I" + suffix] * (span.end - span.start - 1)]
    return tuple(tags)


def _split(tag: str) -> tuple[str, str]:
    """Return the prefix of a tag and its label."""
    prefix, _, label = tag.partition("-")
    return (prefix, label) if prefix in (OUTSIDE, "B", "I", "E", "S") else ("I", tag)
