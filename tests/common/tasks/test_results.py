"""What a fine-tuning leaves behind: files as other programs read them, and what is really drawn in the pictures."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from electra_common.pictures import picture_bytes, plain_label
from electra_common.runs.metrics_log import MetricsEntry, MetricsLog
from electra_common.tasks.examples import Answer, Choice, Question, TaggedSentence, TextExample
from electra_common.tasks.result_pictures import (
    confusion_figure,
    most_confused,
    scatter_figure,
    seed_curves_figure,
    seeds_figure,
)
from electra_common.tasks.results import FineTuningFacts, seed_folder, write_results, write_seed
from electra_common.tasks.seeds import summarize
from electra_common.tasks.task import Task
from electra_common.weights.errors import CheckpointError
from support.predictions import Predicted, predictions_for, seed_result

CLASSES = Task(name="c", kind="classification", metrics=("accuracy",))
NUMBERS = Task(name="n", kind="regression", metrics=("pearson",))
TAGS = Task(name="t", kind="tagging", metrics=("span_f1",))
ANSWERS = Task(name="a", kind="answers", metrics=("f1",))
CHOICES = Task(name="h", kind="choice", metrics=("accuracy",), choices=("x", "y"))
AWKWARD = 'one\ntwo\r\nthree\u2028four\x85five\x00\x1b[2J,"six"\t\U0001f600 \ud800 é'
FACTS = FineTuningFacts(
    task=CLASSES, model="google/electra-small-discriminator", framework="pt",
    settings={"learning_rate": 1e-4, "epochs": 3, "seeds": (1, 2), "out": Path("a/b"), "ratio": np.float32(0.5)},
    versions={"numpy": "2"}, command="electra finetune 'c d'",
)  # fmt: skip


def texts(*labels):
    return [TextExample(f"t{number}", f"text {number}", label=label) for number, label in enumerate(labels)]


def lines_of(folder):
    """Return the lines, told apart by their ends alone, as JSON's standard has it."""
    content = (folder / "predictions.jsonl").read_bytes().decode("utf-8")
    assert content.endswith("\n")
    return [json.loads(line, parse_constant=pytest.fail) for line in content.removesuffix("\n").split("\n")]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# Predictions ----------------------------------------------------------------------------------------------------------


def test_predictions_stand_in_order_with_what_was_asked_and_expected(tmp_path):
    examples = [
        TextExample("9", "second first", "its pair", "yes", place="f.tsv, line 3"),
        TextExample("2", AWKWARD, None, None),
        TextExample("5", "third", label="no"),
    ]
    predictions = [
        Predicted("9", "no", {"score": 0.75, "probabilities": {"no": 0.75, "yes": 0.25}}),
        Predicted("2", "yes", {"score": math.nan}),
        Predicted("5", "no", {"score": np.float32(0.5), "logits": np.array([1, 2])}),
    ]
    write_seed(tmp_path, 12, CLASSES, ("no", "yes"), examples, predictions)
    assert seed_folder(tmp_path, 12) == tmp_path / "seed-12"
    assert lines_of(tmp_path / "seed-12") == [
        {
            "id": "9", "text": "second first", "text_pair": "its pair", "expected": "yes", "predicted": "no",
            "details": {"score": 0.75, "probabilities": {"no": 0.75, "yes": 0.25}},
        },
        {"id": "2", "text": AWKWARD, "expected": None, "predicted": "yes", "details": {"score": None}},
        {"id": "5", "text": "third", "expected": "no", "predicted": "no", "details": {"score": 0.5, "logits": [1, 2]}},
    ]  # fmt: skip
    # Programs that know more ends of lines than JSON find the same lines.
    assert len((tmp_path / "seed-12" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()) == 3


@given(text=st.text(), other=st.text())
def test_any_text_comes_back_from_its_line(tmp_path_factory, text, other):
    out = tmp_path_factory.mktemp("texts")
    write_seed(out, 0, ANSWERS, (), [Question("q", other, text)], [Predicted("q", text)])
    assert lines_of(out / "seed-0") == [
        {"id": "q", "question": other, "context": text, "expected": None, "predicted": text}
    ]


def test_every_kind_of_example_is_written_by_its_own_names(tmp_path):
    kinds = [
        (TAGS, TaggedSentence("s", ("New", "York"), ("B-L", "I-L")), ("B-L", "O")),
        (ANSWERS, Question("q", "Who?", "He did.", (Answer("He", 0), Answer("He did", 0))), "did"),
        (ANSWERS, Question("q", "Who?", "He did.", ()), ""),
        (CHOICES, Choice("c", "He", ("did", "ate"), 1), 0),
        (NUMBERS, TextExample("t", "a", "b", 2.5), 2.25),
    ]
    for number, (task, example, answer) in enumerate(kinds):
        write_seed(tmp_path, number, task, (), [example], [Predicted(example.id, answer)])
    found = [lines_of(tmp_path / f"seed-{number}")[0] for number in range(len(kinds))]
    assert found == [
        {"id": "s", "words": ["New", "York"], "expected": ["B-L", "I-L"], "predicted": ["B-L", "O"]},
        {"id": "q", "question": "Who?", "context": "He did.", "expected": ["He", "He did"], "predicted": "did"},
        {"id": "q", "question": "Who?", "context": "He did.", "expected": [], "predicted": ""},
        {"id": "c", "text": "He", "choices": ["did", "ate"], "expected": 1, "predicted": 0},
        {"id": "t", "text": "a", "text_pair": "b", "expected": 2.5, "predicted": 2.25},
    ]


def test_predictions_that_do_not_belong_are_refused_and_nothing_is_written(tmp_path):
    examples = texts("a", "b")
    with pytest.raises(ValueError, match="prediction 1: expected the answer to 't0', found one to 't1'"):
        write_seed(tmp_path, 0, CLASSES, (), examples, predictions_for(examples[::-1], "ab"))
    with pytest.raises(ValueError, match="texts, numbers, lists and mappings; found object"):
        write_seed(tmp_path, 0, ANSWERS, (), texts(None), [Predicted("t0", "a", {"x": object()})])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with pytest.raises(ValueError, match="a regression has numbers for answers, found 'b'"):
        write_seed(tmp_path, 0, NUMBERS, (), texts(1.0), predictions_for(texts(1.0), "b"))


# A seed's folder ------------------------------------------------------------------------------------------------------


def log_of(folder):
    with MetricsLog(folder, tensorboard=False) as log:
        for step in (10, 20, 30):
            log.write(step, "train", {"loss": 3.0 / step, "learning_rate": 1e-4 / step})
            log.write(step, "held-out", {"loss": 2.0 / step, "span_f1": step / 40, "token_accuracy": step / 50})


@pytest.mark.parametrize(
    ("task", "examples", "answers", "has_picture"),
    [
        (CLASSES, texts("a", "b", "a"), ["a", "a", "b"], True),
        (NUMBERS, texts(1.0, 2.0, 4.0), [1.5, 2.0, 3.0], True),
        (TAGS, [TaggedSentence("s", ("v", "w"), ("O", "B"))], [("O", "O")], True),
        (ANSWERS, [Question("q", "?", "c", ())], [""], False),
        (CHOICES, [Choice("c", "t", ("x", "y"), 1)], [1], False),
        (CLASSES, texts(None, None), ["a", "b"], False),  # a test set whose answers are not known
        (TAGS, [TaggedSentence("s", ("v", "w"))], [("O", "O")], False),
        (CLASSES, [], [], False),
    ],
)
def test_a_folder_has_the_pictures_that_its_task_has(tmp_path, task, examples, answers, has_picture):
    log_of(tmp_path / "seed-3")
    predictions = predictions_for(examples, answers)
    write_seed(tmp_path, 3, task, (), examples, predictions)
    expected = ["curves.png", "metrics.jsonl", "predictions.jsonl"]
    assert names_in(tmp_path / "seed-3") == (["confusion.png", *expected] if has_picture else expected)
    for name in expected[:1] + ["confusion.png"] * has_picture:
        with Image.open(tmp_path / "seed-3" / name) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) > 200
        assert 0.001 < (pixels < 200).mean() < 0.9  # neither blank nor black


def test_pictures_of_an_earlier_call_that_no_longer_fit_are_removed(tmp_path):
    log_of(tmp_path / "seed-3")
    write_seed(tmp_path, 3, CLASSES, (), texts("a"), predictions_for(texts("a"), "a"))
    assert "confusion.png" in names_in(tmp_path / "seed-3")
    (tmp_path / "seed-3" / "metrics.jsonl").write_bytes(b"")
    write_seed(tmp_path, 3, CLASSES, (), texts(None), predictions_for(texts(None), "a"))
    assert names_in(tmp_path / "seed-3") == ["metrics.jsonl", "predictions.jsonl"]


def test_a_damaged_log_and_a_folder_that_is_a_file_are_told(tmp_path):
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "metrics.jsonl").write_text("nonsense\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 1: not a JSON object"):
        write_seed(tmp_path, 1, CLASSES, (), texts("a"), predictions_for(texts("a"), "a"))
    (tmp_path / "seed-2").write_text("")
    with pytest.raises(CheckpointError, match="seed-2: cannot be written"):
        write_seed(tmp_path, 2, CLASSES, (), texts("a"), predictions_for(texts("a"), "a"))


# All seeds ------------------------------------------------------------------------------------------------------------


def test_metrics_json_says_everything(tmp_path):
    results = [seed_result(7, 0.75, f1=0.5), seed_result(3, 0.5, f1=math.nan, collapse="its score …")]
    summary = write_results(tmp_path, FACTS, results, "accuracy")
    assert summary == summarize(results, "accuracy")
    values = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert values["format"] == 1
    assert values["task"] == {**CLASSES.as_dict()}
    assert (values["model"], values["framework"]) == ("google/electra-small-discriminator", "pt")
    assert values["settings"] == {"learning_rate": 1e-4, "epochs": 3, "seeds": [1, 2], "out": str(Path("a/b")),
                                  "ratio": 0.5}  # fmt: skip
    assert (values["versions"], values["command"]) == ({"numpy": "2"}, "electra finetune 'c d'")
    assert values["seeds"][1] == {
        "seed": 3, "metrics": {"accuracy": 0.5, "f1": None}, "best_metrics": {"accuracy": 0.5, "f1": None},
        "constant_score": 0.5, "is_collapsed": True, "collapse_reason": "its score …", "seconds": 61.4, "steps": 1234,
        "split": "dev", "test_metrics": {},
    }  # fmt: skip
    assert [item["seed"] for item in values["seeds"]] == [7, 3]
    assert values["summary"]["collapsed"] == [3]
    assert values["summary"]["metrics"]["accuracy"]["median"] == 0.625
    with Image.open(tmp_path / "summary.png") as picture:
        assert min(picture.size) > 200


def test_without_known_answers_there_is_no_summary(tmp_path):
    write_results(tmp_path, FACTS, [seed_result(1, 0.5)], "accuracy")
    unknown = replace(seed_result(1, 0.5), metrics={}, best_metrics={}, constant_score=math.nan)
    assert write_results(tmp_path, FACTS, [unknown], "accuracy") is None
    values = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert values["summary"] is None
    assert values["seeds"][0]["constant_score"] is None
    assert names_in(tmp_path) == ["metrics.json"]  # the picture that was there is gone


def test_results_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="seed 1 stands twice"):
        write_results(tmp_path, FACTS, [seed_result(1, 0.5), seed_result(1, 0.5)], "accuracy")
    with pytest.raises(ValueError, match="seed 2: expected the metric 'accuracy', found none"):
        write_results(tmp_path, FACTS, [seed_result(1, 0.5), replace(seed_result(2, 0.5), metrics={})], "accuracy")
    assert names_in(tmp_path) == []


# What is drawn --------------------------------------------------------------------------------------------------------


def matrix_of(figure):
    """Return the drawn shares, and ``{(row, column): number}`` as written into the cells."""
    (axes,) = figure.axes
    written = {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in axes.texts}
    rows, columns = ([text.get_text() for text in axis.get_ticklabels()] for axis in (axes.yaxis, axes.xaxis))
    assert rows == columns
    return np.asarray(axes.images[0].get_array()), written, rows


def test_a_confusion_matrix_has_counts_in_cells_and_shares_of_rows():
    pairs = [("a", "a")] * 3 + [("a", "c")] * 1 + [("b", "c")] * 2 + [("c", "new")] * 5
    shares, written, names = matrix_of(confusion_figure(*zip(*pairs, strict=True), ("c", "b", "a")))
    assert names == ["c", "b", "a", "new"]
    assert written == {(2, 2): 3, (2, 0): 1, (1, 0): 2, (0, 3): 5}
    expected = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0.25, 0, 0.75, 0], [0, 0, 0, 0]])
    assert shares == pytest.approx(expected)


def test_words_that_are_rightly_outside_do_not_outshine_the_rest():
    pairs = [("O", "O")] * 1000 + [("O", "B")] * 3 + [("O", "I")] * 1 + [("B", "O")] * 2
    figure = confusion_figure(*zip(*pairs, strict=True), ("O", "B", "I"), outside="O")
    shares, written, _ = matrix_of(figure)
    assert written == {(0, 1): 3, (0, 2): 1, (1, 0): 2}
    assert shares[0] == pytest.approx([0, 0.75, 0.25])
    assert "without what is O and predicted so" in figure.axes[0].get_title(loc="left")
    _, written, _ = matrix_of(confusion_figure(*zip(*pairs, strict=True), ("O", "B", "I")))
    assert written[0, 0] == 1000


def test_only_bio_has_an_outside(tmp_path, monkeypatch):
    import electra_common.tasks.results as module

    seen = []
    monkeypatch.setattr(
        module, "confusion_figure", lambda *values, outside: seen.append((values, outside)) or confusion_figure(*values)
    )
    sentence = TaggedSentence("s", ("u", "v", "w"), ("O", "B", "O"))
    for scheme in ("BIO", "none"):
        write_seed(tmp_path, 0, replace(TAGS, scheme=scheme), ("O",), [sentence], [Predicted("s", ("O", "O", "B"))])
    assert [outside for _, outside in seen] == ["O", None]
    assert seen[0][0] == (["O", "B", "O"], ["O", "O", "B"], ("O",))


def test_of_many_classes_those_in_most_mistakes_are_drawn():
    names = [f"class {number:02}" for number in range(23)]
    mistakes = Counter({(3, 4): 9, (22, 3): 2, (0, 7): 1})
    pairs = [(names[wanted], names[found]) for wanted, found in mistakes.elements()]
    pairs += [(name, name) for name in names for _ in range(50)]
    figure = confusion_figure(*zip(*pairs, strict=True), names)
    shares, written, shown = matrix_of(figure)
    assert len(shown) == 20
    assert shares.shape == (20, 20)
    assert {names[3], names[4], names[22], names[0], names[7]} < set(shown)
    assert shown == sorted(shown)
    assert written[shown.index(names[3]), shown.index(names[4])] == 9
    assert shares[shown.index(names[3]), shown.index(names[4])] == pytest.approx(9 / 59)  # of the whole row
    assert "20 of 23 classes" in figure.axes[0].get_title(loc="left")
    counts = np.zeros((5, 5), np.int64)
    counts[4, 1], counts[2, 2], counts[0, 3] = 7, 99, 1
    assert most_confused(counts, most=2) == [1, 4]


def test_predicted_numbers_are_drawn_against_expected_ones():
    expected, predicted = [0.0, 1.5, 5.0], [0.5, 1.0, 4.0]
    axes = scatter_figure(expected, predicted).axes[0]
    dots, diagonal = axes.lines
    assert list(dots.get_xdata()) == expected
    assert list(dots.get_ydata()) == predicted
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0.0, 5.0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("expected", "predicted")
    with pytest.raises(ValueError, match="found 2, 1"):
        scatter_figure([1.0, 2.0], [1.0])


def test_the_curves_of_a_seed_are_its_log():
    entries = [
        MetricsEntry(5, "train", 1.0, {"loss": 0.75, "learning_rate": 1e-4}),
        MetricsEntry(9, "train", 2.0, {"loss": 0.5, "learning_rate": 1e-5}),
        MetricsEntry(9, "held-out", 2.0, {"matthews": 0.25}),
    ]
    axes = seed_curves_figure(entries).axes
    assert [item.get_title(loc="left") for item in axes] == ["loss", "matthews", "learning rate"]
    drawn = [[(list(line.get_xdata()), list(line.get_ydata())) for line in item.lines] for item in axes]
    assert drawn == [
        [([5.0, 9.0], [0.75, 0.5]), ([], [])],
        [([], []), ([9.0], [0.25])],
        [([5.0, 9.0], [1e-4, 1e-5]), ([], [])],
    ]


def test_every_seed_is_a_dot_the_median_a_line_and_the_constant_answer_a_dashed_one():
    results = [
        seed_result(40, 0.75, constant=0.4, f1=0.5),
        seed_result(2, 0.41, constant=0.4, f1=math.nan, collapse="x"),
        seed_result(13, 0.875, constant=0.4, f1=0.25),
    ]
    figure = seeds_figure(results, summarize(results, "f1"))
    f1, accuracy = figure.axes
    assert [item.get_title(loc="left") for item in figure.axes] == ["f1", "accuracy"]

    def drawn(axes):
        return [(list(line.get_xdata()), list(line.get_ydata()), line.get_label()) for line in axes.lines]

    assert drawn(accuracy)[:2] == [([0.0, 2.0], [0.75, 0.875], "seed"), ([1.0], [0.41], "collapsed seed")]
    assert drawn(accuracy)[2][1] == [0.75, 0.75]
    assert len(accuracy.lines) == 3  # the constant answer's score is one of the main metric
    assert drawn(f1)[:2] == [([0.0, 2.0], [0.5, 0.25], "seed"), ([], [], "collapsed seed")]
    median, constant = f1.lines[2:]
    assert (list(median.get_ydata()), median.get_linestyle()) == ([0.375, 0.375], "-")
    assert (list(constant.get_ydata()), constant.get_linestyle()) == ([0.4, 0.4], "--")
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["40", "2", "13"]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["seed", "collapsed seed", "median", "constant answer"]


def test_labels_of_every_script_and_with_formulas_are_drawn_as_they_stand():
    labels = ["$x$ costs $5", "中文", "two\nlines\x1b[2J", "l" * 99]
    figure = confusion_figure(labels, labels[::-1], labels)
    assert picture_bytes(figure, "png").startswith(b"\x89PNG")  # without a warning
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert shown == [r"\$x\$ costs \$5", "中文", "two lines\N{REPLACEMENT CHARACTER}[2J", "l" * 23 + "…"]
    assert plain_label("a" * 99) == "a" * 99


def test_without_matplotlib_one_warning_says_how_to_get_it_and_all_but_pictures_is_there(tmp_path, monkeypatch):
    import sys
    import warnings

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "confusion.png").write_bytes(b"of an earlier call")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        write_seed(tmp_path, 1, CLASSES, (), texts("a"), predictions_for(texts("a"), "a"))
        assert write_results(tmp_path, FACTS, [seed_result(1, 0.5)], "accuracy").count == 1
    (warning,) = shown
    assert "the results have no pictures: drawing needs matplotlib" in str(warning.message)
    assert "pip install 'electra-dual[train]'" in str(warning.message)
    assert names_in(tmp_path) == ["metrics.json", "seed-1"]
    assert names_in(tmp_path / "seed-1") == ["predictions.jsonl"]
