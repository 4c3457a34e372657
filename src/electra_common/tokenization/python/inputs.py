"""What may be given to be encoded: texts, pairs of texts, and both of them as words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

Words = Sequence[str]

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def check_text(text: object, where: str = "the text") -> str:
    """Return a text.

    Raises:
        TypeError: it is not a str.
        ValueError: it has a lone surrogate, which is half of a character and has no place in Unicode text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{where} must be a str, not {type(text).__name__}")
    if not text.isascii() and (found := _LONE_SURROGATE.search(text)):
        raise ValueError(
            f"{where} has the lone surrogate U+{ord(found.group()):04X} at character {found.start()}, which is no "
            "text; decode it with errors='replace', or replace it"
        )
    return text


def check_words(words: object, where: str = "the text") -> Words:
    """Return the words of a text.

    Raises:
        TypeError: they are not a list or tuple of str.
        ValueError: a word has a lone surrogate.
    """
    if not isinstance(words, list | tuple):
        raise TypeError(f"with is_pretokenized, {where} must be a list of words, not {type(words).__name__}")
    return [check_text(word, f"word {index} of {where}") for index, word in enumerate(words)]


def text_and_pair(item: object, is_pretokenized: bool, index: int) -> tuple[str | Words, str | Words | None]:
    """Return an input of a batch as (text, second text or None), each checked.

    Raises:
        TypeError: it is neither a text nor a pair.
        ValueError: a text has a lone surrogate.
    """
    where = f"input {index} of the batch"
    check = check_words if is_pretokenized else check_text
    if isinstance(item, list | tuple) and len(item) == 2 and _is_pair(item, is_pretokenized):
        return check(item[0], f"the first text of {where}"), check(item[1], f"the second text of {where}")
    if not is_pretokenized and isinstance(item, list | tuple):
        raise TypeError(f"{where} must be a str or a pair of them, not a {type(item).__name__} of {len(item)}")
    return check(item, where), None


def _is_pair(item: Sequence[object], is_pretokenized: bool) -> bool:
    return not is_pretokenized or any(isinstance(part, list | tuple) for part in item)
