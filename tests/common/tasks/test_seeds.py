"""Statistics over seeds, by numpy, and which trainings came to nothing, by hand-made cases."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.examples import Answer, Choice, Question, TaggedSentence, TextExample
from electra_common.tasks.seeds import is_collapsed, summarize
from support.predictions import Predicted, predictions_for, seed_result

SCORES = st.lists(st.floats(-100, 100), min_size=1, max_size=9)


def texts(*labels):
    return [TextExample(f"t{number}", f"text {number}", label=label) for number, label in enumerate(labels)]


def sentences(*rows):
    return [TaggedSentence(f"s{number}", ("w",) * len(tags), tuple(tags)) for number, tags in enumerate(rows)]


def questions(*rows):
    return [
        Question(f"q{number}", "who?", "a b c", None if answers is None else tuple(Answer(text, 0) for text in answers))
        for number, answers in enumerate(rows)
    ]


@given(SCORES)
def test_statistics_are_numpys(scores):
    summary = summarize([seed_result(seed, score) for seed, score in enumerate(scores)], "accuracy")
    found = summary.metrics["accuracy"]
    assert found.median == pytest.approx(np.median(scores), abs=1e-12)
    assert found.mean == pytest.approx(np.mean(scores), abs=1e-12)
    expected = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
    assert found.deviation == pytest.approx(expected, abs=1e-7)
    assert (found.minimum, found.maximum, found.count) == (min(scores), max(scores), len(scores))
    assert summary.count == len(scores)


def test_collapsed_seeds_are_named_and_both_views_are_there():
    results = [
        seed_result(11, 0.9, f1=0.8),
        seed_result(7, 0.5, f1=0.0, collapse="no better"),
        seed_result(3, 0.94, f1=0.7),
        seed_result(5, 0.51, f1=0.1, collapse="no better"),
        seed_result(2, 0.92, f1=0.6),
    ]
    summary = summarize(results, "accuracy")
    assert (summary.collapsed, summary.count) == ((7, 5), 5)
    assert (summary.metrics["accuracy"].median, summary.without_collapsed["accuracy"].median) == (0.9, 0.92)
    assert summary.metrics["accuracy"].mean == pytest.approx(3.77 / 5)
    assert summary.without_collapsed["accuracy"].mean == pytest.approx(2.76 / 3)
    assert summary.without_collapsed["f1"].deviation == pytest.approx(0.1)
    assert summary.without_collapsed["f1"].count == 3


def test_when_all_collapsed_nothing_is_left_without_them():
    summary = summarize([seed_result(1, 0.5, collapse="x")], "accuracy")
    assert summary.without_collapsed == {}
    assert summary.metrics["accuracy"].deviation == 0.0


def test_a_value_that_is_no_number_does_not_count():
    summary = summarize([seed_result(1, 0.5, pearson=math.nan), seed_result(2, 0.75, pearson=0.25)], "accuracy")
    assert (summary.metrics["pearson"].count, summary.metrics["pearson"].mean) == (1, 0.25)
    assert summary.metrics["accuracy"].count == 2
    hopeless = summarize([seed_result(1, math.nan, collapse="x")], "accuracy")
    assert "accuracy" not in hopeless.metrics


def test_a_summary_is_plain_json():
    summary = summarize([seed_result(4, 0.5), seed_result(6, 0.25, collapse="x")], "accuracy")
    values = json.loads(json.dumps(summary.as_dict(), allow_nan=False))
    assert values["collapsed"] == [6]
    assert values["metrics"]["accuracy"] == {
        "median": 0.375, "mean": 0.375, "deviation": pytest.approx(0.1767766952966369), "minimum": 0.25,
        "maximum": 0.5, "count": 2,
    }  # fmt: skip
    assert values["without_collapsed"]["accuracy"]["count"] == 1


def test_what_cannot_be_summarized_is_told():
    with pytest.raises(ValueError, match="at least one result"):
        summarize([], "accuracy")
    with pytest.raises(ValueError, match="seed 8 stands twice"):
        summarize([seed_result(8, 0.5), seed_result(9, 0.5), seed_result(8, 0.5)], "accuracy")
    with pytest.raises(ValueError, match="seed 9: expected the metric 'f1', found accuracy"):
        summarize([seed_result(8, 0.5, f1=0.5), seed_result(9, 0.5)], "f1")


# Collapse by the score ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "constant", "options"),
    [
        (0.5, 0.5, {}),
        (0.505, 0.5, {}),  # within the tolerance, although floats put it a little beyond
        (0.805, 0.8, {}),
        (0.3, 0.5, {}),
        (0.0, 0.0, {}),  # Matthews' correlation
        (50.4, 50.0, {}),  # percent
        (0.4, 0.0, {"scale": 100}),  # percent too, as is told
        (2.2, 2.2, {"higher_is_better": False}),  # a squared error
        (2.19, 2.2, {"higher_is_better": False}),
        (2.5, 2.2, {"higher_is_better": False}),
    ],
)
def test_a_score_no_better_than_a_constant_answers_is_a_collapse(score, constant, options):
    reason = is_collapsed(score, constant, **options)
    assert f"{score:.4g}" in reason
    assert f"{constant:.4g} of a constant answer" in reason


@pytest.mark.parametrize(
    ("score", "constant", "options"),
    [
        (0.506, 0.5, {}),
        (50.6, 50.0, {}),
        (0.4, 0.0, {}),
        (0.6, 0.0, {"scale": 100}),
        (1.8, 2.2, {"higher_is_better": False}),
        (0.001, 0.02, {"higher_is_better": False}),  # a small error is small to its own measure
        (0.6, math.nan, {}),
    ],
)
def test_a_better_score_is_none(score, constant, options):
    assert is_collapsed(score, constant, **options) is None


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_a_collapse(score):
    assert is_collapsed(score, 0.5) == f"its score is {score}"


# Collapse by the answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("examples", "answers", "shown"),
    [
        (texts("a", "b", "b"), ["b", "b", "b"], "'b'"),
        (texts("a", None, "b"), ["b", "a", "b"], "'b'"),  # where nothing is expected does not count
        (texts(0.0, 5.0, 2.5), [2.5, 2.52, 2.48], "2.5"),
        (sentences(["O", "B-X", "O"], ["O"]), [("O", "O", "O"), ("O",)], "'O'"),
        (questions(["a"], ["b", "b c"], []), ["", "", ""], "''"),
        ([Choice("0", "t", ("x", "y"), 0), Choice("1", "t", ("x", "y"), 1)], [0, 0], "0"),
    ],
    ids=["classes", "unknown", "numbers", "tags", "answers", "choices"],
)
def test_one_answer_to_everything_is_a_collapse_whatever_the_score(examples, answers, shown):
    predictions = predictions_for(examples, answers)
    reason = is_collapsed(0.9, 0.5, predictions=predictions, examples=examples)
    assert reason.startswith(f"it always answers {shown}, and the examples expect ")


@pytest.mark.parametrize(
    ("examples", "answers"),
    [
        (texts("a", "b", "b"), ["b", "b", "a"]),
        (texts("b", "b", "b"), ["b", "b", "b"]),  # one answer is all there is
        (texts(None, None), ["b", "b"]),
        (texts(0.0, 5.0, 2.5), [2.44, 2.5, 2.46]),
        (texts(3.0, 3.0), [1.0, 1.0]),
        (sentences(["O", "B-X", "O"], ["O"]), [("O", "O", "O"), ("B-X",)]),
        (questions(["a"], ["b", "c"], []), ["a", "", ""]),
        (questions(["a", "b"], ["a", "b"]), ["a", "a"]),
    ],
    ids=["classes", "one class", "unknown", "numbers", "one number", "tags", "answers", "one answer"],
)
def test_answers_that_differ_or_need_not_are_none(examples, answers):
    assert is_collapsed(0.9, 0.5, predictions=predictions_for(examples, answers), examples=examples) is None


def test_predictions_of_other_examples_are_refused():
    examples = texts("a", "b")
    with pytest.raises(ValueError, match="prediction 2: expected the answer to 't1', found one to 't0'"):
        is_collapsed(0.9, 0.5, predictions=[Predicted("t0", "a")] * 2, examples=examples)
    with pytest.raises(ValueError, match="each of 2 examples, found 1"):
        is_collapsed(0.9, 0.5, predictions=[Predicted("t0", "a")], examples=examples)
    with pytest.raises(ValueError, match=r"s0: expected a tag for each of 2 words, found 1 tags"):
        is_collapsed(0.9, 0.5, predictions=[Predicted("s0", ("O",))], examples=sentences(["O", "B"]))
