"""Values of cells and JSON fields: checked for their type, and named in plain words where they are not what is needed.

Not for what a value means in a task; the readers of each kind of task know that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def kind_of(value: object) -> str:
    """Return what a value is, in a few words for a message."""
    if value is None:
        return "no value (null)"
    if isinstance(value, bool):
        return f"a truth value ({str(value).lower()})"
    if isinstance(value, int | float):
        return f"a number ({value})"
    if isinstance(value, str):
        return f"a text ({shortened(value)!r})" if value.strip() else "an empty text"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, value)) or 'nothing in it'}"
    return f"a list of {len(value)}" if isinstance(value, Sequence) else f"a value of type {type(value).__name__}"


def shortened(text: str, most: int = 40) -> str:
    """Return a text that fits into a message."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def as_text(value: object, place: str) -> str:
    """Return a text with every character one of Unicode.

    JSON can hold halves of characters, such as an emoji that was cut in two; no tokenizer takes them, so each becomes
    a question mark, as in pre-training. Offsets stay what they are.

    Raises:
        ValueError: the value is no text.
    """
    if not isinstance(value, str):
        raise ValueError(f"{place}: expected a text, found {kind_of(value)}")
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def as_filled_text(value: object, place: str) -> str:
    """Return a text that is more than blanks; raises ValueError on anything else."""
    text = as_text(value, place)
    if not text.strip():
        raise ValueError(f"{place}: the text is empty; give it a text or take the line out")
    return text


def as_name(value: object, place: str) -> str:
    """Return a name, such as that of a class: a text, or a whole number as text.

    Raises:
        ValueError: the value is something else, or empty.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return as_text(value, place).strip()
    raise ValueError(f"{place}: expected a name, a text or a whole number, found {kind_of(value)}")


def as_list(value: object, place: str, of: str) -> Sequence[Any]:
    """Return a list; raises ValueError, saying what it should be a list of, on anything else."""
    if isinstance(value, list | tuple):
        return value
    hint = "; CSV and TSV have no lists, JSON lines and parquet do" if isinstance(value, str) else ""
    raise ValueError(f"{place}: expected a list of {of}, found {kind_of(value)}{hint}")


def as_object(value: object, place: str, of: str) -> Mapping[str, Any]:
    """Return an object, fields by their names; raises ValueError, saying what it should be, on anything else."""
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{place}: expected an object, {of}, found {kind_of(value)}")


def field_of(value: Mapping[str, Any], name: str, place: str) -> Any:
    """Return a field of an object; raises ValueError, saying which there are, where it has none of that name."""
    if name not in value:
        raise ValueError(f"{place}: expected a field {name!r}, found {', '.join(map(str, value)) or 'none'}")
    return value[name]
