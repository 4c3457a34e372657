"""A WordPiece vocabulary as a text file: one piece a line, the line number from 0 is the id."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError

MAX_VOCABULARY_BYTES: Final = 64 << 20


def read_vocabulary(file: str | Path) -> dict[str, int]:
    """Read ``vocab.txt``. A byte order mark and the carriage return of Windows' line ends are not part of a piece.

    Where a piece is repeated the last line counts, as in transformers, and one warning says so.

    Raises:
        CheckpointError: the file cannot be read, is empty, too large or not UTF-8; the line is named.
    """
    path = Path(file)
    try:
        if path.stat().st_size > MAX_VOCABULARY_BYTES:
            raise CheckpointError(f"{path}: over {MAX_VOCABULARY_BYTES >> 20} MiB, too large for a vocabulary")
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read as a vocabulary: {error.strerror or error}") from None
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"{path}: line {line} is not UTF-8; expected one piece a line, in UTF-8") from None
    if lines[-1] == "":
        lines.pop()  # behind the final line end
    if not lines:
        raise CheckpointError(f"{path}: is empty; expected one piece a line")
    vocabulary = {line.removesuffix("\r"): index for index, line in enumerate(lines)}
    if len(vocabulary) < len(lines):
        _warn_of_repetition(path, lines, vocabulary)
    return vocabulary


def _warn_of_repetition(path: Path, lines: list[str], vocabulary: Mapping[str, int]) -> None:
    first = next(index for index, line in enumerate(lines) if vocabulary[line.removesuffix("\r")] != index)
    piece = lines[first].removesuffix("\r")
    warnings.warn(
        f"{path}: {len(lines) - len(vocabulary)} pieces are repeated, such as {piece!r} in lines {first + 1} and "
        f"{vocabulary[piece] + 1}; the last one counts",
        stacklevel=4,
    )


def check_special_tokens(vocabulary: Mapping[str, int], tokens: Iterable[str], source: str) -> None:
    """Refuse a vocabulary without the special tokens that every input needs.

    Raises:
        CheckpointError: names those that are missing.
    """
    missing = [token for token in tokens if token not in vocabulary]
    if missing:
        raise CheckpointError(
            f"{source}: lacks {', '.join(missing)}; not a vocabulary of ELECTRA's, "
            "or its special tokens go by other names (cls_token=…, sep_token=…, …)"
        )


def vocabulary_bytes(vocabulary: Mapping[str, int], source: str) -> bytes:
    """Return the content of ``vocab.txt``.

    Raises:
        CheckpointError: the ids have gaps, or a piece holds a line end, which a text file cannot say.
    """
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
        raise CheckpointError(f"{source}: ids of the vocabulary are not 0 to {len(pieces) - 1}; it fits no vocab.txt")
    if any("\n" in piece or piece.endswith("\r") for piece in pieces):
        raise CheckpointError(f"{source}: a piece of the vocabulary holds a line end; it fits no vocab.txt")
    return "".join(f"{piece}\n" for piece in pieces).encode()
