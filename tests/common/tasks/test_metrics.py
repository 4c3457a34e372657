"""Metrics, by scikit-learn, SciPy and seqeval called for themselves, on random data."""

import math
import sys

import numpy as np
import pytest
import seqeval.metrics
import sklearn.metrics
from scipy import stats

from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.examples import Answer, Choice, Question, TaggedSentence, TextExample
from electra_common.tasks.metrics import METRICS, constant_score, find_metric, score
from electra_common.tasks.task import ARCHITECTURES, Task
from support.fine_tuning_examples import sentences

LABELS = ("b", "a", "c", "d")
TAGS = ("O", "B-x", "I-x", "B-y", "I-y")
HAS_ANSWERS = {"format": "squad", "has_impossible": True}


def task(kind, *metrics, **changes):
    choices = {"choices": ("a",)} if kind == "choice" else {}
    return Task(name="t", kind=kind, metrics=metrics, **choices, **changes)


def classes(wanted, found):
    """Return examples and predictions of classes or numbers."""
    pairs = list(zip(wanted, found, strict=True))
    return (
        [TextExample(str(n), "x", label=label, place=f"line {n}") for n, (label, _) in enumerate(pairs)],
        [Prediction(str(n), label) for n, (_, label) in enumerate(pairs)],
    )


def tagged(wanted, found):
    pairs = list(enumerate(zip(wanted, found, strict=True)))
    return (
        [TaggedSentence(str(n), tuple("w" * len(tags)), tuple(tags)) for n, (tags, _) in pairs],
        [Prediction(str(n), tuple(tags)) for n, (_, tags) in pairs],
    )


def answered(*items):
    """Return questions and predictions of (gold answers, prediction, best answer, odds against an answer)."""
    examples = [
        Question("same id", "?", "x", tuple(Answer(text, 0) for text in gold), f"question {n}")
        for n, (gold, *_) in enumerate(items)
    ]
    return examples, [
        Prediction("same id", answer, details={"null_odds": odds, "best_answer": best})
        for _, answer, best, odds in items
    ]


def random_labels(seed, labels, count=57):
    random = np.random.default_rng(seed)
    wanted = random.choice(labels, count)
    found = np.where(random.random(count) < 0.6, wanted, random.choice(labels, count))
    return wanted.tolist(), found.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_classes_are_those_of_scikit_learn(seed):
    wanted, found = random_labels(seed, LABELS)
    scores = score(task("classification", "accuracy", "macro_f1", "matthews"), *classes(wanted, found), LABELS)
    assert scores == pytest.approx(
        {
            "accuracy": sklearn.metrics.accuracy_score(wanted, found),
            "macro_f1": sklearn.metrics.f1_score(wanted, found, average="macro"),
            "matthews": sklearn.metrics.matthews_corrcoef(wanted, found),
        }
    )
    wanted, found = random_labels(seed, ("b", "a"))
    scores = score(task("classification", "f1"), *classes(wanted, found), ("b", "a"))
    assert scores == pytest.approx({"f1": sklearn.metrics.f1_score(wanted, found, pos_label="a")})


def test_scores_by_hand():
    examples, predictions = classes("aaabb", "aabba")
    scores = score(task("classification", "f1", "accuracy"), examples, predictions, ("b", "a"))
    assert scores == pytest.approx({"f1": 2 * 2 / (2 * 2 + 1 + 1), "accuracy": 0.6})
    assert list(scores) == ["f1", "accuracy"]
    assert score(task("classification", "f1"), examples, predictions, ("a", "b"))["f1"] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_numbers_are_those_of_scipy(seed):
    random = np.random.default_rng(seed)
    wanted = random.integers(0, 6, 43).astype(float)
    found = wanted + random.normal(size=43)
    scores = score(task("regression", "pearson", "spearman", "mse"), *classes(wanted.tolist(), found.tolist()), ())
    assert scores == pytest.approx(
        {
            "pearson": stats.pearsonr(wanted, found).statistic,
            "spearman": stats.spearmanr(wanted, found).statistic,
            "mse": sum((one - other) ** 2 for one, other in zip(wanted, found, strict=True)) / 43,
        }
    )


@pytest.mark.parametrize("found", [(2.5, 2.5, 2.5), (1, math.nan, 3), (1, math.inf, 3)])
def test_correlation_with_what_says_nothing_is_0(found):
    scores = score(task("regression", "pearson", "spearman"), *classes((1.0, 2.0, 3.0), found), ())
    assert scores == {"pearson": 0, "spearman": 0}
    assert score(task("regression", "pearson"), *classes((1.0,), (2.0,)), ()) == {"pearson": 0}
    assert score(task("regression", "spearman"), *classes((2.0, 2.0), (1.0, 2.0)), ()) == {"spearman": 0}


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_tags_are_those_of_seqeval(seed):
    random = np.random.default_rng(seed)
    wanted = [list(sentence.tags) for sentence in sentences()]
    tags = sorted({tag for each in wanted for tag in each})
    found = [[tag if random.random() < 0.9 else str(random.choice(tags)) for tag in each] for each in wanted]
    names = ("entity_f1", "entity_precision", "entity_recall", "tag_accuracy")
    scores = score(task("tagging", *names), *tagged(wanted, found), tuple(tags))
    assert scores == pytest.approx(
        {
            "entity_f1": seqeval.metrics.f1_score(wanted, found),
            "entity_precision": seqeval.metrics.precision_score(wanted, found),
            "entity_recall": seqeval.metrics.recall_score(wanted, found),
            "tag_accuracy": seqeval.metrics.accuracy_score(wanted, found),
        }
    )


def test_what_is_not_defined_is_0_without_a_warning():
    names = ("entity_f1", "entity_precision", "entity_recall", "tag_accuracy")
    nothing = tagged([["O", "O"], []], [["O", "O"], []])
    assert score(task("tagging", *names), *nothing, TAGS) == {**dict.fromkeys(names, 0), "tag_accuracy": 1}
    assert score(task("tagging", *names), *tagged([[]], [[]]), TAGS) == dict.fromkeys(names, 0)
    same = classes("aa", "aa")
    assert score(task("classification", "matthews", "macro_f1"), *same, LABELS) == {"matthews": 0, "macro_f1": 1}
    assert score(task("classification", "f1"), *same, ("a", "b")) == {"f1": 0}


@pytest.mark.parametrize("metric", ["entity_f1", "entity_precision", "entity_recall"])
@pytest.mark.parametrize("tag", ["SCONJ", "PER-B", "b-PER", "BPER"])
def test_tags_that_mark_no_spans_are_not_counted_as_spans(metric, tag):
    """seqeval strips the first letter: to it CCONJ and SCONJ are the same."""
    both = tagged([["O", "I-x", "S", "E-a-b"], [tag]], [["O"] * 4, ["O"]])
    with pytest.raises(
        ValueError, match=rf"{metric} counts spans.*; found '{tag}'\..* the task pos, or .*tag_accuracy"
    ):
        score(task("tagging", "tag_accuracy", metric), *both, TAGS)
    assert score(task("tagging", "tag_accuracy"), *both, TAGS) == {"tag_accuracy": 0.2}


def test_right_choices_are_counted():
    examples = [Choice(str(n), "", ("x", "y", "z"), n % 3) for n in range(5)]
    predictions = [Prediction(str(n), answer) for n, answer in enumerate([0, 1, 0, 0, 2])]
    assert score(task("choice", "accuracy"), examples, predictions, ()) == {"accuracy": 0.6}


def test_answers_score_in_percent_as_by_the_official_programs():
    items = answered(
        (["the Nile"], "Nile", "", 0.0), (["Po", "the river Po"], "river Rhine", "", 0.0), (["Elbe"], "", "", 0.0)
    )
    scores = score(task("answers", "exact_match", "answer_f1", format="squad"), *items, ())
    assert scores == pytest.approx({"exact_match": 100 / 3, "answer_f1": 50})
    assert score(task("answers", "answer_f1", format="squad"), *items, ()) == pytest.approx({"answer_f1": 50})


def test_squad_2_0_tells_groups_and_what_the_best_threshold_would_give():
    items = answered(
        (["Nile"], "Nile", "Nile", -2.0), ([], "", "Rhine", 3.0), (["Po"], "", "river Po", 1.0), ([], "x", "x", 0.0)
    )
    scores = score(task("answers", "squad_v2_f1", "squad_v2_exact", **HAS_ANSWERS), *items, ())
    assert scores == pytest.approx(
        {
            "squad_v2_f1": 50, "squad_v2_exact": 50,
            "HasAns_exact": 50, "HasAns_f1": 50, "NoAns_exact": 50, "NoAns_f1": 50,
            "best_exact": 75, "best_exact_thresh": -2, "best_f1": 75, "best_f1_thresh": -2,
        }
    )  # fmt: skip
    assert list(scores)[:2] == ["squad_v2_f1", "squad_v2_exact"]
    examples, predictions = items
    plain = [Prediction("same id", prediction.answer) for prediction in predictions]
    assert "best_exact" not in score(task("answers", "squad_v2_f1", **HAS_ANSWERS), examples, plain, ())


def test_a_test_set_without_labels_has_no_scores():
    examples, predictions = classes(["a", None], "ab")
    assert score(task("classification", "accuracy"), examples, predictions, LABELS) == {}
    question = Question("q", "?", "x")
    assert score(task("answers", "answer_f1", format="squad"), [question], [Prediction("q", "x")], ()) == {}


def test_every_metric_is_of_known_kinds_and_gives_itself():
    assert {kind for metric in METRICS.values() for kind in metric.kinds} == set(ARCHITECTURES)
    assert [name for name, metric in METRICS.items() if not metric.larger_is_better] == ["mse"]


def test_what_cannot_be_scored_is_told():
    examples, predictions = classes("ab", "ab")
    accuracy = task("classification", "accuracy")
    with pytest.raises(ValueError, match="no example to score"):
        score(accuracy, [], [], LABELS)
    with pytest.raises(ValueError, match="expected a prediction for each of 2 examples, found 1"):
        score(accuracy, examples, predictions[:1], LABELS)
    with pytest.raises(ValueError, match="line 0: expected the prediction of '0', found '1'"):
        score(accuracy, examples, predictions[::-1], LABELS)
    with pytest.raises(ValueError, match=r"line 1: .*'b'"):
        score(accuracy, examples, predictions, ("a", "x"))
    with pytest.raises(ValueError, match="f1 is of two labels, found 4: use macro_f1"):
        score(task("classification", "f1"), examples, predictions, LABELS)
    with pytest.raises(ValueError, match="no metric 'mse' for classification; known: accuracy, f1, macro_f1, matthews"):
        find_metric("mse", "classification")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ValueError, match=r"needs the package scikit-learn: pip install 'electra-dual\[train\]'"):
        score(task("classification", "matthews"), *classes("ab", "ab"), LABELS)


def test_the_best_constant_answer():
    train, _ = classes("aab", "aab")
    examples, _ = classes("abbbc", "abbbc")
    assert constant_score(task("classification", "accuracy"), train, examples, LABELS) == 0.6
    binary, _ = classes("abb", "abb")
    assert constant_score(task("classification", "f1"), train, binary, ("b", "a")) == pytest.approx(0.5)
    assert constant_score(task("classification", "matthews"), train, examples, LABELS) == 0
    numbers, _ = classes([1.0, 2.0, 6.0], [0, 0, 0])
    assert constant_score(task("regression", "pearson"), numbers, numbers, ()) == 0
    assert constant_score(task("regression", "mse"), numbers, numbers[:2], ()) == pytest.approx((4 + 1) / 2)
    words, _ = tagged([["O", "B-x", "B-x"]], [["O", "O", "O"]])
    assert constant_score(task("tagging", "entity_f1"), words, words, TAGS) == 0
    assert constant_score(task("tagging", "tag_accuracy"), words, words, TAGS) == pytest.approx(1 / 3)
    assert constant_score(task("tagging", "tag_accuracy", scheme="none"), words, words, TAGS) == pytest.approx(2 / 3)
    asked, _ = answered((["Nile"], "", "", 0.0), ([], "", "", 0.0), ([], "", "", 0.0))
    assert constant_score(task("answers", "squad_v2_f1", **HAS_ANSWERS), asked, asked, ()) == pytest.approx(200 / 3)
    choices = [Choice("1", "", ("x", "y", "z", "w"), 2)]
    assert constant_score(task("choice", "accuracy"), choices, choices, ()) == 0.25


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "matthews"])
def test_no_other_constant_answer_is_better_and_not_each_is_tried(metric, monkeypatch):
    wanted, _ = random_labels(4, LABELS, 23)
    examples, _ = classes(wanted, wanted)
    chosen = task("classification", metric)
    best = max(score(chosen, *classes(wanted, [label] * len(wanted)), LABELS)[metric] for label in LABELS)
    tried = []
    monkeypatch.setattr("electra_common.tasks.metrics.score", lambda *given: tried.append(given) or score(*given))
    assert constant_score(chosen, examples[:5], examples, LABELS) == best
    assert len(tried) == 1


def test_a_constant_answer_needs_answers_to_compare_with():
    known, _ = classes("a", "a")
    with pytest.raises(ValueError, match="line 0: expected an answer to compare with"):
        constant_score(task("classification", "accuracy"), known, classes([None], "a")[0], LABELS)
    with pytest.raises(ValueError, match="found none"):
        constant_score(task("classification", "accuracy"), known, [], LABELS)


def test_a_second_metric_that_cannot_be_computed_is_told_with_the_constant_answer():
    known, _ = classes("abc", "abc")
    with pytest.raises(ValueError, match="f1 is of two labels, found 4: use macro_f1"):
        constant_score(task("classification", "accuracy", "f1"), known, known, LABELS)
