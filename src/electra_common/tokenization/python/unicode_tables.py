"""What the tokenizer knows of single characters: one byte of properties each, decompositions, lower case.

What it is for: the same answer under every Python. The tables were read off the ``tokenizers`` library
(``tests/support/unicode_probe.py``), whose Unicode version is neither this Python's nor one single version.
What it is not: rules. How characters act on each other stands in ``normalization.py`` and ``splitting.py``.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

TABLE_FILE: Final = Path(__file__).with_name("unicode_tables.txt")
Compat = Literal["rust", "google"]

# Properties of a character, as bits of its byte in `CharacterTable.properties`.
DROPPED: Final = 1  # by cleaning
WHITESPACE: Final = 2
PUNCTUATION: Final = 4
IDEOGRAPH: Final = 8  # stands alone as a word
MARK: Final = 16  # goes with the accents
DECOMPOSABLE: Final = 32  # decomposes, or can trade places with a neighbouring mark
CASED: Final = 64  # has a lower case, or its decomposition has
WORD: Final = 128  # keeps an added token of `single_word` beside it from matching; in the library's table alone

# Hangul syllables decompose by arithmetic: lead consonant, vowel and, for all but each 28th, a tail consonant.
_SYLLABLES: Final = range(0xAC00, 0xD7A4)
_LEAD, _VOWEL, _TAIL = 0x1100, 0x1161, 0x11A7

_ASCII_PUNCTUATION: Final = "21-2F 3A-40 5B-60 7B-7E"
# Google's list, which is Unicode's blocks; that of the library starts the last but one at 2B920.
_GOOGLE_IDEOGRAPHS: Final = "3400-4DBF 4E00-9FFF F900-FAFF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B820-2CEAF 2F800-2FA1F"


@dataclass(frozen=True)
class CharacterTable:
    """The properties of all characters under one set of rules.

    Attributes:
        properties: a byte of the bits above for each code point.
        decompositions: full canonical ones; a character that is absent stands for itself.
        combining_classes: of marks that can trade places; absent means 0.
        lowercase: a character that is absent has none.
        final_sigma: a capital sigma at the end of a word becomes its final form.
    """

    properties: bytes
    decompositions: Mapping[str, str]
    combining_classes: Mapping[str, int]
    lowercase: Mapping[str, str]
    final_sigma: bool

    def kinds(self, text: str) -> int:
        """Return the properties that any character of a text has, all in one."""
        found = 0
        for properties in map(self.properties.__getitem__, map(ord, text)):
            found |= properties
        return found


@cache
def character_table(compat: Compat) -> CharacterTable:
    """Return the table of the ``tokenizers`` library, or Google's rules over this Python's ``unicodedata``.

    Raises:
        ValueError: there are no rules of that name.
    """
    tables = {"rust": _rust_table, "google": _google_table}
    if compat not in tables:
        raise ValueError(f'compat={compat!r}: must be "rust" or "google"')
    return tables[compat]()


def code_points(ranges: str) -> Iterable[int]:
    """Yield the code points of ``first-last`` ranges in hexadecimal, separated by blanks."""
    for span in ranges.split():
        first, _, last = span.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


def read_table_file() -> dict[str, dict[str, str]]:
    """Return the sections of the table file; a section that is one set has it under the key ""."""
    sections: dict[str, dict[str, str]] = {}
    for line in TABLE_FILE.read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line[1:-1], {})
        else:
            key, _, value = line.rpartition(": ")
            section[key] = value
    return sections


def _rust_table() -> CharacterTable:
    sections = read_table_file()
    names = {
        DROPPED: "dropped",
        WHITESPACE: "whitespace",
        PUNCTUATION: "punctuation",
        IDEOGRAPH: "ideographs",
        MARK: "nonspacing_marks",
        WORD: "word_characters",
    }
    return _table(
        {bit: code_points(sections[name][""]) for bit, name in names.items()},
        decompositions=_character_mapping(sections["decompositions"]) | _hangul_decompositions(),
        classes={chr(c): int(number) for number, r in sections["combining_classes"].items() for c in code_points(r)},
        lowercase=_character_mapping(sections["lowercase"]),
        final_sigma=False,
    )


def _google_table() -> CharacterTable:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    categories = [(ord(character), unicodedata.category(character)) for character in characters]
    return _table(
        {
            DROPPED: [code for code, name in categories if name[0] == "C" and chr(code) not in "\t\n\r"] + [0xFFFD],
            WHITESPACE: [ord(character) for character in characters if character.isspace()],
            PUNCTUATION: [*code_points(_ASCII_PUNCTUATION), *(code for code, name in categories if name[0] == "P")],
            IDEOGRAPH: code_points(_GOOGLE_IDEOGRAPHS),
            MARK: [code for code, name in categories if name == "Mn"],
        },
        decompositions={c: image for c in characters if (image := unicodedata.normalize("NFD", c)) != c},
        classes={c: number for c in characters if (number := unicodedata.combining(c))},
        lowercase={c: image for c in characters if (image := c.lower()) != c},
        final_sigma=True,
    )


def _table(
    sets: Mapping[int, Iterable[int]],
    *,
    decompositions: Mapping[str, str],
    classes: Mapping[str, int],
    lowercase: Mapping[str, str],
    final_sigma: bool,
) -> CharacterTable:
    properties = bytearray(sys.maxunicode + 1)
    changing = {DECOMPOSABLE: map(ord, [*decompositions, *classes]), CASED: map(ord, lowercase)}
    for bit, codes in (*sets.items(), *changing.items()):
        for code in codes:
            properties[code] |= bit
    for image in (decompositions, lowercase):  # a step must not be left out for what the step before brings to light
        for character, parts in image.items():
            for part in parts:
                properties[ord(character)] |= properties[ord(part)] & (DECOMPOSABLE | CASED)
    return CharacterTable(bytes(properties), decompositions, classes, lowercase, final_sigma)


def _character_mapping(section: Mapping[str, str]) -> dict[str, str]:
    return {chr(int(key, 16)): "".join(chr(int(code, 16)) for code in value.split()) for key, value in section.items()}


def _hangul_decompositions() -> dict[str, str]:
    decompositions = {}
    for index, code in enumerate(_SYLLABLES):
        lead, rest = divmod(index, 21 * 28)
        vowel, tail = divmod(rest, 28)
        jamo = chr(_LEAD + lead) + chr(_VOWEL + vowel)
        decompositions[chr(code)] = jamo + chr(_TAIL + tail) if tail else jamo
    return decompositions
