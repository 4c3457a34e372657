"""The batches of fine-tuning: every row once a pass, whatever processes and micro-batches divide them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from electra_common.runs.division import Division
from electra_common.tasks.batches import FineTuningBatches, balanced_class_weights
from electra_common.tasks.features.rows import Row

PAD = 7


def text_row(number, length, label):
    ids = np.full(length, number, np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return Row(inputs, {"labels": np.asarray(label)}, number)


def rows_of(count, *, classes=3):
    generator = np.random.default_rng(count)
    return [text_row(number, int(generator.integers(1, 40)), number % classes) for number in range(count)]


def batches_of(rows, *, size=4, processes=1, accumulation=1, numbers=(0,), **options):
    division = Division(size, processes, accumulation)
    return FineTuningBatches(rows, seed=5, division=division, processes=numbers, pad_token_id=PAD, **options)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(count=st.integers(1, 13), size=st.integers(1, 9), grouped=st.booleans())
def test_whole_passes_hold_every_row_equally_often(count, size, grouped):
    """As many updates as there are rows are whole passes."""
    found = batches_of(rows_of(count), size=size, group_by_length=grouped)
    seen = np.concatenate([found.numbers(step) for step in range(count)])
    assert np.bincount(seen, minlength=count).tolist() == [size] * count


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("count", "size"), [(100, 32), (175, 8), (170, 5), (7, 3), (128, 8), (9, 20)])
def test_a_pass_is_over_all_rows_whatever_batch_it_ends_in(count, size, grouped):
    found = batches_of(rows_of(count), size=size, group_by_length=grouped)
    for passes in (1, 2, 3):
        seen = np.concatenate([found.numbers(step) for step in range(found.steps_for(passes))])
        times = np.bincount(seen, minlength=count)
        assert times.min() >= passes
        assert times.max() <= times.min() + 1


def test_no_batch_of_a_small_set_holds_a_row_often():
    found = batches_of(rows_of(100), size=32)
    distinct = [len(set(found.numbers(step).tolist())) for step in range(found.steps_for(3))]
    assert [count for step, count in enumerate(distinct) if step not in (3, 6, 9)] == [32] * 7
    assert min(distinct) > 16


def test_another_seed_and_another_pass_have_another_order():
    rows = rows_of(60)
    one, other = (
        FineTuningBatches(
            rows, seed=seed, division=Division(20), processes=(0,), pad_token_id=PAD, group_by_length=False
        )
        for seed in (1, 2)
    )
    orders = {tuple(np.concatenate([source.numbers(step) for step in steps]).tolist())
              for source, steps in ((one, range(3)), (one, range(3, 6)), (other, range(3)))}  # fmt: skip
    assert len(orders) == 3
    assert all(sorted(order) == list(range(60)) for order in orders)


def test_rows_of_like_length_share_a_batch():
    rows = rows_of(512)
    padding = {}
    for grouped in (False, True):
        found = batches_of(rows, size=32, group_by_length=grouped)
        masks = [found.step(step)[0][0].inputs["attention_mask"] for step in range(16)]
        padding[grouped] = sum((mask == 0).sum() for mask in masks) / sum(mask.size for mask in masks)
    assert padding[True] < padding[False] / 4


def test_batches_of_like_length_come_in_no_order_of_length():
    found = batches_of(rows_of(512), size=32)
    longest = [found.step(step)[0][0].inputs["input_ids"].shape[1] for step in range(16)]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_processes_and_micro_batches_only_divide_a_batch(accumulation):
    rows = rows_of(30)
    (whole,) = batches_of(rows, size=12).step(3)[0]
    parts = [
        part
        for process in range(3)
        for part in batches_of(rows, size=12, processes=3, accumulation=accumulation, numbers=(process,)).step(3)[0]
    ]
    assert len(parts) == 3 * accumulation
    assert [label for part in parts for label in part.labels["labels"]] == whole.labels["labels"].tolist()
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert {part.step_tokens for part in parts} == {int(whole.inputs["attention_mask"].sum())}


def test_a_batch_does_not_divide_among_three():
    with pytest.raises(ValueError, match="a batch of 32 does not divide into 3"):
        batches_of(rows_of(5), size=32, processes=3)


def test_a_share_counts_labels_and_not_rows():
    """Two sentences with 1 and 3 tagged words: a mean over each, weighed by its share, is the mean over all four."""
    rows = []
    for number, labels in enumerate(([-100, 2, -100], [-100, 0, 1, 1, -100])):
        rows.append(text_row(number, len(labels), 0))
        rows[-1] = Row(rows[-1].inputs, {"labels": np.array(labels)}, number)
    parts = batches_of(rows, size=2, accumulation=2, group_by_length=False).step(0)[0]
    shares = {len(part.labels["labels"][0]): part.share for part in parts}
    assert shares == {3: pytest.approx(0.25), 5: pytest.approx(0.75)}


def test_labels_weigh_by_their_class_and_padding_weighs_nothing():
    row = Row(text_row(0, 4, 0).inputs, {"labels": np.array([-100, 1, 0, -100])}, 0)
    weights = np.array([0.5, 2.0], np.float32)
    (part,) = batches_of([row], size=1, class_weights=weights).step(0)[0]
    assert part.weights.tolist() == [[0, 2, 0.5, 0]]
    assert part.share == pytest.approx(1)


def test_shares_with_class_weights_add_up_to_the_weighted_mean():
    rows, weights = rows_of(30), np.array([0.2, 1.0, 3.0], np.float32)
    parts = batches_of(rows, size=12, accumulation=3, class_weights=weights).step(1)[0]
    losses = [np.arange(part.labels["labels"].size, dtype=float) + number for number, part in enumerate(parts)]
    means = [(loss * part.weights).sum() / part.weights.sum() for loss, part in zip(losses, parts, strict=True)]
    whole = np.concatenate(losses), np.concatenate([part.weights for part in parts])
    expected = (whole[0] * whole[1]).sum() / whole[1].sum()
    assert sum(part.share * mean for part, mean in zip(parts, means, strict=True)) == pytest.approx(expected)


def test_balanced_weights_are_scikit_learns():
    labels = [0] * 7 + [2] * 3 + [1]
    rows = [text_row(number, 3, label) for number, label in enumerate(labels)]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))
    np.testing.assert_allclose(balanced_class_weights(rows, 3), expected, rtol=1e-6)
    assert balanced_class_weights(rows, 4)[3] == 0


@pytest.mark.parametrize(("rows", "epochs", "steps"), [(33, 1, 9), (33, 2, 17), (32, 1, 8), (3, 0.1, 1), (40, 2.5, 25)])
def test_epochs_are_passes_rounded_up(rows, epochs, steps):
    assert batches_of(rows_of(rows)).steps_for(epochs) == steps


@pytest.mark.parametrize(("rows", "size", "passes"), [(33, 32, 30), (40, 8, 4), (7, 5, 6), (3, 8, 5), (1, 4, 9)])
def test_a_pass_ends_in_the_update_that_holds_its_last_row(rows, size, passes):
    found = batches_of(rows_of(rows), size=size)
    last_rows = {-(-rows * number // size) for number in range(1, passes + 1)}
    updates = found.steps_for(passes)
    assert {update for update in range(1, updates + 1) if found.ends_epoch(update)} == last_rows
    assert len(last_rows) == min(passes, updates)  # fewer only where several passes end in one update


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match="no example to train on"):
        batches_of([])
