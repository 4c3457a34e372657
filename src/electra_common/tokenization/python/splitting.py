"""Normalized text to words: cut at whitespace, and around each punctuation character."""

from __future__ import annotations

from collections.abc import Iterator

from electra_common.tokenization.python.unicode_tables import PUNCTUATION, WHITESPACE, CharacterTable


def words(text: str, table: CharacterTable) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each word; a punctuation character is a word of its own."""
    properties = table.properties
    start = 0
    for index, character in enumerate(text):
        kind = properties[ord(character)]
        if kind & (PUNCTUATION | WHITESPACE):
            if start < index:
                yield start, index
            if kind & PUNCTUATION:
                yield index, index + 1
            start = index + 1
    if start < len(text):
        yield start, len(text)
