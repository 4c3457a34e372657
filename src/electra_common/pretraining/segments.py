"""From the ids of a document to examples of one or two segments: Google's algorithm, and one that loses no text.

Both put lines together until an example is full, give one in ten examples a single segment, and make one in twenty
shorter. They differ in what happens at the end of an example:

- ``"google"`` cuts what does not fit and throws it away, as Google's ``build_pretraining_dataset.py`` does;
- ``"whole"`` goes on with it in the next example. Every token of a document is in exactly one example.

Random choices are a function of (seed, document, example), never of what was drawn before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SINGLE_SEGMENT_PROBABILITY: Final = 0.1
SHORTER_PROBABILITY: Final = 0.05
SHORTEST_TARGET: Final = 5
SHORTEST, LONGEST = 8, 1 << 15
# "No limit" for the first of two segments, in Google's code as well.
_NO_LIMIT: Final = 100_000
_EXAMPLES_A_DRAW: Final = 8
_NOTHING_BUFFERED: Final[dict[str, Any]] = {
    "bit_generator": "Philox", "buffer": np.zeros(4, np.uint64), "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
}  # fmt: skip

Ids = NDArray[np.int32]
Example = tuple[Ids, Ids]


class Draw(NamedTuple):
    """What chance decides of one example: four numbers of [0, 1)."""

    single: float
    takes_line: float
    shorter: float
    length: float


class Draws:
    """The draws of one document's examples, by Philox keyed with the seed and counted by document.

    Args:
        seed: of the corpus.
        document: number of the document in the corpus.
        part: which part of a document that was cut because of its size.
        generator: one to use again, which is faster than making one for each document; its state is overwritten.
    """

    def __init__(self, seed: int, document: int, part: int = 0, *, generator: np.random.Philox | None = None) -> None:
        self._key = np.array([seed, 0], np.uint64)
        self._document, self._part = document, part
        self._generator = generator or np.random.Philox(key=0)
        self._first, self._rows = -_EXAMPLES_A_DRAW, []  # type: int, list[list[float]]

    def __getitem__(self, example: int) -> Draw:
        first = example - example % _EXAMPLES_A_DRAW
        if first != self._first:
            # The lowest word of the counter counts blocks of four numbers: one block an example.
            counter = np.array([first, self._part, self._document, 0], np.uint64)
            state: Any = {"state": {"counter": counter, "key": self._key}, **_NOTHING_BUFFERED}
            self._generator.state = state
            raw = self._generator.random_raw(4 * _EXAMPLES_A_DRAW)
            self._rows = ((raw >> np.uint64(11)) * 2.0**-53).reshape(-1, 4).tolist()
            self._first = first
        return Draw(*self._rows[example - first])


DrawsLike = Draws | list[Draw]


@dataclass(frozen=True)
class SegmentOptions:
    """How examples are cut.

    Args:
        max_length: most tokens of an example, ``[CLS]`` and ``[SEP]`` included.
        method: ``"whole"`` or ``"google"``.
        single_segment: probability of an example without a second segment.
        shorter: probability of an example with a target length of 5 to ``max_length``, drawn evenly.
    """

    max_length: int = 128
    method: str = "whole"
    single_segment: float = SINGLE_SEGMENT_PROBABILITY
    shorter: float = SHORTER_PROBABILITY

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"segments must be one of {', '.join(map(repr, METHODS))}, found {self.method!r}")
        if not SHORTEST <= self.max_length <= LONGEST:
            raise ValueError(f"max_length must be from {SHORTEST} to {LONGEST}, found {self.max_length}")
        for name, value in (("single_segment", self.single_segment), ("shorter", self.shorter)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be a probability, found {value}")

    def target(self, draw: Draw) -> int:
        """Return how many tokens an example should have."""
        if draw.shorter >= self.shorter:
            return self.max_length
        return SHORTEST_TARGET + int(draw.length * (self.max_length - SHORTEST_TARGET + 1))


def cut_document(ids: Ids, line_ends: NDArray[np.int64], options: SegmentOptions, draws: DrawsLike) -> list[Example]:
    """Return the examples of a document as pairs of segments, without special tokens; the second may be empty.

    Args:
        ids: of the whole document ``[tokens]``.
        line_ends: where each line ends ``[lines]``.
        options: how to cut.
        draws: what chance decides, an item for each example.
    """
    return list(METHODS[options.method](ids, line_ends, options, draws))


def _whole(ids: Ids, line_ends: NDArray[np.int64], options: SegmentOptions, draws: DrawsLike) -> Iterator[Example]:
    total = len(ids)
    ends = line_ends.tolist()
    start = number = 0
    while start < total:
        draw = draws[number]
        number += 1
        room = options.target(draw)
        end = min(start + room - 3, total)
        middle = end
        if draw.single >= options.single_segment:
            middle = _second_segment(ends, start, (room - 3) // 2, takes_line=draw.takes_line < 0.5)
        if middle >= end:  # one segment, and so one [SEP] less
            end = middle = min(start + room - 2, total)
        yield ids[start:middle], ids[middle:end]
        start = end


def _second_segment(ends: list[int], start: int, first_target: int, *, takes_line: bool) -> int:
    """Return where the second segment begins, by Google's rule: at a line's end, before or after the first half."""
    following = bisect_right(ends, start)
    crossing = bisect_left(ends, start + first_target, lo=following)  # the first line that is not wholly in the half
    crossing = min(crossing, len(ends) - 1)
    if crossing == following or takes_line:
        return ends[crossing]
    return ends[crossing - 1]


def _google(ids: Ids, line_ends: NDArray[np.int64], options: SegmentOptions, draws: DrawsLike) -> Iterator[Example]:
    number = start = 0
    lines: list[Ids] = []
    line_start = 0
    target = options.target(draws[0])
    for end in line_ends.tolist():
        lines.append(ids[line_start:end])
        line_start = end
        if end - start >= target:
            yield _google_example(lines, options, draws[number])
            number, start, lines = number + 1, end, []
            target = options.target(draws[number])
    if lines:
        yield _google_example(lines, options, draws[number])


def _google_example(lines: list[Ids], options: SegmentOptions, draw: Draw) -> Example:
    limit = _NO_LIMIT if draw.single < options.single_segment else (options.target(draw) - 3) // 2
    first: list[Ids] = []
    second: list[Ids] = []
    first_length = second_length = 0
    for line in lines:
        if (
            first_length == 0
            or first_length + len(line) < limit
            or (second_length == 0 and first_length < limit and draw.takes_line < 0.5)
        ):
            first.append(line)
            first_length += len(line)
        else:
            second.append(line)
            second_length += len(line)
    nothing = np.zeros(0, np.int32)
    kept = np.concatenate([nothing, *first])[: options.max_length - 2]
    room = max(0, options.max_length - len(kept) - 3)
    return kept, np.concatenate([nothing, *second])[:room]


METHODS: Final[dict[str, Callable[[Ids, NDArray[np.int64], SegmentOptions, DrawsLike], Iterator[Example]]]] = {
    "whole": _whole,
    "google": _google,
}
