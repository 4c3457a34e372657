"""Text to normalized text, each character with its place in the original: clean, ideographs, accents, lower case.

What it is for: BERT's normalization as the ``tokenizers`` library does it, as pure functions. What it is not: any
splitting; blanks are only put where ``splitting.py`` is to cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from electra_common.tokenization.python.unicode_tables import (
    CASED,
    DECOMPOSABLE,
    DROPPED,
    IDEOGRAPH,
    MARK,
    WHITESPACE,
    CharacterTable,
    Compat,
    character_table,
)


class AlignedText(NamedTuple):
    """Text, and for each character the index of the original character that it comes from."""

    text: str
    places: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the original text of the characters from ``start`` to before ``end``."""
        return self.places[start], self.places[end - 1] + 1

    def cut(self, start: int, end: int) -> AlignedText:
        """Return a part."""
        return AlignedText(self.text[start:end], self.places[start:end])


@dataclass(frozen=True)
class Normalizer:
    """The steps of normalization that are switched on; calling it applies them.

    Args:
        lowercase: fold case.
        strip_accents: decompose, and drop nonspacing marks; None does what ``lowercase`` does.
        tokenize_chinese_chars: put blanks around each ideograph.
        clean_text: drop control characters, and make every kind of whitespace a blank.
        compat: whose tables and order of steps; see ``character_table``.
    """

    lowercase: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    clean_text: bool = True
    compat: Compat = "rust"

    def __call__(self, text: str) -> AlignedText:
        """Normalize a text."""
        if text.isascii() and text.isprintable():  # nothing but case can change here
            return AlignedText(text.lower() if self.lowercase else text, range(len(text)))
        table = character_table(self.compat)
        kinds = table.kinds(text)  # a step is left out where no character would feel it
        aligned = AlignedText(text, range(len(text)))
        if self.clean_text and kinds & (DROPPED | WHITESPACE):
            aligned = clean(aligned, table)
        if self.tokenize_chinese_chars and kinds & IDEOGRAPH:
            aligned = set_ideographs_apart(aligned, table)
        fold = self.lowercase and kinds & CASED
        if fold and self.compat == "google":
            aligned = fold_case(aligned, table)
        if (self.lowercase if self.strip_accents is None else self.strip_accents) and kinds & (DECOMPOSABLE | MARK):
            aligned = drop_accents(aligned, table)
        if fold and self.compat == "rust":
            aligned = fold_case(aligned, table)
        return aligned


def clean(aligned: AlignedText, table: CharacterTable) -> AlignedText:
    """Drop control characters and make whitespace blanks."""
    properties = table.properties
    kept = keep(aligned, [not properties[ord(character)] & DROPPED for character in aligned.text])
    blanked = [" " if properties[ord(character)] & WHITESPACE else character for character in kept.text]
    return AlignedText("".join(blanked), kept.places)


def set_ideographs_apart(aligned: AlignedText, table: CharacterTable) -> AlignedText:
    """Put a blank before and after each ideograph."""
    properties = table.properties

    def changes() -> Iterator[tuple[str, bool]]:
        for character in aligned.text:
            if properties[ord(character)] & IDEOGRAPH:
                yield from ((" ", False), (character, True), (" ", True))
            else:
                yield character, False

    return rewrite(aligned, changes())


def drop_accents(aligned: AlignedText, table: CharacterTable) -> AlignedText:
    """Decompose canonically and drop nonspacing marks."""
    decomposed = decompose(aligned, table)
    return keep(decomposed, [not table.properties[ord(character)] & MARK for character in decomposed.text])


def decompose(aligned: AlignedText, table: CharacterTable) -> AlignedText:
    """Bring text to Unicode's form NFD, by the table's version of Unicode."""

    def changes() -> Iterator[tuple[str, bool]]:
        marks: list[tuple[int, str, bool]] = []  # a run of marks waits until it can be put in order
        for character in aligned.text:
            for index, part in enumerate(table.decompositions.get(character, character)):
                combining_class = table.combining_classes.get(part, 0)
                if combining_class == 0:
                    yield from in_order(marks)
                    marks.clear()
                    yield part, index > 0
                else:
                    marks.append((combining_class, part, index > 0))
        yield from in_order(marks)

    return rewrite(aligned, changes())


def in_order(marks: Iterable[tuple[int, str, bool]]) -> Iterator[tuple[str, bool]]:
    """Yield marks by their combining class; those of one class keep their order."""
    for _, character, is_new in sorted(marks, key=lambda mark: mark[0]):
        yield character, is_new


def fold_case(aligned: AlignedText, table: CharacterTable) -> AlignedText:
    """Make every character lower case."""
    lowercase = table.lowercase
    folded = rewrite(
        aligned,
        (
            (part, index > 0)
            for character in aligned.text
            for index, part in enumerate(lowercase.get(character, character))
        ),
    )
    if table.final_sigma and "\u03a3" in aligned.text:
        return AlignedText(aligned.text.lower(), folded.places)  # the one letter that looks at its neighbours
    return folded


def keep(aligned: AlignedText, wanted: Sequence[bool]) -> AlignedText:
    """Drop the characters that are not wanted."""
    if all(wanted):
        return aligned
    text = "".join(character for character, is_wanted in zip(aligned.text, wanted, strict=True) if is_wanted)
    return AlignedText(text, [place for place, is_wanted in zip(aligned.places, wanted, strict=True) if is_wanted])


def rewrite(aligned: AlignedText, changes: Iterable[tuple[str, bool]]) -> AlignedText:
    """Replace characters one by one, or add to them.

    Args:
        aligned: the text before.
        changes: for each character of the new text, itself and whether it is new. One that is not new takes the place
            of the next character before; a new one shares that of its predecessor. Marks that trade places take
            theirs along only in this sense, which is the library's.
    """
    characters, places = [], []
    before, place = iter(aligned.places), 0
    for character, is_new in changes:
        if not is_new:
            place = next(before)
        characters.append(character)
        places.append(place)
    return AlignedText("".join(characters), places)
