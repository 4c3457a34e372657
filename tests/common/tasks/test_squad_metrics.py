"""SQuAD's two measures, by the official evaluators' scores for predictions of the public leaderboard."""

import json
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.squad_metrics import normalize_answer, squad_scores, squad_v2_scores
from support.fixtures import TESTS

SQUAD = TESTS / "fixtures" / "squad"
EXPECTED = json.loads((SQUAD / "expected_eval.json").read_text())


def read(name):
    return json.loads(lzma.decompress((SQUAD / f"{name}.json.xz").read_bytes()))


@pytest.mark.parametrize("predictions", ["bert-ensemble", "logreg"])
def test_squad_1_1_is_scored_as_by_the_official_evaluator(predictions):
    references, answers = read("answers-v1.1"), read(f"pred-v1.1-{predictions}")
    scores = squad_scores(references, answers)
    expected = EXPECTED[f"v1.1 pred-v1.1-{predictions}.json"]
    assert len(set(references) - set(answers)) == expected.get("unanswered", 0)
    assert scores.exact == pytest.approx(expected["exact_match"], abs=1e-9, rel=0)
    assert scores.f1 == pytest.approx(expected["f1"], abs=1e-9, rel=0)
    assert scores.total == 10_570


@pytest.mark.parametrize("predictions", ["bert-single", "nlnet"])
def test_squad_2_0_is_scored_as_by_the_official_evaluator(predictions):
    scores = squad_v2_scores(read("answers-v2.0"), read(f"pred-v2.0-{predictions}"))
    expected = EXPECTED[f"v2.0 pred-v2.0-{predictions}.json"]
    for group, prefix in (("all", ""), ("HasAns", "HasAns_"), ("NoAns", "NoAns_")):
        found = scores[group]
        assert found.exact == pytest.approx(expected[f"{prefix}exact"], abs=1e-9, rel=0), group
        assert found.f1 == pytest.approx(expected[f"{prefix}f1"], abs=1e-9, rel=0), group
        assert found.total == expected[f"{prefix}total"], group


def test_what_the_two_versions_see_differently():
    assert squad_scores({"q": ["The"]}, {"q": "a"}).f1 == 0
    assert squad_v2_scores({"q": ["The"]}, {"q": "a"})["HasAns"].f1 == 100
    both = {"p": ["Nile"], "q": ["Po"]}
    assert squad_scores(both, {"p": "the Nile!"}).exact == 50
    assert squad_v2_scores(both, {"p": "the Nile!"})["all"].exact == 100
    assert set(squad_v2_scores(both, {"p": ""})) == {"all", "HasAns"}


@given(st.text())
def test_nothing_is_left_that_is_not_compared(text):
    once = normalize_answer(text)
    assert once == " ".join(once.split())
    assert not set(once) & set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    assert not {"a", "an", "the"} & set(once.split())


def test_nothing_to_score_is_told():
    with pytest.raises(ValueError, match="no question to score"):
        squad_scores({}, {})
    with pytest.raises(ValueError, match="no question to score"):
        squad_v2_scores({"q": ["Po"]}, {})
    with pytest.raises(ValueError, match="question 'q' has no answer"):
        squad_scores({"q": []}, {"q": ""})
