"""Choices of a table: lists of texts or of objects with names, or a column each."""

import json

import pytest

from electra_common.tasks.examples import Choice
from electra_common.tasks.readers.read import read_examples
from electra_common.tasks.task import find_task

OWN, COMMONSENSE = find_task("choice"), find_task("commonsenseqa")


def written(folder, *rows, name="own.jsonl"):
    file = folder / name
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def named(*pairs):
    return [{"label": label, "text": text} for label, text in pairs]


def test_commonsenseqa_is_read_in_its_published_layout(tmp_path):
    # The first question of its development set.
    choices = named(("A", "bank"), ("B", "library"), ("C", "department store"), ("D", "mall"), ("E", "new york"))
    stem = (
        "A revolving door is convenient for two direction travel, but it also serves as a security measure at a what?"
    )
    question = {"question_concept": "revolving door", "choices": choices, "stem": stem}
    value = {"answerKey": "A", "id": "1afa02df02c908a558b4036e80242fac", "question": question}
    texts = ("bank", "library", "department store", "mall", "new york")
    assert list(read_examples(COMMONSENSE, written(tmp_path, value))) == [Choice(value["id"], stem, texts, 0)]
    del value["answerKey"]
    test = read_examples(COMMONSENSE, written(tmp_path, value), split="test")
    assert [example.label for example in test] == [None]


@pytest.mark.parametrize(
    ("choices", "label", "expected"),
    [
        (["x", "y", "z"], 2, 2),
        (["x", "y", "z"], "1", 1),
        (["x", "y z", "w"], " y z ", 1),
        (["1", "0", "7"], "7", 2),  # by its text: there is no choice 7
        (["1", "0", "7"], 0, 0),  # a number is no text
        (["x", "1"], "1", 1),  # by number or text, it is the same
        (named(("1", "x"), ("0", "1")), "1", 0),  # a name comes before a number
        (named((1, "x"), (2, "y")), 2, 1),
    ],
)
def test_the_right_choice_is_told_by_name_text_or_number(tmp_path, choices, label, expected):
    (found,) = read_examples(OWN, written(tmp_path, {"text": "t", "choices": choices, "label": label}))
    assert found.label == expected
    assert found.text == "t"
    assert len(found.choices) == len(choices)


def test_each_choice_may_have_a_column_of_its_own(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("start,a,b,c,right\nShe,ran,sang,fell,sang\nHe,ran,sang,fell,2\n")
    task = OWN.with_changes(text="start", choices=("a", "b", "c"), label="right")
    assert list(read_examples(task, file)) == [
        Choice("0", "She", ("ran", "sang", "fell"), 1),
        Choice("1", "He", ("ran", "sang", "fell"), 2),
    ]
    file.write_text("start,a,b,c,right\nShe,ran,,fell,0\n")
    with pytest.raises(ValueError, match=r"own\.csv, line 2, column 'b': the text is empty"):
        list(read_examples(task, file))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"label": 3}, "own.jsonl, line 1, column 'label': expected a number from 0 to 2, or .*; found a number"),
        ({"label": -1}, "column 'label': expected a number from 0 to 2, or the text of a choice"),
        ({"label": "v"}, "column 'label': expected a number from 0 to 2, or .*; found a text"),
        ({"label": None}, "column 'label': expected a name, .* found no value"),
        ({"choices": ["1", "0"], "label": "1"}, "column 'label': '1' may mean the choices 0 and 1"),
        ({"choices": ["x", "x"], "label": "x"}, "column 'label': 'x' may mean the choices 0 and 1"),
        ({"choices": named(("A", "x"), ("B", "y")), "label": 0}, "expected the name of a choice, A, B; found a number"),
        ({"choices": named(("A", "x"), ("A", "y"))}, "column 'choices': expected a name of its own for each choice"),
        (
            {"choices": [{"label": "A", "text": "x"}, "y"]},
            "column 'choices': expected a name of its own for each choice",
        ),
        ({"choices": ["x"]}, "own.jsonl, line 1: expected two choices or more, found 1"),
        ({"choices": ["x", " "]}, "column 'choices': the text is empty"),
        ({"choices": "x"}, "column 'choices': expected a list of choices, found a text"),
        ({"choices": [{"txt": "x"}]}, "column 'choices': expected a field 'text', found txt"),
        ({"text": ""}, "column 'text': the text is empty"),
    ],
)
def test_what_is_wrong_with_a_row_is_told(tmp_path, changes, expected):
    value = {"text": "t", "choices": ["x", "y", "z"], "label": 0, **changes}
    with pytest.raises(ValueError, match=expected):
        list(read_examples(OWN, written(tmp_path, value)))
