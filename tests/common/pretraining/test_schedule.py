"""The learning rate: warm-up and decay at once."""

import pytest

from electra_common.pretraining.schedule import scheduled_rate


def test_it_is_what_googles_graph_computed():
    """tests/fixtures google-a: 1e-3 * (1 - (K + 1) / 20) * min(1, (K + 1) / 3) for the update that follows step K."""
    for step in range(20):
        expected = 1e-3 * (1 - (step + 1) / 20) * min(1, (step + 1) / 3)
        assert scheduled_rate(step + 1, peak=1e-3, warmup_steps=3, total_steps=20) == pytest.approx(expected, rel=1e-12)


def test_it_ends_at_zero_and_stays_there():
    assert scheduled_rate(20, peak=1e-3, warmup_steps=3, total_steps=20) == 0
    assert scheduled_rate(25, peak=1e-3, warmup_steps=3, total_steps=20) == 0


def test_other_powers_and_no_warm_up():
    assert scheduled_rate(5, peak=1.0, warmup_steps=0, total_steps=20, power=2.0) == pytest.approx(0.75**2)
