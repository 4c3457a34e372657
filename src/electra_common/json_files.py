"""Small files that may come from anyone, and the JSON in them: bounded, and nothing read that could mean two things."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from electra_common.weights.errors import CheckpointError

LONGEST_REASON: Final = 300  # a key that an error names may be as long as the file
_MAX_DEPTH: Final = 64


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse JSON text that must be an object with no key twice and finite numbers; raises ValueError."""
    try:
        values = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_float=_finite_number,
            parse_constant=_finite_number,  # NaN and Infinity, which Python reads and JSON does not know
        )
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, found {type(values).__name__}")
    _check_depth(values)
    return values


def _object_without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice in one JSON object")
        result[key] = value
    return result


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is not finite")
    return value


def _check_depth(values: dict[str, Any]) -> None:
    """Refuse what Python can read but, called from deeper in a program, not write again."""
    level: list[Any] = [values]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"the JSON is nested too deeply (more than {_MAX_DEPTH} levels)")


def read_json_file(file: Path, most_bytes: int, of: str) -> dict[str, Any]:
    """Read a small JSON file that may come from anyone; raises CheckpointError.

    Args:
        file: to read.
        most_bytes: a larger one is refused, and no more of it is read.
        of: what such a file says something of, for the error: ``"ELECTRA config"``.
    """
    return parse_json_file(file, read_small_file(file, most_bytes, of))


def parse_json_file(file: Path, content: bytes) -> dict[str, Any]:
    """Return the JSON object that a file holds, given its content; raises CheckpointError, which names it."""
    try:
        return parse_json_object(content.decode("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file}: cannot be read as JSON: {str(error)[:LONGEST_REASON]}") from None


def read_small_file(file: Path, most_bytes: int, of: str) -> bytes:
    """Return what a file holds; raises CheckpointError as :func:`read_json_file` does."""
    if file.exists() and not file.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{file}: not a regular file")
    try:
        with open(file, "rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror or error}") from None
    if len(content) > most_bytes:
        raise CheckpointError(f"{file}: more than {most_bytes} bytes, which no {of} has")
    return content
