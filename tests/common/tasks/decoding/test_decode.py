"""Predictions of classes, numbers and choices, and what holds of those of any task."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from electra_common.tasks.decoding.decode import decode
from electra_common.tasks.decoding.prediction import Prediction, softmax
from electra_common.tasks.examples import Choice, TextExample
from electra_common.tasks.features.make import make_rows
from support.fine_tuning_examples import (
    ANSWERS,
    CHOICES,
    CLASSES,
    NUMBERS,
    TAGS,
    questions,
    sentences,
    tag_names,
    tokenizer,
)

LABELS = ("no", "yes", "perhaps")
TEXTS = [TextExample("a", "one text"), TextExample("b", "another", "with its pair")]


def predictions(task, examples, *logits, labels=LABELS, is_training=False):
    features = make_rows(task, examples, tokenizer(), labels, max_length=20, is_training=is_training, with_labels=False)
    return decode(task, features, [{"logits": np.array(each, np.float32)} for each in logits], labels)


def test_the_class_with_the_highest_logit_wins():
    found = predictions(CLASSES, TEXTS, np.log([1, 2, 5]), [3, 3, -1])
    assert [(each.id, each.answer) for each in found] == [("a", "perhaps"), ("b", "no")]
    assert found[0].probabilities == pytest.approx({"no": 0.125, "yes": 0.25, "perhaps": 0.625})
    assert found[0].score == pytest.approx(0.625)


@pytest.mark.parametrize(
    ("label_range", "given_number", "number"), [((1, 5), 0.25, 2), ((1, 5), -0.5, -1), (None, 0.25, 0.25)]
)
def test_numbers_are_on_the_scale_of_the_task(label_range, given_number, number):
    (found,) = predictions(NUMBERS.with_changes(label_range=label_range), TEXTS[:1], [given_number])
    assert found == Prediction("a", number)


def test_the_number_of_the_best_choice_is_told():
    examples = [Choice("1", "The sky is", ("blue", "green")), Choice("2", "", ("x", "y"))]
    found = predictions(CHOICES, examples, np.log([3, 1]), [0, 1])
    assert [each.answer for each in found] == [0, 1]
    assert found[0].probabilities == pytest.approx({"0": 0.75, "1": 0.25})
    assert found[1].as_dict() == {
        "id": "2", "answer": 1, "score": pytest.approx(np.e / (1 + np.e)), "choice": "y",
        "probabilities": pytest.approx({"0": 1 / (1 + np.e), "1": np.e / (1 + np.e)}),
    }  # fmt: skip


def test_predictions_of_every_kind_are_lines_of_json():
    random = np.random.default_rng(3)
    choice = [Choice("1", "", ("x", "y"))]
    for task, examples, labels in [
        (CLASSES, TEXTS, LABELS), (NUMBERS, TEXTS, ("number",)), (CHOICES, choice, ("x", "y")),
        (TAGS, sentences()[:3], tag_names()), (ANSWERS.with_changes(has_impossible=True), questions()[:3], ()),
    ]:  # fmt: skip
        features = make_rows(task, examples, tokenizer(), labels, max_length=40, is_training=False, with_labels=False)
        outputs = [
            {"start_logits": random.normal(size=row.length), "end_logits": random.normal(size=row.length)}
            if task.kind == "answers"
            else {"logits": random.normal(size=(*[row.length] * (task.kind == "tagging"), len(labels)))}
            for row in features.rows
        ]
        for prediction in decode(task, features, outputs, labels):
            values = prediction.as_dict()
            assert json.loads(json.dumps(values, allow_nan=False)) == values
            assert values["id"] == prediction.id


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-(2.0**99), 2.0**99, width=32)
    )
)
def test_probabilities_are_those_of_the_formula_and_never_overflow(logits):
    found = softmax(logits)
    assert found.sum(-1) == pytest.approx(1)
    wide = logits.astype(np.longdouble)
    expected = np.exp(wide - wide.max(-1, keepdims=True))
    assert found == pytest.approx((expected / expected.sum(-1, keepdims=True)).astype(float))


def test_a_network_that_has_come_apart_still_gives_a_prediction():
    (found,) = predictions(CLASSES, TEXTS[:1], [np.nan, np.inf, 0])
    assert found.answer in LABELS


def test_outputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected outputs for each of 2 rows, found 1"):
        predictions(CLASSES, TEXTS, [1, 2, 3])
    with pytest.raises(ValueError, match="expected 3 logits, one for each label, found 2"):
        predictions(CLASSES, TEXTS, [1, 2], [1, 2])
    with pytest.raises(ValueError, match="expected one number of a regression, found 3"):
        predictions(NUMBERS, TEXTS[:1], [1, 2, 3])
    with pytest.raises(ValueError, match=r"line 5: expected 2 logits, one for each choice, found \[3\]"):
        predictions(CHOICES, [Choice("1", "", ("x", "y"), place="line 5")], [1, 2, 3])


def test_copies_made_for_training_are_no_examples_to_predict():
    task = CLASSES.with_changes(swaps_pairs=True)
    with pytest.raises(ValueError, match="expected one row, found 2: make rows with is_training=False"):
        predictions(task, TEXTS, *[[1, 2, 3]] * 3, is_training=True)
    assert len(predictions(task, TEXTS, *[[1, 2, 3]] * 2)) == 2
