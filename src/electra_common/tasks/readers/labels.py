"""From a label as a file has it to the number that a network learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches


def label_number(names: Sequence[str], label: str | float, place: str) -> int:
    """Return the number of a class.

    Args:
        names: of the classes, in order.
        label: one of them.
        place: where the label stands, for the error.

    Raises:
        ValueError: no class has that name.
    """
    name = str(label)
    if name in names:
        return names.index(name)
    guesses = get_close_matches(name, names, n=1)
    hint = f"did you mean {guesses[0]!r}?" if guesses else f"known: {', '.join(names)}"
    raise ValueError(f"{place}: no label {name!r}; {hint}")


def label_value(label: str | float, place: str) -> float:
    """Return a label as a number; raises ValueError, naming the place, where it is none."""
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: expected a number as the label, found {label!r}")
    return value
