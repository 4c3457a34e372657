"""Values by name, from a file or from ``--set name=value``, for a dataclass of plain numbers and words."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

_ALLOWED: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return name and value of ``name=value``, the value written as in TOML; a bare word stands for itself.

    Raises:
        ValueError: there is no ``=``.
    """
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set takes name=value, found {text!r}")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def check_fields(kind: type[Any], values: Mapping[str, Any], where: str, what: str) -> None:
    """Raise ValueError unless every value belongs to a field and has its type.

    Args:
        kind: a dataclass whose fields are numbers, words and flags.
        values: by the names of fields.
        where: for the message, such as a file's name.
        what: for the message, what has these fields, such as ``a recipe``.
    """
    kinds = {item.name: str(item.type) for item in fields(kind)}
    for name, value in values.items():
        if name not in kinds:
            guesses = get_close_matches(name, kinds, n=1)
            hint = f"did you mean {guesses[0]}?" if guesses else f"known: {', '.join(kinds)}"
            raise ValueError(f"{where}: {what} has no field {name!r}; {hint}")
        if not isinstance(value, _ALLOWED[kinds[name]]) or (isinstance(value, bool) and kinds[name] != "bool"):
            raise ValueError(f"{where}: {name} must be of type {kinds[name]}, found {value!r}")
