"""The best spans of tokens, given a score for each token as a start and as an end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Start, end (included) and score of some spans, best first.
Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def best_spans(starts: NDArray[Any], ends: NDArray[Any], *, count: int, max_length: int) -> Spans:
    """Return the spans with the highest sums, of all that are not longer than ``max_length`` tokens.

    None is missed: programs that pair the best starts with the best ends alone may find no span at all.

    Args:
        starts: [tokens].
        ends: [tokens].
        count: most spans to return.
        max_length: most tokens of a span.
    """
    length = len(starts)
    width = min(max_length, length)
    if not width:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    # Behind the last token nothing ends. [tokens, width]: for each start the ends that it may have.
    padded = np.concatenate([np.asarray(ends, np.float64), np.full(width - 1, -np.inf)])
    sums = np.asarray(starts, np.float64)[:, None] + np.lib.stride_tricks.sliding_window_view(padded, width)
    scores = np.where(np.isnan(sums), -np.inf, sums).reshape(-1)  # [tokens * width]
    return _best(scores, width, count)


def best_spans_of_beams(
    start_scores: NDArray[Any],
    starts: NDArray[Any],
    end_scores: NDArray[Any],
    ends: NDArray[Any],
    *,
    first: int,
    behind: int,
    count: int,
    max_length: int,
) -> Spans:
    """Return the best spans among beams of starts and, for each of them, of ends, as Google's head gives them.

    Args:
        start_scores: log-probabilities of the starts, [beam].
        starts: their positions in the row, [beam].
        end_scores: log-probabilities of the ends given a start, [beam, beam].
        ends: their positions in the row, [beam, beam].
        first: position of the first token that a span may have.
        behind: position behind the last one.
        count: most spans to return.
        max_length: most tokens of a span.
    """
    sums = np.asarray(start_scores, np.float64)[:, None] + np.asarray(end_scores, np.float64)  # [beam, beam]
    from_, to = np.broadcast_to(np.asarray(starts, np.int64)[:, None], sums.shape), np.asarray(ends, np.int64)
    is_legal = (first <= from_) & (from_ <= to) & (to < behind) & (to - from_ < max_length) & ~np.isnan(sums)
    scores = np.where(is_legal, sums, -np.inf)
    rows, columns, found = _best(scores.reshape(-1), sums.shape[1], count)  # [beam * beam]
    columns = columns - rows
    return from_[rows, columns], to[rows, columns], found


def _best(scores: NDArray[np.float64], width: int, count: int) -> Spans:
    """Return the row and row + column of the highest numbers of a table [rows * width], and those numbers."""
    count = min(count, len(scores))
    chosen = np.sort(np.argpartition(-scores, count - 1)[:count])
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    chosen = chosen[scores[chosen] > -np.inf]
    rows, columns = np.divmod(chosen, width)
    return rows, rows + columns, scores[chosen]
