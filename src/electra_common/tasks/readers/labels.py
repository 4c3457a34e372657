"""Labels: which classes or tags there are, the number of each, and numbers to learn as they are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from electra_common.tasks.examples import Example, TaggedSentence, TextExample
from electra_common.tasks.readers.values import kind_of
from electra_common.tasks.task import Task

OUTSIDE: Final = "O"  # the tag of words that belong to no span
_MOST_NAMED: Final = 10
_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")


def label_names(task: Task, examples: Iterable[Example]) -> tuple[str, ...]:
    """Return the names of the classes or tags in the order of their numbers.

    Those that the task names; else those of the examples: sorted, whole numbers by their value, and among tags ``O``
    first. Whether tags are well-formed BIO is not asked: those of real data are not always.

    Args:
        task: what is learned. Regression, answers and choice have no names: the result is empty.
        examples: of the training data; not looked at where the task names the labels.

    Raises:
        ValueError: no example has a label, or all have the same.
    """
    if task.kind not in ("classification", "tagging"):
        return ()
    names = _sorted(set(_labels(examples)), task.kind) if task.labels is None else task.labels
    if not names:
        raise ValueError(f"task {task.name}: no example has a label: there is nothing to learn")
    if len(names) == 1:
        raise ValueError(f"task {task.name}: one class only, found {names[0]!r}: nothing to tell apart")
    return names


def label_number(names: Sequence[str], label: str | float, place: str) -> int:
    """Return the number of a class or tag.

    Args:
        names: as :func:`label_names` returns them.
        label: one of them.
        place: where the label stands, for the message.

    Raises:
        ValueError: the label is none of them.
    """
    try:
        return names.index(str(label))
    except ValueError:
        known = ", ".join(map(repr, names[:_MOST_NAMED]))
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        guesses = get_close_matches(str(label), names, n=1) or [name for name in names if _alike(name, str(label))]
        hint = f"; did you mean {guesses[0]!r}?" if guesses else ""
        raise ValueError(f"{place}: label {str(label)!r} is not among {known}{more}{hint}") from None


def label_value(value: object, place: str) -> float:
    """Return the number that a regression learns; raises ValueError, naming the place, where it is no finite one."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError(f"{place}: expected a number such as 3.5, found {kind_of(value)}")


def _labels(examples: Iterable[Example]) -> Iterator[str]:
    for example in examples:
        if isinstance(example, TextExample) and example.label is not None:
            yield str(example.label)
        elif isinstance(example, TaggedSentence) and example.tags is not None:
            yield from example.tags


def _sorted(names: set[str], kind: str) -> tuple[str, ...]:
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=lambda name: (kind == "tagging" and name != OUTSIDE, name)))


def _alike(name: str, label: str) -> bool:
    return name.casefold() == label.strip().casefold()
