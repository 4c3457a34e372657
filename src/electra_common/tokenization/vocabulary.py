"""A WordPiece vocabulary as a text file: one piece a line, the line number from 0 is the id."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError

MAX_VOCABULARY_BYTES: Final = 64 << 20
MAX_GAPS: Final = 1_000_000  # ids without a piece in what is no vocab.txt; each takes a line when it is saved


def read_vocabulary(file: str | Path) -> dict[str, int]:
    """Read ``vocab.txt``. A byte order mark and the carriage return of Windows' line ends are not part of a piece.

    Where a piece is repeated the last line counts, as in transformers, and one warning says so. The lines before it
    keep their ids: each is the text, a line end and its id, which no text to be tokenized is cut into.

    Raises:
        CheckpointError: the file cannot be read, is empty, too large or not UTF-8; the line is named.
    """
    path = Path(file)
    try:
        if path.stat().st_size > MAX_VOCABULARY_BYTES:
            raise CheckpointError(f"{path}: over {MAX_VOCABULARY_BYTES >> 20} MiB, too large for a vocabulary")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read as a vocabulary: {error.strerror or error}") from None
    try:
        lines = _lines(content)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"{path}: line {line} is not UTF-8; expected one piece a line, in UTF-8") from None
    if not lines:
        raise CheckpointError(f"{path}: is empty; expected one piece a line")
    last = {line: index for index, line in enumerate(lines)}
    if len(last) < len(lines):
        _warn_of_repetition(path, lines, last)
    return _numbered(lines, last)


def _lines(content: bytes) -> list[str]:
    lines = content.removeprefix(codecs.BOM_UTF8).decode("utf-8").split("\n")
    if lines[-1] == "":
        lines.pop()  # behind the final line end
    return [line.removesuffix("\r") for line in lines]


def _numbered(lines: list[str], last: Mapping[str, int]) -> dict[str, int]:
    return {line if last[line] == index else _shadowed(line, index): index for index, line in enumerate(lines)}


def _shadowed(line: str, index: int) -> str:
    """Return the name of a line that a later one repeats. Words hold no line ends, so it is found in no text."""
    return f"{line}\n{index}"


def _warn_of_repetition(path: Path, lines: list[str], last: Mapping[str, int]) -> None:
    first = next(index for index, line in enumerate(lines) if last[line] != index)
    piece = lines[first]
    warnings.warn(
        f"{path}: {len(lines) - len(last)} pieces are repeated, such as {piece!r} in lines {first + 1} and "
        f"{last[piece] + 1}; the last one counts",
        stacklevel=4,
    )


class SettledVocabulary(dict[str, int]):
    """A vocabulary in which :func:`without_gaps` names no more ids: what it leaves out, added tokens have."""


def without_gaps(vocabulary: Mapping[str, int]) -> dict[str, int]:
    """Return a vocabulary with a name for each id up to the highest, so that a new token gets none that is taken.

    The names hold blanks, which words do not, so they are found in no text.

    Raises:
        CheckpointError: there are more gaps than any vocabulary has.
    """
    pieces, ids = dict(vocabulary), set(vocabulary.values())
    if isinstance(vocabulary, SettledVocabulary):
        return pieces
    size = max(ids, default=-1) + 1
    if size - len(ids) > MAX_GAPS:
        raise CheckpointError(f"the vocabulary: {len(pieces)} pieces have ids up to {size - 1}; too many are left out")
    if size > len(ids):
        pieces |= {f"[unused id {index}]": index for index in range(size) if index not in ids}
    return pieces


def check_ids(vocabulary: Mapping[str, int]) -> None:
    """Refuse what is no ``{piece: id}``.

    Raises:
        ValueError: a piece is no text, or an id no whole number from 0.
    """
    for piece, index in vocabulary.items():
        if not isinstance(piece, str):
            raise ValueError(f"a vocabulary is {{piece: id}} with texts as pieces, found {piece!r:.80}")
        if not isinstance(index, int | Integral) or index < 0:
            raise ValueError(f"ids of a vocabulary are whole numbers from 0, found {index!r:.80} for {piece!r:.80}")


def check_ids_stay(vocabulary: Mapping[str, int], as_read: Mapping[str, int], source: str) -> None:
    """Refuse to save a vocabulary of which other ids would be read.

    Raises:
        CheckpointError: names the first token with another id.
    """
    for token, index in vocabulary.items():
        if (found := as_read.get(token)) != index:
            raise CheckpointError(
                f"{source}: {token!r} has id {index} and would be read with {found}, for ids are left out; "
                "save it without that token"
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
    """Return the content of ``vocab.txt``, of which :func:`read_vocabulary` makes the same vocabulary.

    Raises:
        CheckpointError: the ids have gaps, or a piece holds a line end, which a text file cannot say.
    """
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
        raise CheckpointError(f"{source}: ids of the vocabulary are not 0 to {len(pieces) - 1}; it fits no vocab.txt")
    texts = [piece.removesuffix(_shadowed("", index)) for index, piece in enumerate(pieces)]
    content = "".join(f"{text}\n" for text in texts).encode()
    lines = _lines(content)
    if _numbered(lines, {line: index for index, line in enumerate(lines)}) != vocabulary:
        raise CheckpointError(f"{source}: a piece of the vocabulary holds a line end; it fits no vocab.txt")
    return content
