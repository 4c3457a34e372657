"""The learning rate: warm-up and decay at once."""

from types import SimpleNamespace

import pytest

from electra_common.runs.schedule import scheduled_rate, warmup_updates


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


def test_one_after_the_other_it_is_that_of_the_trainer():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = transformers.get_linear_schedule_with_warmup(optimizer, num_warmup_steps=3, num_training_steps=20)
    for update in range(1, 22):
        rate = scheduled_rate(update, peak=1e-3, warmup_steps=3, total_steps=20, schedule="transformers")
        assert rate == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=0)
        optimizer.step()
        theirs.step()


def test_a_part_of_an_update_warms_up_as_the_trainer_counts():
    transformers = pytest.importorskip("transformers")
    asked = SimpleNamespace(warmup_steps=0.1)  # below 1: a fraction; the whole class needs more than we have
    for total in (5, 21, 1565):
        expected = transformers.TrainingArguments.get_warmup_steps(asked, total)
        assert warmup_updates(0.1, total, "transformers") == expected
    assert warmup_updates(0.1, 21) == 2


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="schedule must be one of google, transformers; found 'cosine'"):
        scheduled_rate(1, peak=1e-3, warmup_steps=3, total_steps=20, schedule="cosine")
