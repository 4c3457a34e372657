"""Tokens that are found in the text before it is cut into words: special ones, and those a user added.

What it is for: their ids, and where they stand in a text. The longest match from the left wins; a token that is not
``normalized`` is looked for in the text as it was given, the others in the normalized text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tokenizers import AddedToken

from electra_common.tokenization.python.normalization import Normalizer
from electra_common.tokenization.python.unicode_tables import WHITESPACE, WORD, character_table


class TokenRules(NamedTuple):
    """How an added token matches; the fields are those of ``tokenizers.AddedToken``."""

    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    special: bool


class _Matcher(NamedTuple):
    """A search for many texts at once, and the id that each of them means."""

    pattern: re.Pattern[str] | None
    ids: Mapping[str, int]


class AddedTokens:
    """The added tokens of a tokenizer.

    Args:
        vocabulary: that of the model; its pieces keep their ids when they are added.
        normalizer: brings tokens to the form in which they are matched.
    """

    def __init__(self, vocabulary: Mapping[str, int], normalizer: Normalizer) -> None:
        self.ids: dict[str, int] = {}
        self.rules: dict[int, TokenRules] = {}
        self.match_special = True
        self._vocabulary = vocabulary
        self._normalizer = normalizer
        self._special: set[str] = set()
        self._normalized_texts: dict[int, str] = {}
        self._matchers: tuple[_Matcher, _Matcher] | None = None

    def add(self, tokens: Iterable[AddedToken]) -> int:
        """Add tokens, or change how they match; return how many were new or changed."""
        count = 0
        next_id = max(len(self._vocabulary), max(self.rules, default=-1) + 1)
        for token in tokens:
            rules = TokenRules(*(getattr(token, name) for name in TokenRules._fields))
            known = self.ids.get(rules.content, self._vocabulary.get(rules.content))
            if not rules.content or self.rules.get(-1 if known is None else known) == rules:
                continue
            self._set(next_id if known is None else known, rules)
            next_id += known is None
            count += 1
        self._matchers = None
        return count

    def _set(self, number: int, rules: TokenRules) -> None:
        if rules.normalized:
            self._normalized_texts[number] = self._normalizer(rules.content).text
        if rules.special:
            self._special.add(rules.content)
        self.ids[rules.content] = number
        self.rules[number] = rules

    def text_of(self, number: int) -> str:
        """Return the text by which the token of an id is matched and decoded."""
        return self._normalized_texts.get(number, self.rules[number].content)

    def is_special(self, text: str) -> bool:
        """Whether decoding leaves this token out when asked to skip special ones."""
        return text in self._special

    @property
    def has_normalized(self) -> bool:
        """Whether any token is to be looked for in normalized text."""
        return self._matcher(normalized=True).pattern is not None

    def split(self, text: str, *, normalized: bool) -> Iterator[tuple[int, int, int | None]]:
        """Yield (start, end, id) for tokens and (start, end, None) for the text between them, in order."""
        matcher = self._matcher(normalized=normalized)
        done = 0
        for match in matcher.pattern.finditer(text) if matcher.pattern else ():
            number = matcher.ids[match.group()]
            if (span := self._extent(text, match, number, done)) is None:
                continue
            if done < span[0]:
                yield done, span[0], None
            yield *span, number
            done = span[1]
        if done < len(text):
            yield done, len(text), None

    def _matcher(self, *, normalized: bool) -> _Matcher:
        """Return the search for the tokens as they are now, made when it is first asked for: it takes time for many."""
        if self._matchers is None:
            raw = ((rules.content, i) for i, rules in self.rules.items() if not rules.normalized)
            other = ((self.text_of(i), i) for i, rules in sorted(self.rules.items()) if rules.normalized)
            self._matchers = _matcher_of(raw), _matcher_of(other)
        return self._matchers[normalized]

    def _extent(self, text: str, match: re.Match[str], number: int, done: int) -> tuple[int, int] | None:
        """Return what a match takes of the text, or None where it is not to be had."""
        rules, (start, end) = self.rules[number], match.span()
        if not self.match_special and self.is_special(rules.content):
            return None
        if rules.single_word and (self._has(text, start - 1, WORD) or self._has(text, end, WORD)):
            return None
        if rules.lstrip:
            while start > done and self._has(text, start - 1, WHITESPACE):
                start -= 1
            start = max(start, done)
        if rules.rstrip:
            while self._has(text, end, WHITESPACE):
                end += 1
        return (start, end) if start < end else None  # the token before can have taken all of it

    def _has(self, text: str, index: int, kind: int) -> bool:
        properties = character_table("rust").properties  # of Google's rules, too: its code has no added tokens
        return 0 <= index < len(text) and bool(properties[ord(text[index])] & kind)


def _matcher_of(texts: Iterable[tuple[str, int]]) -> _Matcher:
    """Look for the longest text at each place; of equal ones the first counts, and of empty ones none."""
    ids: dict[str, int] = {}
    for text, number in texts:
        if text:
            ids.setdefault(text, number)
    longest_first = sorted(ids, key=len, reverse=True)
    return _Matcher(re.compile("|".join(map(re.escape, longest_first))) if ids else None, ids)
