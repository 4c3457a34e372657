"""Whether the windows of cut pairs move on: each must be longer than the stride it shares with the one before.

The Rust library stops the process's thread where they do not, so this is found out first. For single texts arithmetic
tells (:func:`.call_options.check_room`); for pairs it depends on the lengths of the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from electra_common.tokenization.backend import Backend
from electra_common.tokenization.call_options import Cut
from electra_common.tokenization.python.truncation import longest_first_lengths


def check_windows(
    backend: Backend, pairs: Sequence[tuple[Any, Any]], cut: Cut, room: int, *, is_split_into_words: bool
) -> None:
    """Refuse pairs whose windows would be no longer than the stride. The backend must not cut when this is called.

    Args:
        backend: tells how many tokens a text has.
        pairs: the texts.
        cut: how they are to be cut, with a stride.
        room: the tokens of a row beside the special ones.
        is_split_into_words: the texts are lists of words.

    Raises:
        ValueError: names the row and the numbers.
    """

    def lengths(texts: Sequence[Any]) -> list[int]:
        return [len(row) for row in backend.encode_batch_fast(texts, is_split_into_words, False)]

    for index in _suspects(pairs, cut, room, lengths):
        first, second = lengths(list(pairs[index]))
        if first + second <= room:
            continue
        kept = {
            "longest_first": longest_first_lengths(first, second, room),
            "only_first": (room - second, second),
            "only_second": (first, room - first),
        }[cut.strategy]
        for length, window in zip((first, second), kept, strict=True):
            if 0 < window < length and window <= cut.stride:
                raise ValueError(
                    f"row {index}: max_length={cut.max_length} and {cut.strategy!r} leave {window} of {length} tokens "
                    f"in each window, which must be more than stride={cut.stride}"
                )


def _suspects(pairs: Sequence[tuple[Any, Any]], cut: Cut, room: int, lengths: Any) -> Sequence[int]:
    """Return the rows that may have such windows: a sequence that is kept whole leaves too little for the other."""
    if cut.strategy == "longest_first":  # whatever is cut keeps at least half
        return range(len(pairs)) if room // 2 <= cut.stride else ()
    whole = 1 if cut.strategy == "only_first" else 0
    return [
        index for index, length in enumerate(lengths([pair[whole] for pair in pairs])) if room - length <= cut.stride
    ]
