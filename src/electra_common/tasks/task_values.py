"""Whether the plain values of a task, from a file that anyone may have written, are of the right types and harmless.

What it is not: whether they go together, which :class:`electra_common.tasks.task.Task` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_LONGEST_NAME: Final = 200
_MOST_TOKENS: Final = 1 << 20
# What may differ in a test set: where things stand, not what the task is.
_OF_A_TEST: Final = frozenset({"text", "pair", "label", "choices", "id", "header", "quoting", "format"})

Check = Callable[[Any], bool]


def check_task_values(values: Mapping[str, Any]) -> None:
    """Raise ValueError at the first value of a task that is of another type than it must be, or leads somewhere else.

    Names that no task has are left to :func:`electra_common.tasks.task.task_from`.
    """
    for name, value in values.items():
        expected, is_right = _CHECKS.get(name, ("", lambda _: True))
        if not is_right(value):
            found = ascii(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
            raise ValueError(f"task: {name} must be {expected}, found {found[:60]}")


def is_plain_file_name(value: Any) -> bool:
    """Return whether a name of a data file stays in the folder that it is looked for in, on every system."""
    if not _is_name(value) or re.search(r"[\\:]", value):
        return False
    return not value.startswith(("/", "~")) and ".." not in value.split("/")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_name(value: Any) -> bool:
    # A name is printed and put into commands: no control characters.
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MOST_TOKENS


def _is_column(value: Any) -> bool:
    return isinstance(value, str) or (type(value) is int and abs(value) <= _MOST_TOKENS)


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(item) in (int, float) and abs(item) <= 1e9 for item in value)
        and value[0] < value[1]
    )


def _are_test_columns(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        name in _OF_A_TEST and (_CHECKS[name][1](item) or (name == "label" and item is None))
        for name, item in value.items()
    )


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(check(item) for item in value)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _files(value: Any) -> bool:
    are_names = _list_of(is_plain_file_name)
    return isinstance(value, Mapping) and all(_is_name(split) and are_names(value[split]) for split in value)


# Attribute of a task -> what it must be, in words and as a function.
_CHECKS: Final[Mapping[str, tuple[str, Check]]] = {
    "name": (f"a text of 1 to {_LONGEST_NAME} printable characters", _is_name),
    "kind": ("a text", _is_text),
    "metrics": ("a list of names", _list_of(_is_name)),
    "summary": ("a text", _is_text),
    "format": ("a text", _is_text),
    "text": ("a column, by name or number", _is_column),
    "pair": ("a column, by name or number, or null", _or_none(_is_column)),
    "label": ("a column, by name or number, or null", _or_none(_is_column)),
    "choices": ("a list of columns", _list_of(_is_column)),
    "id": ("a column, by name or number, or null", _or_none(_is_column)),
    "labels": ("a list of texts, or null", _or_none(_list_of(_is_text))),
    "label_range": ("two numbers, the lower first, or null", _or_none(_is_range)),
    "header": ("true, false or null", _or_none(_is_flag)),
    "quoting": ("true or false", _is_flag),
    "files": ("for each split a list of names of files inside of the data's folder", _files),
    "test_columns": ("columns of a test set by the names of a task's", _are_test_columns),
    "max_length": (f"a whole number, 1 to {_MOST_TOKENS}", _is_count),
    "has_impossible": ("true or false", _is_flag),
    "scheme": ("a text", _is_text),
    "swaps_pairs": ("true or false", _is_flag),
    "settings": ("plain values by name", _is_mapping),
}
