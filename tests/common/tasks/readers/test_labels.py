"""Classes in their order, their numbers, and labels that are none of them."""

import pytest

from electra_common.tasks.examples import TaggedSentence, TextExample
from electra_common.tasks.readers.labels import label_names, label_number, label_value
from electra_common.tasks.task import find_task

OWN, NER = find_task("classification"), find_task("ner")


def texts(*labels):
    return [TextExample(str(number), "text", label=label) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("b", "a", "b", None, "C"), ("C", "a", "b")),
        (("10", "9", "0", "1", "9"), ("0", "1", "9", "10")),
        (("10", "9", "-1"), ("-1", "9", "10")),
        (("10", "9", "x"), ("10", "9", "x")),
        (("O", "A", "P"), ("A", "O", "P")),  # only among tags does O come first
    ],
)
def test_classes_are_those_of_the_training_data_sorted(labels, expected):
    assert label_names(OWN, iter(texts(*labels))) == expected


def test_tags_begin_with_outside():
    sentences = [
        TaggedSentence("0", ("a", "b"), ("I-LOC", "O")),
        TaggedSentence("1", ("c",), ("B-PER",)),
        TaggedSentence("2", ("d",)),
    ]
    assert label_names(NER, sentences) == ("O", "B-PER", "I-LOC")
    assert label_names(NER, [TaggedSentence("0", ("a", "b"), ("VERB", "ADJ"))]) == ("ADJ", "VERB")


def test_labels_of_the_task_come_first():
    assert label_names(OWN.with_changes(labels=("no", "maybe")), texts("maybe")) == ("no", "maybe")


@pytest.mark.parametrize("name", ["regression", "answers", "choice"])
def test_other_kinds_have_no_names(name):
    assert label_names(find_task(name), texts("x", "y")) == ()


def test_one_class_is_nothing_to_learn():
    with pytest.raises(ValueError, match="task classification: one class only, found 'x': nothing to tell apart"):
        label_names(OWN, texts("x", "x"))
    with pytest.raises(ValueError, match="task ner: one class only, found 'O': nothing to tell apart"):
        label_names(NER, [TaggedSentence("0", ("a", "b"), ("O", "O"))])
    with pytest.raises(ValueError, match="task classification: no example has a label"):
        label_names(OWN, texts(None, None))


def test_a_label_has_the_number_of_its_name():
    names = ("contradiction", "entailment", "neutral")
    assert [label_number(names, name, "here") for name in reversed(names)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("names", "label", "expected"),
    [
        (("contradiction", "entailment"), "entailement",
         r"^train\.tsv, line 2: label 'entailement' is not among 'contradiction', 'entailment'; did you mean 'ent"),
        (("B", "C"), "b", "label 'b' is not among 'B', 'C'; did you mean 'B'?"),
        (("0", "1"), "2", "label '2' is not among '0', '1'$"),
        (tuple(f"n{number}" for number in range(13)), "x", "'n9' and 3 more$"),
    ],
)  # fmt: skip
def test_a_label_that_is_none_of_the_names_is_told(names, label, expected):
    with pytest.raises(ValueError, match=expected):
        label_number(names, label, "train.tsv, line 2")


@pytest.mark.parametrize("value", ["x", "", "inf", "nan", None, True, [1], float("nan"), 10**400])
def test_what_is_no_finite_number_is_no_value(value):
    with pytest.raises(ValueError, match=r"^here: expected a number such as 3\.5, found "):
        label_value(value, "here")


@pytest.mark.parametrize(("value", "expected"), [("3", 3.0), (" -2.5 ", -2.5), (4, 4.0), (0.1, 0.1)])
def test_numbers_are_numbers(value, expected):
    assert label_value(value, "here") == expected
