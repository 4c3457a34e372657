"""How a long text becomes a window of a given length, and further windows over the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from electra_common.tokenization.python.encoding import Encoding

Direction = Literal["right", "left"]
TruncationStrategy = Literal["longest_first", "only_first", "only_second"]


def check_choice(name: str, value: str, choices: object) -> None:
    """Raise ValueError unless the value of an option is one of those its type allows."""
    if value not in get_args(choices):
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(map(repr, get_args(choices)))}")


def check_size(name: str, value: int) -> None:
    """Raise TypeError or ValueError unless an option is a whole number of at least 0."""
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name}={value}: must not be negative")


@dataclass(frozen=True)
class Truncation:
    """How to truncate; see ``PythonBackend.enable_truncation``."""

    max_length: int
    stride: int = 0
    strategy: TruncationStrategy = "longest_first"
    direction: Direction = "right"

    def __post_init__(self) -> None:
        check_size("max_length", self.max_length)
        check_size("stride", self.stride)
        check_choice("strategy", self.strategy, TruncationStrategy)
        check_choice("direction", self.direction, Direction)

    def apply(self, encoding: Encoding, pair: Encoding | None, reserved: int) -> tuple[Encoding, Encoding | None]:
        """Truncate a text or a pair so that the tokens and the reserved places are at most ``max_length``.

        Where not even the reserved places fit, nothing is truncated.

        Raises:
            ValueError: the text that the strategy is to truncate is missing or too short, or the stride is too long.
        """
        max_length = self.max_length - reserved
        total = len(encoding) + (len(pair) if pair is not None else 0)
        if max_length < 0 or (max_length > 0 and total <= max_length):
            return encoding, pair
        if max_length == 0:
            lengths = 0, 0
        elif self.strategy == "longest_first":
            lengths = longest_first_lengths(len(encoding), len(pair or ()), max_length)
        else:
            lengths = self._cut_one(encoding, pair, total - max_length)
        return self._windows(encoding, lengths[0]), None if pair is None else self._windows(pair, lengths[1])

    def _cut_one(self, encoding: Encoding, pair: Encoding | None, to_remove: int) -> tuple[int, int]:
        first = self.strategy == "only_first"
        if not first and pair is None:
            raise ValueError("truncation error: strategy 'only_second' needs a second text, and there is none")
        lengths = [len(encoding), 0 if pair is None else len(pair)]
        target = 0 if first else 1
        if lengths[target] <= to_remove:
            raise ValueError(
                f"truncation error: with strategy {self.strategy!r}, {to_remove} tokens must go to reach "
                f"max_length={self.max_length}, but that text is too short: it has {lengths[target]}"
            )
        lengths[target] -= to_remove
        return lengths[0], lengths[1]

    def _windows(self, encoding: Encoding, length: int) -> Encoding:
        """Return the first window, the others as its overflow."""
        total = len(encoding)
        if length >= total:
            return encoding
        if length == 0:
            return Encoding(overflowing=[encoding])
        if self.stride >= length:
            raise ValueError(
                f"truncation error: stride={self.stride} must be less than the {length} tokens that each window "
                f"has room for within max_length={self.max_length}"
            )
        starts = range(0, total - self.stride, length - self.stride)
        spans = [(start, min(start + length, total)) for start in starts]
        if self.direction == "left":
            spans = [(total - stop, total - start) for start, stop in spans]
        first, *others = (encoding.part(start, stop) for start, stop in spans)
        first.overflowing = others
        return first


def longest_first_lengths(first: int, second: int, total: int) -> tuple[int, int]:
    """Return the lengths of two sequences cut to ``total``: the longer one is cut until both are as long.

    Where both are cut and ``total`` is odd, the one that was longer keeps one more; the second, where they are equal.
    """
    shorter, longer = sorted((first, second))
    if shorter + longer <= total:
        return first, second
    if 2 * shorter <= total:
        longer = total - shorter
    else:
        shorter, longer = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
    return (longer, shorter) if first > second else (shorter, longer)
