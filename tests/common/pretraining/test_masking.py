"""Masking: how many tokens, which, how often; and that nothing but (seed, step, row) decides."""

import itertools

import numpy as np
import pytest

from electra_common.pretraining.masking import METHODS, MaskingRules, mask_rows, slots_for

PAD, UNKNOWN, CLS, SEP, MASK, VOCABULARY = 0, 1, 2, 3, 4, 211
SPECIAL = frozenset({PAD, CLS, SEP, MASK})


def rules(**changes):
    return MaskingRules(**{"slots": 7, "mask_id": MASK, "never_masked": SPECIAL, "vocab_size": VOCABULARY, **changes})


def make_rows(count, length=41, shortest=5, seed=0):
    """Return rows [CLS] … [SEP] of many lengths, with [UNK] and a stray [MASK] among the words."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(shortest, length + 1, count)
    ids = generator.integers(5, VOCABULARY, (count, length)).astype(np.int32)
    ids[generator.random(ids.shape) < 0.05] = UNKNOWN
    ids[generator.random(ids.shape) < 0.03] = MASK
    columns = np.arange(length)
    ids[:, 0] = CLS
    ids[columns == lengths[:, None] - 1] = SEP
    mask = (columns < lengths[:, None]).astype(np.int32)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


def candidates_of(rows):
    return (rows["attention_mask"] == 1) & ~np.isin(rows["input_ids"], list(SPECIAL))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_masked_can_be_put_back_and_nothing_else_changes(method):
    rows = make_rows(97)
    before = {name: array.copy() for name, array in rows.items()}
    masked = mask_rows(rows, rules(method=method), seed=3, step=5, first_row=11)
    assert all(np.array_equal(rows[name], before[name]) for name in rows), "the caller's arrays were changed"
    used = masked["masked_weights"] == 1
    assert set(np.unique(masked["masked_weights"])) == {0, 1}
    row_of = np.broadcast_to(np.arange(97)[:, None], used.shape)
    positions, labels = masked["masked_positions"], masked["masked_labels"]
    assert candidates_of(rows)[row_of[used], positions[used]].all()
    assert np.array_equal(labels[used], rows["input_ids"][row_of[used], positions[used]])
    assert not positions[~used].any()
    assert not labels[~used].any()
    restored = masked["input_ids"].copy()
    restored[row_of[used], positions[used]] = labels[used]
    assert np.array_equal(restored, rows["input_ids"])
    assert {masked[name].dtype.name for name in ("masked_positions", "masked_labels")} == {"int32"}
    assert masked["masked_weights"].dtype == np.float32


@pytest.mark.parametrize("method", METHODS)
def test_each_row_has_as_many_as_google_gives_it(method):
    """max(1, min(slots, round(p x real tokens))), halves to even, with special tokens counted in the length."""
    rows = make_rows(300, shortest=3)
    masked = mask_rows(rows, rules(method=method), seed=1, step=0, first_row=0)
    for ids, mask, weights in zip(rows["input_ids"], rows["attention_mask"], masked["masked_weights"], strict=True):
        available = sum(token not in SPECIAL for token in ids[mask == 1].tolist())
        expected = max(1, min(7, round(0.15 * int(mask.sum()))))
        if method == "google":
            assert weights.sum() == (expected if available else 0)
        else:
            assert weights.sum() == min(expected, available)


def test_halves_are_rounded_to_even():
    """Ten real tokens at 0.25 are 2.5, which is 2; fourteen are 3.5, which is 4."""
    ids = np.full((2, 14), 9, np.int32)
    mask = np.ones_like(ids)
    mask[0, 10:] = 0
    masked = mask_rows({"input_ids": ids, "attention_mask": mask}, rules(probability=0.25), seed=0, step=0, first_row=0)
    assert masked["masked_weights"].sum(axis=1).tolist() == [2, 4]


def test_without_replacement_no_position_comes_twice_and_they_ascend():
    masked = mask_rows(make_rows(200), rules(), seed=2, step=9, first_row=0)
    for positions, weights in zip(masked["masked_positions"], masked["masked_weights"], strict=True):
        used = positions[weights == 1]
        assert (np.diff(used) > 0).all()


def test_google_draws_positions_twice_as_often_as_was_measured():
    """6.8 % of the draws at length 128 and 15 % (measured on Google's code) repeat a position of their row."""
    ids = np.full((2000, 128), 9, np.int32)
    ids[:, 0], ids[:, -1] = CLS, SEP
    google = rules(slots=slots_for(0.15, 128), method="google")
    masked = mask_rows({"input_ids": ids, "attention_mask": np.ones_like(ids)}, google, seed=0, step=0, first_row=0)
    assert masked["masked_weights"].all()
    repeated = 1 - np.mean([len(set(row)) / len(row) for row in masked["masked_positions"].tolist()])
    assert abs(repeated - 0.068) < 0.004


@pytest.mark.parametrize("method", METHODS)
def test_rates_over_many_rows(method):
    """Every candidate is as probable as every other, and 85 % of the chosen become [MASK]."""
    ids = np.full((4000, 23), 9, np.int32)
    ids[:, 0], ids[:, 22], ids[:, 7] = CLS, SEP, UNKNOWN
    masked = mask_rows(
        {"input_ids": ids, "attention_mask": np.ones_like(ids)}, rules(method=method), seed=0, step=0, first_row=0
    )
    chosen = np.bincount(masked["masked_positions"][masked["masked_weights"] == 1], minlength=23)
    assert chosen[0] == chosen[22] == 0
    expected = masked["masked_weights"].sum() / 21
    assert np.abs(chosen[1:22] - expected).max() < 5 * np.sqrt(expected)
    shares = []
    for row, positions, weights in zip(
        masked["input_ids"], masked["masked_positions"], masked["masked_weights"], strict=True
    ):
        shares += (row[np.unique(positions[weights == 1])] == MASK).tolist()
    # Drawn twice, a position has two chances.
    expected_share = 0.85 if method != "google" else 0.85 + 0.15 * 0.85 * 0.05
    assert abs(np.mean(shares) - expected_share) < 0.012


@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_masked_alike_in_every_division_of_the_batch(method):
    rows = make_rows(53)
    whole = mask_rows(rows, rules(method=method), seed=7, step=3, first_row=100)
    for cuts in ((0, 53), (0, 20, 53), (0, 1, 2, 30, 53)):
        parts = [
            mask_rows(
                {name: array[start:stop] for name, array in rows.items()},
                rules(method=method), seed=7, step=3, first_row=100 + start,
            )
            for start, stop in itertools.pairwise(cuts)
        ]  # fmt: skip
        for name, array in whole.items():
            assert np.array_equal(array, np.concatenate([part[name] for part in parts])), name


@pytest.mark.parametrize("other", [{"seed": 8}, {"step": 4}, {"first_row": 153}, {"seed": 7 + (1 << 63)}])
def test_another_seed_step_or_row_gives_other_masks(other):
    rows = make_rows(53)
    numbers = {"seed": 7, "step": 3, "first_row": 100}
    first, second = (mask_rows(rows, rules(), **given) for given in (numbers, {**numbers, **other}))
    assert (first["masked_positions"] != second["masked_positions"]).mean() > 0.4
    assert not (first["sampling_seeds"] == second["sampling_seeds"]).any()


def test_sampling_seeds_are_32_bits_and_differ_from_row_to_row():
    masked = mask_rows(make_rows(1000), rules(), seed=0, step=0, first_row=0)
    seeds = masked["sampling_seeds"]
    assert seeds.dtype == np.int64
    assert 0 <= seeds.min() < 1 << 26 < (1 << 32) - (1 << 26) < seeds.max() < 1 << 32
    assert len(set(seeds.tolist())) == 1000


@pytest.mark.parametrize("method", METHODS)
def test_a_row_without_candidates_and_a_row_shorter_than_the_slots(method):
    ids = np.array([[CLS, SEP, PAD], [CLS, 9, SEP]], np.int32)
    mask = np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    masked = mask_rows(
        {"input_ids": ids, "attention_mask": mask}, rules(method=method, replace_probability=1.0),
        seed=0, step=0, first_row=0,
    )  # fmt: skip
    assert masked["masked_weights"].sum(axis=1).tolist() == [0, 1]
    assert masked["input_ids"].tolist() == [[CLS, SEP, PAD], [CLS, MASK, SEP]]


def test_the_number_of_slots_is_googles():
    """The values that Google's formula gives, from its documentation of the three sizes."""
    assert [slots_for(p, length) for p, length in ((0.15, 128), (0.15, 512), (0.25, 512))] == [19, 79, 130]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slots": 0}, "slots must be at least 1"),
        ({"probability": 1.5}, "probability must be from 0 to 1"),
        ({"replace_probability": -0.1}, "replace_probability must be from 0 to 1"),
        ({"mask_id": VOCABULARY}, "outside the vocabulary"),
        ({"method": "random"}, "without-replacement, google, found 'random'"),
    ],
)
def test_rules_that_cannot_be_followed(changes, message):
    with pytest.raises(ValueError, match=message):
        rules(**changes)


def test_rows_that_cannot_be_masked():
    rows = make_rows(3)
    with pytest.raises(ValueError, match="from 0 to 99, found"):
        mask_rows(rows, rules(vocab_size=100), seed=0, step=0, first_row=0)
    with pytest.raises(ValueError, match=r"must be \[rows, length\]"):
        mask_rows({**rows, "attention_mask": rows["attention_mask"][:, 1:]}, rules(), seed=0, step=0, first_row=0)
    with pytest.raises(ValueError, match="at least 0"):
        mask_rows(rows, rules(), seed=-1, step=0, first_row=0)
