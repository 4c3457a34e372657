"""From rows of tokens to the columns that a model takes: lists as long as each row, or filled numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.tokenization.backend import Encoding
from electra_common.tokenization.call_options import Fill

INPUT_IDS: Final = "input_ids"
TOKEN_TYPE_IDS: Final = "token_type_ids"
ATTENTION_MASK: Final = "attention_mask"
SPECIAL_TOKENS_MASK: Final = "special_tokens_mask"
OFFSET_MAPPING: Final = "offset_mapping"
LENGTH: Final = "length"
LABELS: Final = "labels"
OVERFLOW_MAPPING: Final = "overflow_to_sample_mapping"
MODEL_FIELDS: Final = (INPUT_IDS, TOKEN_TYPE_IDS, ATTENTION_MASK)
IGNORED_LABEL: Final = -100


@dataclass(frozen=True, slots=True)
class Padding:
    """What stands in the places that hold no token."""

    token_id: int
    token_type_id: int
    token: str

    def value(self, field: str) -> Any:
        """Return what a column has there; None for a column that is not known to have a place for each token."""
        return {
            INPUT_IDS: self.token_id,
            TOKEN_TYPE_IDS: self.token_type_id,
            ATTENTION_MASK: 0,
            SPECIAL_TOKENS_MASK: 1,
            OFFSET_MAPPING: (0, 0),
            LABELS: IGNORED_LABEL,
        }.get(field)


_VALUES: Final[dict[str, Callable[[Encoding], Sequence[Any]]]] = {
    INPUT_IDS: lambda row: row.ids,
    TOKEN_TYPE_IDS: lambda row: row.type_ids,
    ATTENTION_MASK: lambda row: [1] * len(row),
    SPECIAL_TOKENS_MASK: lambda row: row.special_tokens_mask,
    OFFSET_MAPPING: lambda row: row.offsets,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What rows are filled up to: a width and the side that is filled, or a width of None for rows as they are."""

    width: int | None
    side: str
    padding: Padding

    @classmethod
    def of(cls, rows: Sequence[Encoding], fill: Fill, padding: Padding) -> Frame:
        """Return the frame for some rows."""
        return cls(fill.width(max(map(len, rows), default=0)), fill.side, padding)


def as_lists(
    rows: Sequence[Encoding], fields: Sequence[str], frame: Frame, *, all_types_zero: bool
) -> dict[str, list[Any]]:
    """Return ``{field: one list for each row}``.

    Args:
        rows: not filled yet.
        fields: which columns.
        frame: what they are filled up to; longer rows stay as they are.
        all_types_zero: every token type is 0, so none has to be asked for.
    """
    lengths = [len(row) for row in rows]
    width = frame.width
    result: dict[str, list[Any]] = {}
    for field in fields:
        if field == LENGTH:
            result[field] = lengths if width is None else [max(length, width) for length in lengths]
            continue
        if field == TOKEN_TYPE_IDS and all_types_zero:
            values: list[Any] = [[0] * length for length in lengths]
        else:
            values = [_VALUES[field](row) for row in rows]
        if width is not None:
            blank = frame.padding.value(field)
            values = [filled(row, width, blank, frame.side) for row in values]
        result[field] = values
    return result


def filled(row: list[Any], width: int, blank: Any, side: str) -> list[Any]:
    """Return a row with blanks up to a width; a longer one stays as it is."""
    blanks = [blank] * (width - len(row))
    return row + blanks if side == "right" else blanks + row


def as_arrays(
    rows: Sequence[Encoding], fields: Sequence[str], frame: Frame, *, all_types_zero: bool
) -> dict[str, NDArray[np.int64]]:
    """Return ``{field: [rows, width]}``, offsets as [rows, width, 2] and lengths as [rows]; see :func:`as_lists`.

    Raises:
        ValueError: rows differ in length and are not to be filled.
    """
    if len(rows) == 1:  # for one text the arrays cost more than the lists
        lists = as_lists(rows, fields, frame, all_types_zero=all_types_zero)
        return {name: np.array(column, np.int64) for name, column in lists.items()}
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    longest = int(lengths.max(initial=0))
    width = longest if frame.width is None else frame.width
    if len(rows) and (longest > width or (frame.width is None and lengths.min() < longest)):
        raise ValueError(
            f"rows of {lengths.min()} to {longest} tokens make no array"
            + (": pass padding=True" if frame.width is None else f" of width {width}: pass truncation=True as well")
        )
    places = np.arange(width)
    # [rows, width]: where a token stands.
    real = places < lengths[:, None] if frame.side == "right" else places >= width - lengths[:, None]
    result: dict[str, NDArray[np.int64]] = {}
    for field in fields:
        if field == LENGTH:
            result[field] = np.full(len(rows), width, np.int64)
        elif field == ATTENTION_MASK:
            result[field] = real.astype(np.int64)
        elif field == OFFSET_MAPPING:
            result[field] = np.zeros((len(rows), width, 2), np.int64)
            result[field][real] = np.array(list(chain.from_iterable(row.offsets for row in rows))).reshape(-1, 2)
        else:
            result[field] = np.full((len(rows), width), frame.padding.value(field), np.int64)
            is_zero = field == TOKEN_TYPE_IDS and all_types_zero
            result[field][real] = 0 if is_zero else _flat(rows, _VALUES[field], int(lengths.sum()))
    return result


def _flat(rows: Sequence[Encoding], values: Callable[[Encoding], Sequence[int]], count: int) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(map(values, rows)), np.int64, count)
