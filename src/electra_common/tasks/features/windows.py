"""Windows: a long text as several rows, and what decoding has to know of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a text that one row holds.

    Attributes:
        position: of its first token in the row.
        start: number of that token in the text.
        total: tokens of the text.
        targets: what the window's tokens stand for. Of words: for each token [tokens] the number of the word that it is
            the first piece of, else -1. Of a context: start and end of each token in its characters, [tokens, 2].
    """

    position: int
    start: int
    total: int
    targets: NDArray[Any]

    @property
    def end(self) -> int:
        """The number in the text of the token behind its last one."""
        return self.start + len(self.targets)

    @property
    def tokens(self) -> slice:
        """Where its tokens stand in the row."""
        return slice(self.position, self.position + len(self.targets))


def context_windows(length: int, room: int, doc_stride: int) -> list[tuple[int, int]]:
    """Return start and end of the windows over a context, as BERT and Google's ELECTRA place them.

    Args:
        length: tokens of the context; where it has none, there is one empty window.
        room: most tokens of a window.
        doc_stride: how many tokens a window stands behind the one before; never more than it holds.
    """
    windows = [(0, min(length, room))]
    while windows[-1][1] < length:
        start = windows[-1][0] + min(room, doc_stride)
        windows.append((start, min(start + room, length)))
    return windows
