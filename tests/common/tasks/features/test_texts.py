"""Rows of texts and pairs, with classes and numbers."""

import numpy as np
import pytest

from electra_common.tasks.examples import TextExample
from electra_common.tasks.features.make import make_rows
from support.fine_tuning_examples import CLASSES, NUMBERS, tokenizer

PAIRS = [
    TextExample("1", "a first text", "its pair", "b", "train.tsv, line 1"),
    TextExample("2", "alone", None, "a", "train.tsv, line 2"),
    TextExample("3", "more", "of them", "b", "train.tsv, line 3"),
]


def features(task, examples, labels=("a", "b"), *, is_training=True, max_length=12, **options):
    return make_rows(task, examples, tokenizer(), labels, max_length=max_length, is_training=is_training, **options)


def test_pairs_and_single_texts_may_be_mixed():
    found = features(CLASSES, PAIRS)
    for row, example in zip(found.rows, PAIRS, strict=True):
        expected = tokenizer()(example.text, example.text_pair)
        assert {name: column.tolist() for name, column in row.inputs.items()} == dict(expected.items())
    assert [row.example for row in found.rows] == [0, 1, 2]
    assert [row.labels["labels"].tolist() for row in found.rows] == [1, 0, 1]
    assert found.rows[0].labels["labels"].dtype == np.int64
    assert found.examples == PAIRS
    assert found.windows == []


def test_training_sees_a_pair_in_both_orders_where_the_task_swaps():
    task = CLASSES.with_changes(swaps_pairs=True)
    found = features(task, PAIRS)
    assert [row.example for row in found.rows] == [0, 0, 1, 2, 2]
    swapped = tokenizer()("its pair", "a first text")
    assert found.rows[1].inputs["input_ids"].tolist() == swapped["input_ids"]
    assert found.rows[1].inputs["token_type_ids"].tolist() == swapped["token_type_ids"]
    assert found.rows[1].labels["labels"] == 1
    assert len(features(task, PAIRS, is_training=False).rows) == 3
    assert len(features(CLASSES, PAIRS).rows) == 3


def test_numbers_are_learnt_on_the_scale_of_the_task():
    examples = [TextExample(str(n), "x", label=label) for n, label in enumerate([1, "3", 5.0, 2])]
    found = [row.labels["labels"] for row in features(NUMBERS, examples).rows]
    assert [value.item() for value in found] == [0, 0.5, 1, 0.25]
    assert all(value.dtype == np.float32 and value.shape == () for value in found)
    plain = features(NUMBERS.with_changes(label_range=None), examples)
    assert [row.labels["labels"].item() for row in plain.rows] == [1, 3, 5, 2]


def test_an_unknown_label_is_told_with_its_place():
    with pytest.raises(ValueError, match=r"train\.tsv, line 1: .*'b'"):
        features(CLASSES, PAIRS, labels=("a", "c"))
    with pytest.raises(ValueError, match="line 9: expected a number"):
        features(NUMBERS, [TextExample("1", "x", label="warm", place="line 9")])


def test_what_is_not_known_is_not_learnt():
    examples = [PAIRS[0], TextExample("4", "no label", place="train.tsv, line 4")]
    with pytest.raises(ValueError, match=r"train\.tsv, line 4: expected an answer to learn from"):
        features(CLASSES, examples)
    assert [row.labels for row in features(CLASSES, examples, is_training=False).rows] == [{}, {}]
    assert [row.labels for row in features(CLASSES, PAIRS, with_labels=False).rows] == [{}, {}, {}]


def test_many_texts_keep_their_order():
    words = ["one", "two three", "four five six"]
    examples = [TextExample(str(n), words[n % 3], words[n % 2] if n % 5 else None, "a") for n in range(2500)]
    found = features(CLASSES, examples)
    assert [row.length for row in found.rows] == [
        len(tokenizer()(example.text, example.text_pair)["input_ids"]) for example in examples
    ]


def test_a_head_of_another_name_is_refused():
    with pytest.raises(ValueError, match="head must be one of transformers, google; found 'tf'"):
        features(CLASSES, PAIRS, head="tf")
