"""The first rows of a file, of text or of token ids: of lines no more is read than they take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError

_MOST_CHARACTERS: Final = 1 << 24  # of a line, or of a JSON list; what has more is neither


def read_texts(file: Path, count: int) -> list[str]:
    """Return the first lines of a file that are not empty, one at least.

    Raises:
        CheckpointError: it cannot be read, or holds no text.
    """
    found = list(islice(_lines(file, "text"), count))
    if not found:
        raise CheckpointError(f"{file}: holds no text")
    return found


def read_ids(file: Path, count: int) -> list[list[int]]:
    """Return the first rows of token ids, one at least, none of them empty: a row a line, or a JSON list of lists.

    Raises:
        CheckpointError: it cannot be read, or holds something else.
    """
    lines = _lines(file, "token ids")
    first = next(lines, "")
    try:
        if first.startswith("["):
            rows = json.loads(_joined(file, first, lines))
        else:
            rows = [[int(word) for word in line.split()] for line in (first, *islice(lines, count - 1)) if line]
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read as token ids: {error}") from None
    if not rows or not all(isinstance(row, list) and row and all(type(item) is int for item in row) for row in rows):
        raise CheckpointError(f"{file}: expected lists of whole numbers, one a sequence")
    return list(rows[:count])


def _lines(file: Path, kind: str) -> Iterator[str]:
    """Yield the lines that are not empty, without spaces around them."""
    try:
        with open(file, encoding="utf-8-sig") as stream:
            for line in iter(partial(stream.readline, _MOST_CHARACTERS), ""):
                if len(line) == _MOST_CHARACTERS:
                    raise _too_long(file)
                if stripped := line.strip():
                    yield stripped
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: cannot be read as {kind}: {error}") from None


def _joined(file: Path, first: str, lines: Iterator[str]) -> str:
    parts, size = [first], len(first)
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > _MOST_CHARACTERS:
            raise _too_long(file)
    return "\n".join(parts)


def _too_long(file: Path) -> CheckpointError:
    return CheckpointError(f"{file}: a row or list of more than {_MOST_CHARACTERS:,} characters; is it text?")
