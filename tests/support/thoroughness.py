"""How often a test repeats itself: `make test` takes a sample of its cases, ELECTRA_THOROUGH=1 takes all of them.

`make check-thorough` and `make check-unicode` set it.
"""

import os

import pytest

THOROUGH = os.environ.get("ELECTRA_THOROUGH") == "1"


def sample(usual, *, thorough):
    """Return the usual number, or the one for thorough runs."""
    return thorough if THOROUGH else usual


def mostly_thorough(values, *, usual, marks=()):
    """Return parameters of a test: the usual ones of some values for every run, the others for thorough ones."""
    left = [value for value in usual if value not in values]
    assert not left, f"not among the values: {left}"
    return [
        pytest.param(value, marks=[*marks, *([] if value in usual else [pytest.mark.thorough])]) for value in values
    ]
