"""Comparisons that say where two sets of named arrays differ first."""

import re

import numpy as np


def _order(name):
    """Sort names as the data flows: hidden states by layer, then attentions, logits, loss, gradients."""
    kinds = ("hidden_states", "attentions", "last_hidden_state", "logits", "loss")
    kind = next((i for i, word in enumerate(kinds) if name.startswith(word)), len(kinds))
    return kind, [int(number) for number in re.findall(r"\d+", name)], name


def assert_all_close(expected, found, tolerance):
    """Assert that two dicts of arrays agree, absolutely; the failure names the first difference in data-flow order."""
    assert set(expected) == set(found), f"names differ: {sorted(set(expected) ^ set(found))}"
    for name in sorted(expected, key=_order):
        assert_close(name, expected[name], found[name], tolerance)


def assert_close(name, expected, found, tolerance):
    """Assert that two arrays agree, absolutely; the failure gives the largest and the mean difference and the place."""
    expected, found = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    assert expected.shape == found.shape, f"{name}: shape {expected.shape} expected, found {found.shape}"
    difference = np.abs(expected - found)
    assert np.all(np.isfinite(found)), f"{name}: holds numbers that are not finite"
    if difference.size and difference.max() > tolerance:
        place = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
        raise AssertionError(
            f"{name}: differs by {difference.max():.2e} at {place} (mean {difference.mean():.2e}, "
            f"allowed {tolerance:.0e}): expected {expected[place]!r}, found {found[place]!r}"
        )


def count_calls(monkeypatch, owner, name):
    """Return a list that gets an entry whenever a method of a class is called, which it still is."""
    called, method = [], getattr(owner, name)

    def counted(*arguments, **named):
        called.append(name)
        return method(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)
    return called
