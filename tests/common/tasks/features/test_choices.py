"""Rows of a text with its continuations."""

import numpy as np
import pytest

from electra_common.tasks.examples import Choice
from electra_common.tasks.features.make import make_rows
from electra_common.tasks.features.rows import pad_rows
from support.fine_tuning_examples import CHOICES, tokenizer


def features(examples, *, max_length=16, is_training=True):
    return make_rows(CHOICES, examples, tokenizer(), (), max_length=max_length, is_training=is_training)


def test_each_choice_is_read_behind_the_text():
    examples = [Choice("1", "The sky is", ("blue", "a kind of fish", "")), Choice("2", "x", ("y", "z", "w"), 2)]
    found = features(examples, is_training=False)
    for row, example in zip(found.rows, examples, strict=True):
        expected = tokenizer()([example.text] * 3, list(example.choices), padding=True)
        assert {name: column.tolist() for name, column in row.inputs.items()} == dict(expected.items())
        assert all(column.dtype == np.int64 for column in row.inputs.values())
    assert found.rows[0].tokens == (3 + 1 + 3) + (3 + 4 + 3) + (3 + 0 + 3)
    inputs, _ = pad_rows(found.rows, pad_token_id=0)
    assert inputs["input_ids"].shape == (2, 3, found.rows[0].length)


def test_without_a_text_each_choice_stands_alone():
    (row,) = features([Choice("1", "", ("blue", "a kind of fish"), 1)]).rows
    assert row.inputs["input_ids"].tolist() == tokenizer()(["blue", "a kind of fish"], padding=True)["input_ids"]
    assert row.labels["labels"] == 1
    assert row.labels["labels"].dtype == np.int64


def test_long_texts_are_cut_before_short_choices():
    (row,) = features([Choice("1", "why " * 30, ("blue", "green"), 0)], max_length=9).rows
    why, blue, green = tokenizer()("why blue green", add_special_tokens=False)["input_ids"]
    assert row.inputs["input_ids"].tolist() == [[101, *[why] * 5, 102, choice, 102] for choice in (blue, green)]


def test_numbers_of_choices_that_differ_are_told_with_both_places():
    examples = [Choice("1", "x", ("a", "b"), 0, "line 1"), Choice("2", "x", ("a", "b", "c"), 0, "line 2")]
    with pytest.raises(ValueError, match="line 2: expected 2 choices as in line 1, found 3"):
        features(examples)


def test_labels_that_are_no_choice_are_refused():
    with pytest.raises(ValueError, match="line 3: expected a label of 0 to 1, found 2"):
        features([Choice("1", "x", ("a", "b"), 2, "line 3")])
    with pytest.raises(ValueError, match="line 3: expected choices, found none"):
        features([Choice("1", "x", (), 0, "line 3")])
