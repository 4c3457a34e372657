"""What a call of a tokenizer asks for, with the defaults resolved: how to cut, how to fill, what to return.

Names and rules are those of transformers: ``padding=True`` is ``"longest"``, ``truncation=True`` is
``"longest_first"``, and ``max_length`` alone cuts.
"""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from typing import Final

PADDING: Final = ("do_not_pad", "longest", "max_length")
TRUNCATION: Final = ("do_not_truncate", "longest_first", "only_first", "only_second")
SIDES: Final = ("right", "left")
TENSORS: Final = ("np", "pt", "tf")
# transformers' sign for "this model has no longest input".
NO_MAX_LENGTH: Final = int(1e30)
_LARGE: Final = int(1e20)


@dataclass(frozen=True, slots=True)
class Cut:
    """How rows are cut: to ``max_length`` tokens with the special ones, ``stride`` of them repeated in the next row."""

    strategy: str
    max_length: int
    stride: int
    side: str


@dataclass(frozen=True, slots=True)
class Fill:
    """How rows are filled: to ``length`` tokens, or where that is None to the longest of the batch."""

    length: int | None
    multiple: int | None
    side: str

    def width(self, longest: int) -> int:
        """Return the number of tokens that rows are filled to, given that of the longest."""
        width = longest if self.length is None else self.length
        return width if self.multiple is None else -(-width // self.multiple) * self.multiple


@dataclass(frozen=True, slots=True)
class CallOptions:
    """A call's arguments, resolved. ``cut`` and ``fill`` are None where rows are left as long as they are.

    ``is_plain`` where a text gives the three lists that a model takes, and nothing else.
    """

    cut: Cut | None
    fill: Fill | None
    add_special_tokens: bool
    is_split_into_words: bool
    split_special_tokens: bool
    fields: tuple[str, ...]
    overflow: bool
    tensors: str | None
    warn_beyond: int | None
    is_plain: bool


def resolve_cut_and_fill(
    *,
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    stride: int,
    pad_to_multiple_of: int | None,
    padding_side: str,
    truncation_side: str,
    model_max_length: int,
    verbose: bool = True,
) -> tuple[Cut | None, Fill | None]:
    """Return how to cut and how to fill.

    Raises:
        ValueError: an argument is not one of the known values, or two contradict each other.
    """
    max_length = _whole_number("max_length", max_length, lowest=0)
    stride = _whole_number("stride", stride, lowest=0) or 0
    pad_to_multiple_of = _whole_number("pad_to_multiple_of", pad_to_multiple_of, lowest=1)
    if max_length is not None and padding is False and truncation is None:
        truncation = "longest_first"
    fill_name = _named("padding", padding, {True: "longest", False: "do_not_pad"}, PADDING)
    cut_name = _named("truncation", truncation, {True: "longest_first", False: "do_not_truncate"}, TRUNCATION)
    if verbose and padding is True and max_length is not None and cut_name == "do_not_truncate":
        warnings.warn(
            "max_length is ignored: padding=True fills to the longest row and nothing is truncated; "
            "pass padding='max_length' or truncation=True",
            stacklevel=5,
        )
    limit = model_max_length if max_length is None else max_length
    cut = fill = None
    if cut_name != "do_not_truncate" and limit <= _LARGE:
        cut = Cut(cut_name, limit, stride, check_side("truncation_side", truncation_side))
    if fill_name != "do_not_pad" and (fill_name == "longest" or limit <= _LARGE):
        length = limit if fill_name == "max_length" else None
        fill = Fill(length, pad_to_multiple_of, check_side("padding_side", padding_side))
    if cut and fill and pad_to_multiple_of and limit % pad_to_multiple_of:
        raise ValueError(
            f"rows cannot be both cut to max_length={limit} and filled to a multiple of {pad_to_multiple_of}: "
            f"choose a max_length that pad_to_multiple_of={pad_to_multiple_of} divides"
        )
    return cut, fill


def check_room(cut: Cut, special_tokens: int) -> None:
    """Refuse a length that the special tokens alone exceed, and windows that would never move on.

    Raises:
        ValueError: says how many tokens are needed.
    """
    room = cut.max_length - special_tokens
    if room < 0:
        raise ValueError(f"max_length={cut.max_length} is below the {special_tokens} special tokens of every row")
    if cut.stride and cut.stride >= room:
        raise ValueError(
            f"stride={cut.stride} must be below the {room} tokens of text that max_length={cut.max_length} "
            f"leaves beside {special_tokens} special tokens"
        )


def check_tensors(name: str | None) -> str | None:
    """Return the kind of tensors asked for: ``"np"``, ``"pt"``, ``"tf"`` or None for lists."""
    if name is None or name in TENSORS:
        return name
    raise ValueError(f"return_tensors must be None or one of {', '.join(map(repr, TENSORS))}, found {name!r}")


def _named(argument: str, value: bool | str | None, booleans: dict[bool, str], names: tuple[str, ...]) -> str:
    if value is None:
        value = False
    name = booleans[value] if isinstance(value, bool) else str(getattr(value, "value", value))
    if name not in names:
        raise ValueError(f"{argument} must be True, False or one of {', '.join(map(repr, names))}, found {value!r}")
    return name


def check_side(argument: str, value: str) -> str:
    """Return a side; raises ValueError unless it is ``"right"`` or ``"left"``."""
    if value not in SIDES:
        raise ValueError(f"{argument} must be 'right' or 'left', found {value!r}")
    return value


def _whole_number(argument: str, value: int | None, *, lowest: int) -> int | None:
    """Return a number, numpy's too, as Python's own; None stays None."""
    if value is None:
        return None
    try:
        number = lowest - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = lowest - 1
    if number < lowest:
        raise ValueError(f"{argument} must be a whole number of at least {lowest}, found {value!r}")
    return number
