"""Rows of ids that are already there: with special tokens around them, cut, and filled.

For those who keep ids rather than text. Texts go through :class:`~.base.TokenizerBase`, whose rows are cut and filled
by the same rules, but by windows: here what is cut off comes back as one list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from electra_common.tokenization.call_options import TRUNCATION, Fill
from electra_common.tokenization.columns import ATTENTION_MASK, INPUT_IDS, LABELS, OFFSET_MAPPING, Padding, filled
from electra_common.tokenization.python.truncation import longest_first_lengths

Ids = list[int]


def truncate(
    ids: Ids, pair: Ids | None, *, remove: int, strategy: str, stride: int, side: str
) -> tuple[Ids, Ids | None, Ids]:
    """Take ``remove`` ids away; return the two sequences and what was cut off, with ``stride`` ids of context.

    With ``"longest_first"`` and a pair both may be cut, and nothing is returned of what was cut off.

    Raises:
        ValueError: an unknown strategy, or a sequence that is too short for what is to be removed.
    """
    if strategy not in TRUNCATION:
        raise ValueError(f"strategy must be one of {', '.join(map(repr, TRUNCATION))}, found {strategy!r}")
    if remove <= 0 or strategy == "do_not_truncate":
        return ids, pair, []
    if strategy == "only_second" and pair is None:
        raise ValueError("truncation='only_second' needs a second sequence; pass pair_ids, or 'longest_first'")
    first, second = len(ids), len(pair or ())
    if strategy == "longest_first":
        first, second = longest_first_lengths(first, second, first + second - remove)
    elif strategy == "only_first":
        first -= remove
    else:
        second -= remove
    if first < 0 or second < 0:
        raise ValueError(f"{strategy!r} cannot remove {remove} ids: {len(ids)} and {len(pair or ())} are there")
    kept, cut_off = _cut(ids, len(ids) - first, stride, side)
    if pair is None:
        return kept, None, cut_off
    kept_pair, pair_cut_off = _cut(pair, len(pair) - second, stride, side)
    return kept, kept_pair, [] if strategy == "longest_first" else cut_off or pair_cut_off


def _cut(ids: Ids, count: int, stride: int, side: str) -> tuple[Ids, Ids]:
    if count == 0:
        return ids, []
    window = min(len(ids), stride + count)
    return (ids[:-count], ids[-window:]) if side == "right" else (ids[count:], ids[:window])


def pad_columns(
    columns: Mapping[str, Sequence[Any]], *, fill: Fill | None, padding: Padding, with_mask: bool
) -> dict[str, list[Any]]:
    """Fill the columns that have a place for each token; ``columns`` hold one list for each row.

    Labels that are whole numbers are filled with what the models ignore. Columns of other names are left alone.

    Raises:
        ValueError: columns differ in their number of rows.
    """
    rows = len(columns[INPUT_IDS])
    if wrong := {name: len(column) for name, column in columns.items() if len(column) != rows}:
        raise ValueError(f"input_ids has {rows} rows, other columns have not: {wrong}")
    lengths = [len(row) for row in columns[INPUT_IDS]]
    result = {name: list(column) for name, column in columns.items()}
    if OFFSET_MAPPING in result:
        result[OFFSET_MAPPING] = [_spans(row) for row in result[OFFSET_MAPPING]]
    if with_mask and ATTENTION_MASK not in result:
        result[ATTENTION_MASK] = [[1] * length for length in lengths]
    if fill is None:
        return result
    width = fill.width(max(lengths, default=0))
    for name, column in result.items():
        blank = padding.value(name)
        if blank is not None and _is_of_tokens(name, column, lengths):
            result[name] = [filled(row, width, blank, fill.side) for row in column]
    return result


def _is_of_tokens(name: str, column: Sequence[Any], lengths: Sequence[int]) -> bool:
    """Whether a column has a value for each token; not so a label for a row, or one number for each class."""
    rows = zip(column, lengths, strict=True)
    if not all(isinstance(row, list) and len(row) == length for row, length in rows):
        return False
    return name != LABELS or all(isinstance(value, int) for row in column for value in row)


def check_widths(columns: Mapping[str, Sequence[Any]]) -> None:
    """Refuse columns to make tensors of, if ``input_ids`` are filled and another, which was left alone, is not.

    Raises:
        ValueError: names it.
    """
    if _is_ragged(columns[INPUT_IDS]):
        return
    for name, column in columns.items():
        if _is_ragged(column):
            raise ValueError(
                f"{name}: rows of different lengths make no tensor; pad fills what a call returns and labels, where "
                "there is a value for each token: fill this column before, or leave it out"
            )


def _is_ragged(column: Sequence[Any]) -> bool:
    return len({len(row) if isinstance(row, list) else None for row in column}) > 1


def _spans(row: Any) -> Any:
    """Return offsets as a call gives them, as tuples."""
    return [tuple(span) if isinstance(span, list) else span for span in row] if isinstance(row, list) else row
