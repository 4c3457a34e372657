"""From the shapes of input that a call accepts to one list of rows, and what is wrong with an input that is none.

Checks beyond the outermost shape cost time on every call, so they are made only after the backend has refused the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Text = str | Sequence[str] | Sequence[Sequence[str]] | Sequence[tuple[Any, Any]]


def gather(text: Any, pair: Any, *, is_split_into_words: bool) -> tuple[list[Any], bool]:
    """Return the rows to encode, pairs as tuples, and whether the input was a single row.

    Args:
        text: a text or a list of them; with ``is_split_into_words`` a list of words or a list of such lists. In a
            batch, pairs may be given as tuples instead of by ``pair``.
        pair: the second sequences, of the same shape as ``text``, or None.
        is_split_into_words: whether texts come as lists of words.

    Raises:
        ValueError: the shape is none of these.
    """
    if is_split_into_words and isinstance(text, str):
        raise ValueError("is_split_into_words=True takes lists of words, found one text; split it, or leave that out")
    if not isinstance(text, str | list | tuple):
        raise ValueError(f"expected a text or a list of texts, found {_kind(text)}")
    is_single = isinstance(text, str) or (is_split_into_words and not (text and isinstance(text[0], list | tuple)))
    row = _row_of_words if is_split_into_words else _row
    if is_single:
        return [_sequence(text) if pair is None else (_sequence(text), _sequence(pair))], True
    if pair is None:
        return [item if type(item) is str else row(item) for item in text], False
    if not isinstance(pair, list | tuple):
        raise ValueError(f"with a batch of {len(text)} texts, text_pair must be a list as long, found {_kind(pair)}")
    if len(text) != len(pair):
        raise ValueError(f"text has {len(text)} rows, text_pair {len(pair)}; each text needs its pair")
    return list(zip(map(_sequence, text), map(_sequence, pair), strict=True)), False


def is_pair(row: Any) -> bool:
    """Whether a row of :func:`gather` is a pair of texts."""
    return type(row) is tuple


def _sequence(item: Any) -> Any:
    """A text as it is; words as a list that does not change with the caller's, for alignment looks at it again."""
    return list(item) if isinstance(item, list | tuple) else item


def _row(item: Any) -> Any:
    """A pair may be given as a list."""
    return tuple(item) if isinstance(item, list | tuple) and len(item) == 2 else item


def _row_of_words(item: Any) -> Any:
    """Words may be given as a tuple, which is a pair only if it holds two lists of words."""
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, list | tuple) for part in item):
        return _sequence(item[0]), _sequence(item[1])
    return _sequence(item)


def explain(rows: Sequence[Any], *, is_split_into_words: bool) -> ValueError | None:
    """Return an error that says which row a backend cannot take, and why; None if each is what it should be."""
    for index, row in enumerate(rows):
        for part in row if is_pair(row) else (row,):
            problem = _problem(part, is_split_into_words)
            if problem is not None:
                return ValueError(f"row {index}: {problem}")
    return None


def _problem(part: Any, is_split_into_words: bool) -> str | None:
    if is_split_into_words:
        if not isinstance(part, list | tuple):
            return f"expected a list of words, found {_kind(part)}"
        return next((f"word {place}: {text}" for place, word in enumerate(part) if (text := _text_problem(word))), None)
    return _text_problem(part)


def _text_problem(text: Any) -> str | None:
    if not isinstance(text, str):
        hint = "; pass is_split_into_words=True for lists of words" if isinstance(text, list | tuple) else ""
        return f"expected a text, found {_kind(text)}{hint}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return (
            f"holds half a surrogate pair, {text[error.start]!r}, at character {error.start}: not text that UTF-8 can "
            "write; decode the source with errors='replace'"
        )
    return None


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple):
        inner = type(value[0]).__name__ if value else "nothing"
        return f"a {type(value).__name__} of {inner}"
    return "None" if value is None else f"a {type(value).__name__}"
