"""Google's rules made of parts of the ``tokenizers`` library, for speed: what ``compat="google"`` does in Python.

What it is for: a normalizer and a pre-tokenizer that cut text as google-research/electra does, by this Python's Unicode
tables. What it is not: a tokenizer. The model, the template and added tokens are the same as under any other rules, but
that words of up to 200 characters are spelled.

The library has older combining classes than Python, so that in a run of several marks, one of them newer than the
library's, a mark that is no accent can come out in another place. And beside an ideograph of U+2B820 to U+2B91F Python
has a blank, the library only a cut between words: a ``normalized`` added token that has a blank, or is
``single_word``, ``lstrip`` or ``rstrip``, can tell them apart. Everything else is the same.
"""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache

from tokenizers import Regex, normalizers, pre_tokenizers

from electra_common.tokenization.python.unicode_tables import (
    DROPPED,
    IDEOGRAPH,
    MARK,
    PUNCTUATION,
    WHITESPACE,
    CharacterTable,
    character_table,
)

_SIGMA, _FINAL_SIGMA = "\u03a3", "\u03c2"


def google_normalizer(
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    clean_text: bool = True,
) -> normalizers.Normalizer:
    """Return the normalizer; the arguments are those of ``Normalizer``."""
    google, rust = character_table("google"), character_table("rust")
    steps: list[normalizers.Normalizer] = []
    if clean_text:
        steps += [_replace(_having(google, DROPPED), ""), _replace(_having(google, WHITESPACE), " ")]
    if tokenize_chinese_chars:
        steps += [normalizers.BertNormalizer(clean_text=False, strip_accents=False, lowercase=False)]
    if lowercase:
        cased, ignored = _around_sigma()
        steps += [_replace(rf"{cased}{ignored}*\K{_SIGMA}(?!{ignored}*{cased})", _FINAL_SIGMA)]
        steps += [*_exceptions(google, google.lowercase, rust.lowercase), normalizers.Lowercase()]
    if lowercase if strip_accents is None else strip_accents:
        steps += [*_exceptions(google, google.decompositions, rust.decompositions), normalizers.NFD()]
        steps += [_replace(_having(google, MARK), "")]
    return normalizers.Sequence(steps)


def google_pre_tokenizer(*, tokenize_chinese_chars: bool = True) -> pre_tokenizers.PreTokenizer:
    """Return the pre-tokenizer: cut at whitespace, and around each punctuation character.

    Args:
        tokenize_chinese_chars: cut also around those of Google's ideographs that the library's normalizer passes over.
    """
    google, rust = character_table("google"), character_table("rust")
    steps = [
        pre_tokenizers.Split(Regex(_having(google, WHITESPACE)), "removed"),
        pre_tokenizers.Split(Regex(_having(google, PUNCTUATION)), "isolated"),
    ]
    if tokenize_chinese_chars:
        passed_over = bytes(map(operator.gt, _flags(google, IDEOGRAPH), _flags(rust, IDEOGRAPH)))
        steps += [pre_tokenizers.Split(Regex(_class(passed_over)), "isolated")]
    return pre_tokenizers.Sequence(steps)


def _replace(pattern: str, content: str) -> normalizers.Normalizer:
    return normalizers.Replace(Regex(pattern), content)


def _exceptions(
    table: CharacterTable, wanted: Mapping[str, str], given: Mapping[str, str]
) -> Iterable[normalizers.Normalizer]:
    """Yield steps for the characters that the library maps otherwise; cleaning has dropped most of them before."""
    for character in sorted(wanted.keys() | given.keys()):
        image = wanted.get(character, character)
        if image != given.get(character, character) and not table.properties[ord(character)] & DROPPED:
            yield normalizers.Replace(character, image)


@cache
def _around_sigma() -> tuple[str, str]:
    """Return classes of the letters by which Python tells that a sigma ends a word, and of what it looks past."""
    codes = range(sys.maxunicode + 1)
    cased = bytes((chr(code) + _SIGMA).lower()[-1] == _FINAL_SIGMA for code in codes)
    seen_past = bytes(f"A{chr(code)}{_SIGMA}".lower()[-1] == _FINAL_SIGMA for code in codes)
    return _class(cased), _class(bytes(map(operator.gt, seen_past, cased)))


def _having(table: CharacterTable, kind: int) -> str:
    return _class(_flags(table, kind))


def _flags(table: CharacterTable, kind: int) -> bytes:
    """Return a byte for each code point: whether it has the property."""
    return table.properties.translate(bytes(bool(properties & kind) for properties in range(256)))


def _class(flags: bytes) -> str:
    """Return the class of a regular expression for all characters whose byte is 1."""
    spans = [match.span() for match in re.finditer(b"\x01+", flags)]
    return "[" + "".join(rf"\x{{{start:X}}}-\x{{{end - 1:X}}}" for start, end in spans) + "]"
