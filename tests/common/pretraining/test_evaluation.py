"""Metrics of pre-training on held-out text; scikit-learn is the judge."""

import numpy as np
import pytest
from sklearn import metrics as judge

from electra_common.pretraining.evaluation import METRICS, PretrainingEvaluation

BATCH, LENGTH, SLOTS, VOCABULARY = 5, 37, 7, 23


def random_batch(seed, *, decimals=None, bias=-1.0):
    """Return a batch with padding and unused slots; what stands there would spoil every metric that counted it."""
    random = np.random.default_rng(seed)
    lengths = random.integers(9, LENGTH + 1, BATCH)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int32)
    replaced = (random.random((BATCH, LENGTH)) < 0.2) & (mask == 1)
    logits = random.normal(size=(BATCH, LENGTH)) + 1.5 * replaced + bias
    logits = logits if decimals is None else np.round(logits, decimals)
    used = random.integers(1, SLOTS + 1, BATCH)
    weights = (np.arange(SLOTS) < used[:, None]).astype(np.float32)
    labels = random.integers(5, VOCABULARY, (BATCH, SLOTS))
    guess = random.random((2, BATCH, SLOTS)) < [[[0.4]], [[0.6]]]
    others = random.integers(5, VOCABULARY, (2, BATCH, SLOTS))
    predictions, sampled = np.where(guess, others, labels)
    return {
        "logits": np.where(mask == 1, logits, 9.0).astype(np.float32),
        "is_replaced": replaced.astype(np.int32),
        "attention_mask": mask,
        "masked_labels": labels,
        "masked_weights": weights,
        "masked_predictions": predictions,
        "sampled_ids": sampled,
        "masked_losses": np.where(weights > 0, random.exponential(size=(BATCH, SLOTS)), np.nan),
    }


def evaluate(*batches):
    evaluation = PretrainingEvaluation()
    for batch in batches:
        evaluation.update(**batch)
    return evaluation


def by_the_judge(*batches):
    """Return the metrics as scikit-learn computes them from all tokens and slots at once."""
    real = [batch["attention_mask"] == 1 for batch in batches]
    logits, labels = (
        np.concatenate([batch[name][chosen] for batch, chosen in zip(batches, real, strict=True)])
        for name in ("logits", "is_replaced")
    )
    used = [batch["masked_weights"] > 0 for batch in batches]
    slots = {
        name: np.concatenate([batch[name][chosen] for batch, chosen in zip(batches, used, strict=True)])
        for name in ("masked_labels", "masked_predictions", "sampled_ids", "masked_losses")
    }
    called = (logits > 0).astype(int)
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return {
        "generator_loss": slots["masked_losses"].mean(),
        "masked_accuracy": judge.accuracy_score(slots["masked_labels"], slots["masked_predictions"]),
        "sampled_accuracy": judge.accuracy_score(slots["masked_labels"], slots["sampled_ids"]),
        "discriminator_loss": judge.log_loss(labels, probabilities),
        "accuracy": judge.accuracy_score(labels, called),
        "precision": judge.precision_score(labels, called),
        "recall": judge.recall_score(labels, called),
        "auc": judge.roc_auc_score(labels, logits),
        "positive_rate": labels.mean(),
    }


def test_every_metric_is_scikit_learns_over_real_tokens_and_used_slots():
    batches = [random_batch(seed) for seed in range(8)]
    evaluation = evaluate(*batches)
    expected = by_the_judge(*batches)
    auc = expected.pop("auc")
    found = evaluation.result()
    assert list(found) == list(METRICS)
    assert abs(found.pop("auc") - auc) <= evaluation.auc_error < 1e-3
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_area_is_exact_where_logits_fall_into_bins_of_their_own():
    """Two decimals leave few different logits, so many ties, which count half as in scikit-learn."""
    batches = [random_batch(seed, decimals=1) for seed in range(6)]
    assert evaluate(*batches).result()["auc"] == pytest.approx(by_the_judge(*batches)["auc"], abs=1e-12)


def test_the_area_of_many_tokens_is_right_to_four_decimals():
    random = np.random.default_rng(3)
    labels = random.random((1, 200_001)) < 0.08
    logits = (random.normal(size=labels.shape) + 0.7 * labels).astype(np.float32)
    none = dict.fromkeys(
        ("masked_labels", "masked_weights", "masked_predictions", "sampled_ids", "masked_losses"), np.zeros((1, 1))
    )
    evaluation = PretrainingEvaluation()
    evaluation.update(logits=logits, is_replaced=labels, attention_mask=np.ones_like(labels), **none)
    found = evaluation.result()
    assert found["auc"] == pytest.approx(judge.roc_auc_score(labels[0], logits[0]), abs=1e-5)
    assert "masked_accuracy" not in found  # no slot was used


def test_processes_merge_to_what_one_process_counts():
    batches = [random_batch(seed) for seed in range(5)]
    whole = evaluate(*batches).result()
    first, second = evaluate(*batches[:2]), evaluate(*batches[2:])
    added = {name: array + second.arrays()[name] for name, array in first.arrays().items()}
    assert PretrainingEvaluation.from_arrays(**added).result() == pytest.approx(whole, rel=1e-12)
    first.merge(second)
    assert first.result() == pytest.approx(whole, rel=1e-12)


def test_padding_and_unused_slots_count_for_nothing():
    batch = random_batch(2)
    padding, unused = batch["attention_mask"] == 0, batch["masked_weights"] == 0
    assert padding.any()
    assert unused.any()
    other = {**batch, "logits": np.where(padding, np.nan, batch["logits"])}
    other |= {"is_replaced": np.where(padding, 1, batch["is_replaced"])}
    other |= {"sampled_ids": np.where(unused, batch["masked_labels"], batch["sampled_ids"])}
    assert evaluate(other).result() == evaluate(batch).result()


def test_googles_way_of_counting_padding_gives_another_area():
    """Google multiplies labels and probabilities with the mask, so padding is a sure true negative."""
    batch = random_batch(4)
    mask = batch["attention_mask"]
    probabilities = mask / (1 + np.exp(-batch["logits"]))
    googles = judge.roc_auc_score(batch["is_replaced"].ravel(), probabilities.ravel())
    assert googles > evaluate(batch).result()["auc"] + 0.01


def test_what_is_undefined_is_left_out_or_0_as_in_scikit_learn():
    assert PretrainingEvaluation().result() == {}
    nothing_called = evaluate(random_batch(1, bias=-50.0)).result()
    assert (nothing_called["precision"], nothing_called["recall"]) == (0, 0)
    nothing_replaced = random_batch(1)
    nothing_replaced["is_replaced"] = np.zeros_like(nothing_replaced["is_replaced"])
    found = evaluate(nothing_replaced).result()
    assert "auc" not in found
    assert (found["positive_rate"], found["recall"]) == (0, 0)


def as_computed(batch):
    """Return a batch as a model is given it, and what two networks compute: the samples stand in the text itself."""
    positions = np.argsort(np.random.default_rng(0).random((BATCH, LENGTH)))[:, :SLOTS]
    corrupted = np.zeros((BATCH, LENGTH), np.int64)
    np.put_along_axis(corrupted, positions, batch["sampled_ids"], axis=1)
    of_networks = ("logits", "is_replaced", "masked_predictions", "masked_losses")
    found = {name: batch[name] for name in of_networks} | {"corrupted_input_ids": corrupted}
    return batch | {"masked_positions": positions}, found


@pytest.mark.parametrize(
    ("there", "metrics"),
    [
        (("logits", "is_replaced", "corrupted_input_ids", "masked_predictions", "masked_losses"), list(METRICS)),
        (("masked_predictions", "masked_losses"), ["generator_loss", "masked_accuracy"]),
        (("logits", "is_replaced", "corrupted_input_ids"), list(METRICS)[2:]),
    ],
    ids=["both", "masked language model", "uniform samples"],
)
def test_only_what_was_computed_has_a_metric(there, metrics):
    """A masked language model samples nothing; without a generator of its own, samples are drawn all the same."""
    batch = random_batch(6)
    given, computed = as_computed(batch)
    evaluation = PretrainingEvaluation()
    evaluation.count(given, {name: computed[name] for name in there})
    whole = evaluate(batch).result()
    assert evaluation.result() == {name: whole[name] for name in metrics}
    assert list(evaluation.result()) == metrics


def test_huge_logits_have_a_finite_loss():
    batch = random_batch(0)
    batch["logits"] = np.where(batch["is_replaced"] == 1, 1e4, -1e4).astype(np.float32)
    found = evaluate(batch).result()
    assert (found["discriminator_loss"], found["auc"], found["accuracy"]) == (0, 1, 1)


def test_arrays_of_other_shapes_are_refused():
    batch = random_batch(0)
    with pytest.raises(ValueError, match=r"one shape with two axes, found .*attention_mask"):
        evaluate({**batch, "attention_mask": batch["attention_mask"][:, :-1]})
    with pytest.raises(ValueError, match="masked_weights"):
        evaluate({**batch, "masked_weights": batch["masked_weights"][0]})
    with pytest.raises(ValueError, match="arrays of an evaluation"):
        PretrainingEvaluation.from_arrays(np.zeros(3), np.zeros((2, 4)))
