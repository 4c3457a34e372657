"""Alignment of encoded rows to their texts, worked out when it is asked for.

Most calls only want ids. So the offsets of tokens are not computed by a call; what is kept is the text, by reference,
and how it was encoded. The first question about a row encodes that text once more, with offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from electra_common.tokenization.backend import Encoding


class LazyRows(Sequence[Encoding]):
    """The rows of one call, each encoded again when it is first asked for. Pickling works all of them out.

    Args:
        encode: from one text (or pair) to all its rows, cut and filled as in the call.
        texts: what was encoded; a pair is a tuple of two.
        places: which (text, window) each row is, or None where row and text are the same.
    """

    __slots__ = ("_cache", "_encode", "_places", "_texts")

    def __init__(
        self,
        encode: Callable[[Any], list[Encoding]],
        texts: Sequence[Any],
        places: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self._encode = encode
        self._texts = texts
        self._places = places
        self._cache: dict[int, list[Encoding]] = {}

    def __len__(self) -> int:
        return len(self._texts if self._places is None else self._places)

    @overload
    def __getitem__(self, index: int) -> Encoding: ...
    @overload
    def __getitem__(self, index: slice) -> list[Encoding]: ...
    def __getitem__(self, index: int | slice) -> Encoding | list[Encoding]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        text, window = self._place(index)
        if text not in self._cache:
            self._cache[text] = self._encode(self._texts[text])
        return self._cache[text][window]

    def _place(self, index: int) -> tuple[int, int]:
        return (range(len(self._texts))[index], 0) if self._places is None else self._places[index]

    def text_length(self, index: int, sequence: int) -> int:
        """Return the number of characters in the text of a row, or in its pair.

        Raises:
            ValueError: the text came as words, each with characters of its own.
        """
        text = self._texts[self._place(index)[0]]
        part = text[sequence] if isinstance(text, tuple) and len(text) > sequence else text
        if isinstance(part, int):  # all that pickling keeps of a text
            return part
        if not isinstance(part, str):
            raise ValueError("the text came as words: characters are counted in each of them, from its start")
        return len(part)

    def __getstate__(self) -> tuple[Any, Any, Any]:
        for index in range(len(self)):
            self[index]
        return [_lengths(text) for text in self._texts], self._places, self._cache

    def __setstate__(self, state: tuple[Any, Any, Any]) -> None:
        self._texts, self._places, self._cache = state


def _lengths(text: Any) -> Any:
    if isinstance(text, str):
        return len(text)
    return tuple(len(part) if isinstance(part, str) else () for part in text) if isinstance(text, tuple) else ()
