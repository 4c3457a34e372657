"""Thresholds of answerability, by trying every one of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.decoding.thresholds import best_thresholds
from electra_common.tasks.squad_metrics import squad_v2_scores

REFERENCES = ([], ["the Nile"], ["Nile", "Amazon river"])
ANSWERS = ("", "Nile", "river Nile", "Po")
QUESTIONS = st.lists(
    st.tuples(st.sampled_from(REFERENCES), st.sampled_from(ANSWERS), st.integers(-4, 4)), min_size=1, max_size=12
)


def scores_at(threshold, references, answers, odds):
    kept = {name: "" if odds[name] > threshold else answer for name, answer in answers.items()}
    scores = squad_v2_scores(references, kept)["all"]
    return scores.exact, scores.f1


@given(QUESTIONS)
def test_no_threshold_is_better_and_the_one_named_is_as_good(questions):
    references, answers, odds = (
        {str(number): question[part] for number, question in enumerate(questions)} for part in range(3)
    )
    found = best_thresholds(references, answers, odds)
    tried = [scores_at(threshold, references, answers, odds) for threshold in np.arange(-5, 6)]
    assert found.exact == pytest.approx(max(exact for exact, _ in tried))
    assert found.f1 == pytest.approx(max(f1 for _, f1 in tried))
    assert scores_at(found.exact_threshold, references, answers, odds)[0] == pytest.approx(found.exact)
    assert scores_at(found.f1_threshold, references, answers, odds)[1] == pytest.approx(found.f1)


def test_thresholds_by_hand():
    references = {"a": ["Nile"], "b": [], "c": ["Po"], "d": []}
    answers = {"a": "Nile", "b": "Rhine", "c": "river Po", "d": "Rhone"}
    found = best_thresholds(references, answers, {"a": -2.0, "b": 3.0, "c": 1.0, "d": 2.0})
    assert (found.exact, found.exact_threshold) == (75, -2)
    assert (found.f1, found.f1_threshold) == (pytest.approx(100 * (3 + 2 / 3) / 4), 1)


def test_questions_without_an_answer_are_left_out_as_in_the_official_script():
    found = best_thresholds({"a": ["Nile"], "b": []}, {"a": "Nile"}, {"a": 0.5})
    assert (found.exact, found.exact_threshold) == (100, 0.5)
    with pytest.raises(ValueError, match="no question to find a threshold for"):
        best_thresholds({"a": ["Nile"]}, {}, {})
