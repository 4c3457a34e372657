"""Every character of Unicode, alone, between letters and after one: the same as the library in everything."""

import itertools
import sys
import unicodedata

import pytest

from electra_common.tokenization.python.normalization import Normalizer
from support.thoroughness import THOROUGH, sample
from support.tokenizer_comparison import bert_vocabulary, both, first_difference

ALL_OPTIONS = [
    dict(zip(("lowercase", "strip_accents", "tokenize_chinese_chars", "clean_text"), values, strict=True))
    for values in itertools.product((True, False), (None, True, False), (True, False), (True, False))
]
# `make check-unicode` takes every character with every combination of options: half an hour.
STEP = sample(307, thorough=1)
# Unassigned, for private use, ideographs and Korean syllables, so of one kind each: here every 101st stands for all.
ALIKE = (
    range(0x3400, 0x4DC0),
    range(0x4E00, 0xA000),
    range(0xAC00, 0xD7A4),
    range(0x20000, 0xE0000),
    range(0xE0200, sys.maxunicode - 1),
)


def characters(start, step):
    return [chr(code) for code in range(start, sys.maxunicode + 1, step) if not 0xD800 <= code <= 0xDFFF]


def differs_from_its_neighbours(character):
    code = ord(character)
    return THOROUGH or code % 101 == 0 or not any(code in alike for alike in ALIKE)


def texts(chosen):
    """Yield texts in which each character stands alone, between letters and after a letter."""
    for start in range(0, len(chosen), 2000):
        yield " ".join(f"{c} a{c}b{c}" for c in chosen[start : start + 2000])


def kind(character):
    """The category of a character, of a letter the first word of its name."""
    category = unicodedata.category(character)
    return unicodedata.name(character).split()[0] if category == "Lo" else category


@pytest.mark.parametrize("part", range(4))
def test_every_character_with_the_options_of_the_released_models(part):
    rust, python = both(bert_vocabulary())
    every = characters(part, 4)
    assert len(every) == (sys.maxunicode + 1 - 2048) / 4
    chosen = list(filter(differs_from_its_neighbours, every))
    assert {kind(character) for character in set(every).difference(chosen)} <= {"Cn", "Co", "CJK", "HANGUL"}
    for text in texts(chosen):
        assert first_difference(rust.encode(text), python.encode(text)) is None


@pytest.mark.parametrize("options", ALL_OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_characters_with_other_options(options):
    rust, python = both(bert_vocabulary(), **options)
    for text in texts(characters(ALL_OPTIONS.index(options) % STEP, STEP)):
        assert first_difference(rust.encode(text), python.encode(text)) is None
        assert rust.normalizer.normalize_str(text) == Normalizer(**options)(text).text
