"""The batches of a step: the same rows and masks however they are divided, and shares that add up."""

import numpy as np
import pytest

from electra_common.pretraining.batches import PretrainingBatches, evaluation_batches
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.shards import ExampleShards
from electra_common.runs.division import Division
from support.pretraining_runs import LENGTH, TINY, VOCABULARY, prepare_tiny_corpus

pytestmark = pytest.mark.once
SPECIAL_IDS = {"[PAD]": 0, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
RULES = load_recipe("nano").with_changes(TINY).masking_rules(VOCABULARY, SPECIAL_IDS)
BATCH = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def batches(data, processes=1, accumulation=1, seed=3):
    return PretrainingBatches(
        ExampleShards.open(data, "train"),
        RULES,
        seed=seed,
        division=Division(BATCH, processes, accumulation),
        processes=range(processes),
    )


def joined(parts):
    """Return the inputs of a step's micro-batches, of all processes in turn, one behind the other."""
    inputs = [micro_batch.inputs for micro_batches in parts for micro_batch in micro_batches]
    return {name: np.concatenate([item[name] for item in inputs]) for name in inputs[0]}


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (1, 3), (3, 2)])
def test_dividing_a_step_changes_no_number_of_it(data, processes, accumulation):
    whole, parts = batches(data).step(7), batches(data, processes, accumulation).step(7)
    assert [len(micro_batches) for micro_batches in parts] == [accumulation] * processes
    expected, found = joined(whole), joined(parts)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    flat = [micro_batch for micro_batches in parts for micro_batch in micro_batches]
    assert sum(item.generator_share for item in flat) == pytest.approx(1)
    assert sum(item.discriminator_share for item in flat) == pytest.approx(1)
    assert {item.step_tokens for item in flat} == {expected["attention_mask"].sum()}


def test_weighed_by_shares_means_of_parts_are_the_mean_of_the_step(data):
    parts = batches(data, processes=4).step(0)
    values = np.arange(BATCH * LENGTH, dtype=float).reshape(4, BATCH // 4, LENGTH)
    total = 0.0
    for (micro_batch,), value in zip(parts, values, strict=True):
        mask = micro_batch.inputs["attention_mask"]
        total += micro_batch.discriminator_share * (value * mask).sum() / mask.sum()
    mask = joined(parts)["attention_mask"]
    assert total == pytest.approx((values.reshape(BATCH, LENGTH) * mask).sum() / mask.sum())


def test_steps_differ_and_come_in_order_whoever_asks(data):
    one = [joined(parts)["input_ids"] for parts in batches(data).steps(4, 7)]
    again = [joined(batches(data).step(number))["input_ids"] for number in (4, 5, 6)]
    for expected, found in zip(again, one, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (one[0] != one[1]).any()
    assert (joined(batches(data, seed=4).step(4))["input_ids"] != one[0]).any()


@pytest.mark.parametrize(("processes", "accumulation"), [(5, 1), (1, 8), (3, 3)])
def test_a_batch_that_does_not_divide_evenly_is_refused(processes, accumulation):
    with pytest.raises(ValueError, match=f"a batch of 12 does not divide into {processes} process"):
        Division(BATCH, processes, accumulation)


def test_an_evaluation_counts_each_example_once_and_masks_it_the_same_way(data):
    shards = ExampleShards.open(data, "held-out")
    count = min(7, len(shards))
    first, second = (list(evaluation_batches(shards, RULES, seed=3, batch_size=4, examples=7)) for _ in range(2))
    assert {batch["input_ids"].shape for batch in first} == {(4, LENGTH)}
    assert sum((batch["attention_mask"].sum(axis=1) > 0).sum() for batch in first) == count
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["input_ids"], other["input_ids"])
    filled = first[-1]["attention_mask"].sum(axis=1) == 0
    assert not first[-1]["masked_weights"][filled].any()
