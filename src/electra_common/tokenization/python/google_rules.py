"""Google's rules made of parts of the ``tokenizers`` library, for speed: what ``compat="google"`` does in Python.

What it is for: a normalizer and a pre-tokenizer that cut text as google-research/electra does, by this Python's Unicode
tables. What it is not: a tokenizer. The model, the template and added tokens are the same as under any other rules, but
that words of up to 200 characters are spelled.

The library has older combining classes than Python, so that in a run of several marks, one of them newer than the
library's, a mark that is no accent can come out in another place. Everything else is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

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
        passed_over = _class(lambda c: bool(google.properties[ord(c)] & ~rust.properties[ord(c)] & IDEOGRAPH))
        steps += [pre_tokenizers.Split(Regex(passed_over), "isolated")]
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


def _around_sigma() -> tuple[str, str]:
    """Return classes of the letters by which Python tells that a sigma ends a word, and of what it looks past."""

    def is_cased(character: str) -> bool:
        return (character + _SIGMA).lower().endswith(_FINAL_SIGMA)

    def is_ignored(character: str) -> bool:
        return (f"A{character}{_SIGMA}").lower().endswith(_FINAL_SIGMA) and not is_cased(character)

    return _class(is_cased), _class(is_ignored)


def _having(table: CharacterTable, kind: int) -> str:
    return _class(lambda character: bool(table.properties[ord(character)] & kind))


def _class(condition: Callable[[str], bool]) -> str:
    """Return the class of a regular expression for all characters with a property."""
    codes = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF and condition(chr(c))]
    spans = [list(span) for _, span in groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0])]
    return "[" + "".join(rf"\x{{{span[0][1]:X}}}-\x{{{span[-1][1]:X}}}" for span in spans) + "]"
