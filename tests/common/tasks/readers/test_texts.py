"""Texts with classes and numbers: the layouts in which GLUE and others are published, and bad input."""

import json

import pytest

from electra_common.tasks.examples import TextExample
from electra_common.tasks.readers.read import read_examples
from electra_common.tasks.task import Task, find_task
from support.fixtures import TESTS

OWN = find_task("classification")

# Task, split, lines in the published layout (with blanks for tabs and ~ for blanks); text, second text and label of
# their first row.
GLUE = [
    ("mrpc", "train", ["\ufeffQuality #1~ID #2~ID #1~String #2~String", '1 702 703 He~said~"yes. Yes.'],
     'He said "yes.', "Yes.", "1"),
    ("mrpc", "test", ["index #1~ID #2~ID #1~String #2~String", "0 702 703 One. Two."], "One.", "Two.", None),
    ("cola", "train", ["gj04 1  Fish~swim.", "gj04 0 * Swim~fish~the."], "Fish swim.", None, "1"),
    ("cola", "test", ["index sentence", "0 Fish~swim."], "Fish swim.", None, None),
    ("sst-2", "dev", ["sentence label", "a~dull~film~ 0"], "a dull film ", None, "0"),
    ("sst-2", "test", ["index sentence", "0 a~dull~film"], "a dull film", None, None),
    ("qqp", "train", ["id qid1 qid2 question1 question2 is_duplicate", "133 213 214 Why? How? 0"], "Why?", "How?", "0"),
    ("qqp", "test", ["id question1 question2", "0 Why? How?"], "Why?", "How?", None),
    ("rte", "dev", ["index sentence1 sentence2 label", "0 A. B. not_entailment"], "A.", "B.", "not_entailment"),
    ("rte", "test", ["index sentence1 sentence2", "0 A. B."], "A.", "B.", None),
    ("qnli", "train", ["index question sentence label", "0 Who? He. entailment"], "Who?", "He.", "entailment"),
    ("wnli", "train", ["index sentence1 sentence2 label", "0 A. B. 1"], "A.", "B.", "1"),
    ("sts-b", "train", ["index genre filename year old_index source1 source2 sentence1 sentence2 score",
                        "0 main MSRvid 2012test 0001 none none A~plane. A~train. 3.800"], "A plane.", "A train.", 3.8),
    ("sts-b", "test", ["index genre filename year old_index source1 source2 sentence1 sentence2",
                       "0 main MSRvid 2012test 0001 none none A~plane. A~train."], "A plane.", "A train.", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "split", "lines", "text", "pair", "label"), GLUE)
def test_glue_is_read_in_its_published_layout(tmp_path, name, split, lines, text, pair, label):
    file = tmp_path / f"{split}.tsv"
    file.write_text("\n".join(line.replace(" ", "\t").replace("~", " ") for line in lines) + "\n")
    first = next(iter(read_examples(find_task(name), file, split=split)))
    assert (first.text, first.text_pair, first.label) == (text, pair, label)


def test_mnli_has_its_label_in_the_last_column_of_each_split(tmp_path):
    task, cells = find_task("mnli"), [f"c{number}" for number in range(16)]
    for split, count in (("train", 12), ("dev", 16)):
        row = [*cells[: count - 1], "entailment"]
        (tmp_path / "own.tsv").write_text("\t".join(cells[:count]) + "\n" + "\t".join(row) + "\n")
        (example,) = read_examples(task, tmp_path / "own.tsv", split=split)
        assert (example.text, example.text_pair, example.label) == ("c8", "c9", "entailment")
    (tmp_path / "own.tsv").write_text("\t".join(cells[:10]) + "\n" + "\t".join(cells[:10]) + "\n")
    (example,) = read_examples(task, tmp_path / "own.tsv", split="test")
    assert (example.text, example.text_pair, example.label) == ("c8", "c9", None)


def test_banking77_is_read_with_its_quoted_questions():
    file = TESTS / "fixtures" / "fine_tuning" / "banking77.csv"
    examples = list(read_examples(find_task("banking77"), file))
    assert len(examples) == 120
    assert len({example.label for example in examples}) == 10
    assert examples[2] == TextExample(
        "2", "I requested a refund but am unable to see it in my account. Why is that?", None, "Refund_not_showing_up"
    )
    assert examples[2].place == f"{file}, line 4"


def test_names_of_rows_and_whole_numbers_as_classes(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text(
        '{"text": "a", "pair": "", "key": 7, "label": 1}\n{"text": "b", "pair": "c", "key": "k", "label": " x "}\n'
    )
    assert list(read_examples(OWN.with_changes(pair="pair", id="key"), file)) == [
        TextExample("7", "a", "", "1"),
        TextExample("k", "b", "c", "x"),
    ]


def test_a_test_set_without_labels_gives_none(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("text\na\nb\n")
    task = OWN.with_changes(test_columns={"label": None})
    assert [example.label for example in read_examples(task, file, split="test")] == [None, None]
    with pytest.raises(ValueError, match="line 1: there is no column 'label'; there are 'text'"):
        list(read_examples(task, file, split="dev"))


@pytest.mark.parametrize(
    ("row", "changes", "expected"),
    [
        ({"text": " ", "label": "x"}, {}, "own.jsonl, line 2, column 'text': the text is empty"),
        ({"text": None, "label": "x"}, {}, "line 2, column 'text': expected a text, found no value"),
        ({"text": "a", "label": ""}, {}, "line 2, column 'label': expected a name, .* found an empty text"),
        ({"text": "a", "label": None}, {}, "line 2, column 'label': expected a name, .* found no value"),
        ({"text": "a", "label": True}, {}, "line 2, column 'label': expected a name, .* found a truth value"),
        ({"text": "a", "label": 1.5}, {}, r"line 2, column 'label': expected a name, .* found a number \(1.5\)"),
        ({"text": "a", "label": "x", "b": ["c"]}, {"pair": "b"}, "column 'b': expected a text, found a list of 1"),
        ({"text": "a", "label": "many"}, {"kind": "regression"}, "line 2, column 'label': expected a number .*'many'"),
        ({"text": "a", "label": "nan"}, {"kind": "regression"}, "line 2, column 'label': expected a number .*'nan'"),
        ({"text": "a", "label": True}, {"kind": "regression"}, "column 'label': expected a number .*truth value"),
    ],
)  # fmt: skip
def test_bad_input_is_told_with_its_place_after_the_good_rows(tmp_path, row, changes, expected):
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(json.dumps(value) for value in ({"text": "a", "label": 1, "b": "c"}, row)))
    examples = read_examples(OWN.with_changes(**changes), file)
    assert next(examples).text == "a"
    with pytest.raises(ValueError, match=expected):
        next(examples)


def test_a_regression_learns_numbers(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("text,label\na,3\nb,-0.25\nc,1e-3\n")
    assert [example.label for example in read_examples(find_task("regression"), file)] == [3.0, -0.25, 0.001]
    file = tmp_path / "own.jsonl"
    file.write_text('{"text": "a", "label": 2}\n{"text": "a", "label": 2.5}\n')
    assert [example.label for example in read_examples(find_task("regression"), file)] == [2.0, 2.5]


def test_a_row_of_too_few_columns_is_told(tmp_path):
    file = tmp_path / "train.tsv"
    file.write_text("gj04\t1\t\tFish swim.\ngj04\t1\tSwim.\n")
    with pytest.raises(
        ValueError, match=r"train\.tsv, line 2: expected a column 3 \(counted from 0\), found 3 columns"
    ):
        list(read_examples(find_task("cola"), file))


def test_a_task_in_python_needs_no_registration(tmp_path):
    file = tmp_path / "own.txt"
    file.write_text('x\t"a" b\ny\tc\n')
    task = Task(name="t", kind="classification", metrics=("f1",), text=1, label=0, quoting=False)
    assert [(example.label, example.text) for example in read_examples(task, file)] == [("x", '"a" b'), ("y", "c")]
