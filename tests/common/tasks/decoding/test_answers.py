"""Answers cut out of contexts, by looking at every span of every window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.tasks.decoding.answers import decode_answer
from electra_common.tasks.decoding.decode import decode
from electra_common.tasks.examples import Question
from electra_common.tasks.features.make import make_rows
from electra_common.tasks.features.windows import Window
from support.fine_tuning_examples import ANSWERS, questions, tokenizer

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven"]
QUESTION = Question("q", "which?", " ".join(WORDS))
SPANS = np.array([[QUESTION.context.index(word), QUESTION.context.index(word) + len(word)] for word in WORDS])
# Of 3 tokens before the context and 1 behind it; the windows share "three" and "four".
WINDOWS = [Window(3, 0, 8, SPANS[:5]), Window(3, 3, 8, SPANS[3:])]


def outputs_of(*windows):
    """Return outputs of {position: logit} for starts and ends, -5 elsewhere, of rows of 9 tokens."""
    outputs = []
    for starts, ends in windows:
        logits = np.full((2, 9), -5.0, np.float32)
        for kind, values in enumerate((starts, ends)):
            for position, value in values.items():
                logits[kind, position] = value
        outputs.append({"start_logits": logits[0], "end_logits": logits[1]})
    return outputs


def answer(outputs, *, has_impossible=False, **options):
    return decode_answer(QUESTION, WINDOWS, outputs, has_impossible=has_impossible, **options)


def test_what_the_labels_of_rows_say_is_what_is_decoded():
    features = make_rows(ANSWERS, questions(), tokenizer(), (), max_length=60, is_training=True, doc_stride=15)
    assert len(features.rows) > len(questions())
    outputs = []
    for row in features.rows:
        output = {"start_logits": np.zeros(row.length), "end_logits": np.zeros(row.length)}
        if row.labels["start_positions"]:
            output["start_logits"][row.labels["start_positions"]] = 5
            output["end_logits"][row.labels["end_positions"]] = 5
        outputs.append(output)
    predictions = decode(ANSWERS, features, outputs, ())
    assert [prediction.answer for prediction in predictions] == [item.answers[0].text for item in questions()]
    for prediction, question in zip(predictions, questions(), strict=True):
        assert prediction.details["start"] == question.answers[0].start
        assert question.context[prediction.details["start"] : prediction.details["end"]] == prediction.answer


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 30))
def test_the_best_spans_of_all_windows_are_found(seed, max_answer_length, n_best):
    logits = np.random.default_rng(seed).normal(size=(2, 2, 9))  # [windows, kinds, length]
    expected = {}
    for window, (starts, ends) in zip(WINDOWS, logits, strict=True):
        for start in range(3, 8):
            for end in range(start, min(8, start + max_answer_length)):
                place = (int(window.targets[start - 3, 0]), int(window.targets[end - 3, 1]))
                expected[place] = max(expected.get(place, -np.inf), starts[start] + ends[end])
    ranked = sorted(expected.items(), key=lambda item: -item[1])[:n_best]
    outputs = [{"start_logits": starts, "end_logits": ends} for starts, ends in logits]
    found = answer(outputs, max_answer_length=max_answer_length, n_best=n_best)
    assert [((item["start"], item["end"]), item["score"]) for item in found.details["n_best"]] == ranked
    assert found.answer == QUESTION.context[slice(*ranked[0][0])]
    weights = np.exp([score for _, score in ranked])
    assert [item["probability"] for item in found.details["n_best"]] == pytest.approx(weights / weights.sum())
    assert found.score == found.details["n_best"][0]["probability"]


def test_only_legal_spans_of_the_context_count():
    # The question and the special tokens around it, a start behind its end, and a span that is too long.
    outputs = outputs_of(({0: 9, 1: 9, 8: 9, 7: 9, 4: 3}, {0: 9, 2: 9, 8: 9, 3: 9, 5: 3}), ({}, {}))
    assert answer(outputs).answer == "one two"
    outputs = outputs_of(({3: 9, 4: 4}, {7: 9, 5: 3}), ({}, {}))
    assert answer(outputs, max_answer_length=4).answer == "one two three four"
    assert answer(outputs, max_answer_length=5).answer == "zero one two three four"


def test_a_span_in_two_windows_counts_once_with_its_higher_score():
    found = answer(outputs_of(({6: 4}, {7: 4}), ({3: 6}, {4: 6})), n_best=2)
    assert found.answer == "three four"
    assert [item["score"] for item in found.details["n_best"]] == [12, 6 - 5]


def test_no_answer_is_measured_by_the_window_that_is_least_for_it():
    outputs = outputs_of(({0: 6, 4: 3}, {0: 5, 4: 2}), ({0: 1}, {0: 3}))
    found = answer(outputs, has_impossible=True)
    assert found.details["null_odds"] == (1 + 3) - (3 + 2)
    assert (found.answer, found.details["best_answer"]) == ("one", "one")
    assert answer(outputs, has_impossible=True, null_threshold=-1.0).answer == "one"  # not above it
    assert answer(outputs).answer == "one"
    assert "null_odds" not in answer(outputs).details
    empty = answer(outputs, has_impossible=True, null_threshold=-1.5)
    assert (empty.answer, empty.details["best_answer"]) == ("", "one")
    assert "start" not in empty.details
    others = sum(item["probability"] for item in empty.details["n_best"])
    assert empty.score == pytest.approx(1 - others)
    ratio = empty.score / empty.details["n_best"][0]["probability"]
    assert ratio == pytest.approx(np.exp(found.details["null_odds"]))


def google_outputs(impossible):
    """Two beams in each window; in the first the better start ends before it begins."""
    log_probs = np.log([[0.6, 0.4], [0.5, 0.3]])
    starts = np.array([[6, 4], [1, 7]])
    end_log_probs = np.log([[[0.9, 0.1], [0.7, 0.3]], [[0.6, 0.4], [0.5, 0.1]]])
    ends = np.array([[[5, 2], [5, 6]], [[5, 6], [7, 3]]])
    fields = ("start_top_log_probs", "start_top_index", "end_top_log_probs", "end_top_index", "impossible_logits")
    columns = (log_probs, starts, end_log_probs, ends, np.array(impossible))
    return [{name: column[window] for name, column in zip(fields, columns, strict=True)} for window in range(2)]


def test_googles_head_is_read_by_its_beams():
    found = answer(google_outputs([1.0, -3.0]), has_impossible=True)
    assert found.answer == "one two"
    assert [item["text"] for item in found.details["n_best"]] == ["one two", "seven", "one two three"]
    assert [np.exp(item["score"]) for item in found.details["n_best"]] == pytest.approx([0.28, 0.15, 0.12])
    assert found.score == pytest.approx(0.28 / 0.55)
    assert found.details["null_odds"] == -3
    assert answer(google_outputs([1.0, -3.0]), max_answer_length=1).answer == "seven"


def test_googles_threshold_is_its_own():
    assert answer(google_outputs([1.0, -2.75]), has_impossible=True).answer == "one two"
    empty = answer(google_outputs([-2.7, 1.0]), has_impossible=True)
    assert (empty.answer, empty.details["best_answer"]) == ("", "one two")
    assert empty.score == pytest.approx(1 / (1 + np.exp(2.7)))
    assert answer(google_outputs([-2.7, 1.0]), has_impossible=True, null_threshold=0.0).answer == "one two"
    assert answer(google_outputs([-2.7, 1.0])).answer == "one two"


@pytest.mark.parametrize("has_impossible", [True, False])
def test_a_context_without_a_token_has_no_answer(has_impossible):
    question = Question("q", "which?", " ")
    windows = [Window(3, 0, 0, np.zeros((0, 2), np.int32))]
    output = {"start_logits": np.arange(4.0), "end_logits": np.arange(4.0)}
    found = decode_answer(question, windows, [output], has_impossible=has_impossible)
    assert found.answer == ""
    assert found.details["n_best"] == []


@pytest.mark.parametrize("name", ["n_best", "max_answer_length"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, found 0"):
        answer(outputs_of(({}, {}), ({}, {})), **{name: 0})
