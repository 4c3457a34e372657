"""Files with answers in them have the form and the order of the files that were asked about."""

import csv
import io
import json

import pytest

from electra_common.tasks.answer_files import answer_file
from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.examples import Question, TaggedSentence
from electra_common.tasks.task import Task, find_task

TEXTS = Task(name="texts", kind="classification", metrics=("accuracy",))
PAIRS = TEXTS.with_changes(pair="other")
NUMBERS = Task(name="numbers", kind="regression", metrics=("mse",))
WORDS = Task(name="words", kind="tagging", metrics=("entity_f1",), format="words", text=0, label=-1)
LISTS = Task(name="lists", kind="tagging", metrics=("entity_f1",), text="words", label="tags")
CHOICES = Task(name="choices", kind="choice", metrics=("accuracy",), choices=("choices",))


def echo(examples):
    """Answer with what was asked, so that a row that moved is seen."""
    for number, example in enumerate(examples):
        if isinstance(example, TaggedSentence):
            yield Prediction(example.id, tuple(word.upper() for word in example.words), 0.25)
        elif isinstance(example, Question):
            yield Prediction(example.id, example.context.split()[0], 0.5)
        else:
            pair = getattr(example, "text_pair", None)
            yield Prediction(example.id, example.text + (f"|{pair}" if pair is not None else ""), number / 8)


def answered(task, path, answers=echo):
    stream = io.StringIO()
    count = answer_file(task, str(path), answers, stream)
    return count, stream.getvalue()


def test_lines_of_text_become_lines_of_answers(tmp_path):
    (tmp_path / "in.txt").write_text("one two\nthree\n", encoding="utf-8")
    assert answered(TEXTS, tmp_path / "in.txt") == (2, "one two\nthree\n")
    assert answered(LISTS, tmp_path / "in.txt") == (2, "ONE TWO\nTHREE\n")


def test_a_tab_stands_between_the_texts_of_a_pair(tmp_path):
    (tmp_path / "in.txt").write_text("one\ttwo\n", encoding="utf-8")
    assert answered(PAIRS, tmp_path / "in.txt") == (1, "one|two\n")
    with pytest.raises(ValueError, match=r"in\.txt, line 1: expected one text without a tab, found 'one\\ttwo'"):
        answered(TEXTS, tmp_path / "in.txt")
    (tmp_path / "in.txt").write_text("0\tone\ttwo\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1: expected two texts with a tab between, .*; tables are called \.tsv"):
        answered(PAIRS, tmp_path / "in.txt")


def test_standard_input_is_lines_of_text(monkeypatch):
    class Standard:
        buffer = io.BytesIO("é\nb\n".encode())

    monkeypatch.setattr("sys.stdin", Standard)
    assert answered(TEXTS, "-") == (2, "é\nb\n")


@pytest.mark.parametrize(("ending", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_a_table_keeps_its_columns_and_gets_two_more(tmp_path, ending, delimiter):
    path, rows = tmp_path / f"in.{ending}", [["7", 'a "b", c'], ["8", "d"]]
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([["n", "text"], *rows])
    count, content = answered(TEXTS, path)
    header, *found = list(csv.reader(io.StringIO(content), delimiter=delimiter))
    assert (count, header) == (2, ["n", "text", "prediction", "score"])
    assert found == [["7", 'a "b", c', 'a "b", c', "0"], ["8", "d", "d", "0.125"]]


def test_a_table_without_a_header_stays_without_one(tmp_path):
    (tmp_path / "in.csv").write_text("x,7\ny,8\n", encoding="utf-8")
    task = TEXTS.with_changes(text=0, header=False)
    assert answered(task, tmp_path / "in.csv") == (2, "x,7,x,0\ny,8,y,0.125\n")


def test_a_header_stays_one_whatever_names_it_has_and_whatever_is_asked_for_by_name(tmp_path):
    """The label is not read; but it is what tells that the first line is a header."""
    (tmp_path / "in.csv").write_text("txt,cat,x,x\na,b,c,d\n", encoding="utf-8")
    task = TEXTS.with_changes(text=0, label="cat")
    assert answered(task, tmp_path / "in.csv") == (1, "txt,cat,x,x,prediction,score\na,b,c,d,a,0\n")
    (tmp_path / "in.csv").write_text("txt,y\na,b\n", encoding="utf-8")
    assert answered(task, tmp_path / "in.csv") == (1, "txt,y,prediction,score\na,b,a,0\n")


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("in.csv", "text,prediction\na,mine\n", "line 2: a column is called 'prediction'"),
        ("in.tsv", "score\ttext\n7\ta\n", "line 2: a column is called 'score'"),
        ("in.jsonl", '{"text": "a"}\n{"text": "b", "score": 7}\n', "line 2: a column is called 'score'"),
    ],
)
def test_what_stands_where_answers_would_go_is_not_lost(tmp_path, name, content, place):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name}, {place}, as that of the answers is; rename it"):
        answered(TEXTS, tmp_path / name)


def test_quotation_marks_that_are_plain_text_stay_so(tmp_path):
    (tmp_path / "in.tsv").write_text('index\tsentence\n0\t"wow", he\x85 said\n', encoding="utf-8")
    _, content = answered(
        find_task("sst-2").for_split("test"),
        tmp_path / "in.tsv",
        lambda given: (Prediction(e.id, "1\t") for e in given),
    )
    assert content == 'index\tsentence\tprediction\tscore\n0\t"wow", he\x85 said\t1\\t\t\n'


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["in.txt", "in.csv", "in.jsonl", "in.conll"])
def test_a_models_labels_neither_drive_a_terminal_nor_end_a_line_nor_break_a_file(tmp_path, name):
    label = "a\nb\x1b]0;c\x07\x9bd\ud83d"
    content = {"in.txt": "x\n", "in.csv": "text\nx\n", "in.jsonl": '{"text": "x\\ud83d"}\n', "in.conll": "x\n"}[name]
    (tmp_path / name).write_text(content, encoding="utf-8")
    task, answer = (WORDS, (label,)) if name == "in.conll" else (TEXTS, label)
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        answer_file(task, str(tmp_path / name), lambda given: (Prediction(e.id, answer) for e in given), stream)
    assert not {"\x1b", "\x07", "\x9b"} & set(terminal.getvalue())
    assert file.getvalue().encode("utf-8").count(b"\n") == {"in.csv": 3, "in.conll": 2}.get(name, 1)
    if name == "in.jsonl":
        assert json.loads(file.getvalue()) == {"text": "x\ud83d", "prediction": label, "score": None}
    elif name == "in.csv":
        assert list(csv.reader(io.StringIO(file.getvalue(), newline="")))[1] == ["x", label[:-1] + "\\ud83d", ""]


def test_json_lines_keep_their_fields_of_any_type(tmp_path):
    records = [{"text": "ä", "n": [1, None], "o": {"p": 2.5}}, {"text": "b", "n": [], "o": {}}]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    count, content = answered(TEXTS, path)
    found = [json.loads(line) for line in content.splitlines()]
    assert count == 2
    assert found == [{**record, "prediction": record["text"], "score": n / 8} for n, record in enumerate(records)]


def test_tags_of_json_lines_are_lists(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"words": ["a", "b c"]}\n', encoding="utf-8")
    _, content = answered(LISTS, tmp_path / "in.jsonl")
    assert json.loads(content)["prediction"] == ["A", "B C"]


@pytest.mark.parametrize("name", ["in.conll", "in.conllu"])
def test_words_come_back_with_a_tag_each(tmp_path, name):
    lines = ["Hello", ",", "", "you"] if name == "in.conll" else [
        "# text", *(f"{n}\t{w}" + "\t_" * 8 for n, w in ((1, "Hello"), (2, ","))), "", "1\tyou" + "\t_" * 8,
    ]  # fmt: skip
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = WORDS if name == "in.conll" else WORDS.with_changes(text="FORM", label="UPOS")
    assert answered(task, tmp_path / name) == (2, "Hello\tHELLO\n,\t,\n\nyou\tYOU\n\n")


def test_squad_comes_back_as_its_official_program_takes_it(tmp_path):
    paragraphs = [
        {"context": "Ada wrote it.", "qas": [{"id": "q1", "question": "Who?"}, {"id": "q2", "question": "?"}]}
    ]
    (tmp_path / "in.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    count, content = answered(find_task("squad"), tmp_path / "in.json")
    assert (count, json.loads(content)) == (2, {"q1": "Ada", "q2": "Ada"})


def test_numbers_are_written_short_and_without_a_score(tmp_path):
    (tmp_path / "in.csv").write_text("text\nx\n", encoding="utf-8")
    _, content = answered(NUMBERS, tmp_path / "in.csv", lambda examples: (Prediction(e.id, 2 / 3) for e in examples))
    assert content == "text,prediction,score\nx,0.666667,\n"


def test_examples_are_read_no_further_than_they_are_answered(tmp_path):
    (tmp_path / "in.txt").write_text("a\nb\n \nc\n", encoding="utf-8")
    stream = io.StringIO()
    with pytest.raises(ValueError, match=r"in\.txt, line 3: the text is empty"):
        answer_file(TEXTS, str(tmp_path / "in.txt"), echo, stream)
    assert stream.getvalue() == "a\nb\n"
    with pytest.raises(ValueError, match=r"line 3: the text is empty; .*; a file of one word a line is called \.conll"):
        answer_file(WORDS, str(tmp_path / "in.txt"), echo, io.StringIO())


def test_what_has_no_place_in_lines_of_text_is_told(tmp_path):
    for task in (CHOICES, find_task("squad")):
        with pytest.raises(ValueError, match=f"lines of text have no place for {task.kind}"):
            answered(task, tmp_path / "in.txt")
