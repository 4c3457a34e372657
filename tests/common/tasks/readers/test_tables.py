"""Rows of every kind of table: columns by name, number and path, and what is wrong with a file in one clear line."""

import gzip
import json
import lzma
import sys
import tracemalloc
from importlib.util import find_spec

import pytest

from electra_common.tasks.readers.tables import read_rows, with_columns_named_anew, without_label
from electra_common.tasks.task import Task

TASK = Task(name="own", kind="classification", metrics=("accuracy",))


def rows(file, **changes):
    return list(read_rows(TASK.with_changes(**changes), file))


def written(folder, name, content):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def zstd(content):
    return pytest.importorskip("zstandard").compress(content)


@pytest.mark.parametrize(
    ("ending", "pack"), {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd}.items()
)
def test_columns_are_found_by_name_however_the_file_is_packed(tmp_path, ending, pack):
    content = '\ufefflabel,text\nx,"Grüße,\nb"\ny,c\n'.encode()
    file = written(tmp_path, f"own.csv{ending}", pack(content))
    found = rows(file)
    assert [(row.number, row.place, row.text("text"), row.text("label")) for row in found] == [
        (0, f"{file}, line 2", "Grüße,\nb", "x"),
        (1, f"{file}, line 4", "c", "y"),
    ]


def test_columns_are_found_by_number_from_both_ends(tmp_path):
    file = written(tmp_path, "own.tsv", "a\tb\tc\nd\te\tf\n")
    found = rows(file, text=0, label=-1, header=None)
    assert [(row.text(0), row.text(1), row.text(-1)) for row in found] == [("a", "b", "c"), ("d", "e", "f")]
    assert found[0].place_of(-1) == f"{file}, line 1, column -1"
    assert [row.text(0) for row in rows(file, text=0, label=-1, header=True)] == ["d"]


def test_one_name_among_numbers_means_a_header(tmp_path):
    file = written(tmp_path, "own.tsv", "a\tb\nd\te\n")
    assert [row.text("b") for row in rows(file, text=0, label="b")] == ["e"]


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        ("a\tb\n", {"text": 0}, ["a"]),
        ("txt\tlabel\nd\te\n", {"text": 0}, ["d"]),
        ("n\ttext\nd\te\n", {"text": 1}, ["e"]),
        ("n\ttext\nd\te\n", {"text": 1, "label": 0}, ["e"]),
        ("label\ttext\nd\te\n", {"text": 0, "id": "label"}, ["d"]),
        ("a\tb\nd\te\n", {"text": 0, "header": True}, ["d"]),
        ("a\tlabel\nd\te\n", {"text": 0, "header": False, "label": None}, ["a", "d"]),
        ('"label\t"\tb\n', {"text": 1}, ["b"]),
    ],
)
def test_with_columns_by_number_a_header_is_where_a_name_from_training_stands(tmp_path, content, changes, expected):
    file = written(tmp_path, "own.tsv", content)
    task = without_label(with_columns_named_anew(TASK.with_changes(**changes), TASK, file))
    assert [row.text(task.text) for row in read_rows(task, file)] == expected


def test_what_has_no_rows_or_no_header_line_stays_so_with_columns_named_anew(tmp_path):
    task = TASK.with_changes(text=0)
    empty = written(tmp_path, "own.csv", "")
    with pytest.raises(ValueError, match=r"own\.csv: expected rows, found none"):
        list(read_rows(without_label(with_columns_named_anew(task, TASK, empty)), empty))
    assert with_columns_named_anew(task, TASK, "own.parquet") == task


@pytest.mark.parametrize("name", ["own.jsonl", "own.ndjson", "own.json"])
def test_a_path_leads_into_objects_of_json(tmp_path, name):
    values = [
        {"question": {"stem": "Why?", "n": 1}, "label": "x"},
        {"label": "y", "question": {"stem": "\ud83d cut"}, "question.stem": "whole name first"},
    ]
    file = written(tmp_path, name, "\n\n".join(map(json.dumps, values)) + "\n\n")
    first, second = rows(file, text="question.stem")
    assert (first.text("question.stem"), first.value("question.n"), first.place) == ("Why?", 1, f"{file}, line 1")
    assert (second.text("question.stem"), second.place) == ("whole name first", f"{file}, line 3")
    with pytest.raises(ValueError, match=r"line 1, column 'question\.n': expected a text, found a number"):
        first.text("question.n")
    with pytest.raises(ValueError, match=r"line 1: there is no column 'question\.sten'; .* did you mean 'stem'"):
        first.text("question.sten")
    with pytest.raises(ValueError, match=r"line 1, column 'label\.x': expected an object above 'x', found a text"):
        first.value("label.x")


def test_half_a_character_becomes_a_question_mark_in_its_place(tmp_path):
    file = written(tmp_path, "own.jsonl", json.dumps({"text": "ä\ud83d b", "label": "x"}))
    assert [row.text("text") for row in rows(file)] == ["ä? b"]


def test_parquet_gives_its_columns_by_name_path_and_number(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    count = 131
    table = arrow.table(
        {
            "text": [f"text {number}" for number in range(count)],
            "nested": [{"stem": number} for number in range(count)],
            "label": list(range(count)),
        }
    )
    parquet.write_table(table, tmp_path / "own.parquet", row_group_size=50)
    found = rows(tmp_path / "own.parquet")
    assert [row.text("text") for row in found] == [f"text {number}" for number in range(count)]
    assert [row.value("nested.stem") for row in found] == list(range(count))
    assert [row.name(-1) for row in found] == [str(number) for number in range(count)]
    assert found[130].place == f"{tmp_path / 'own.parquet'}, row 131"


@pytest.mark.skipif(not find_spec("pyarrow"), reason="pyarrow not installed")
@pytest.mark.parametrize("content", [None, b"PAR1 is not enough"])
def test_a_damaged_parquet_file_is_told(tmp_path, content):
    file = tmp_path / "own.parquet"
    if content:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.parquet: cannot be read as parquet: \S"):
        rows(file)


def test_what_the_package_cannot_read_of_parquet_is_told(tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def refuse(path):
        raise arrow.ArrowNotImplementedError("codec LZO\nand more")

    monkeypatch.setattr(parquet, "ParquetFile", refuse)
    with pytest.raises(ValueError, match=r"own\.parquet: cannot be read as parquet: codec LZO$"):
        rows(tmp_path / "own.parquet")


def test_parquet_without_its_package_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"pip install 'electra-dual\[train\]'"):
        rows(tmp_path / "own.parquet")


@pytest.mark.parametrize(
    ("name", "content", "changes", "expected"),
    [
        ("own.csv", "", {}, "own.csv: expected rows, found none"),
        ("own.csv", "text,label\n", {}, "own.csv: expected rows, found none"),
        ("own.jsonl", "\n", {}, "own.jsonl: expected rows, found none"),
        ("own.csv", "txt,label\na,b\n", {}, "line 1: there is no column 'text'; there are 'txt', 'label'; did you"),
        ("own.csv", "text,label,text\na,b,c\n", {}, "line 1: 2 columns are called 'text'; ask for one by its number"),
        ("own.csv", "text,label\na,b\nc\n", {}, "own.csv, line 3: expected 2 columns as in the header, found 1"),
        ("own.csv", "text,label\na,b,c\n", {}, "own.csv, line 2: expected 2 columns as in the header, found 3"),
        ("own.tsv", "a\tb\n", {"header": False}, "own.tsv: without a header columns have numbers from 0, .* 'text'"),
        ("own.csv", b"text,label\na,b\n\xe9,c\n", {}, "own.csv, line 3: not UTF-8 at byte 0"),
        ("own.jsonl", '{"text": 1}\n[1]\n', {}, "line 2: expected one JSON object a line, found a list of 1"),
        ("own.jsonl", '{"text": }\n', {}, "own.jsonl, line 1, character 10: .*; expected one JSON object a line"),
        ("own.jsonl", "[" * 100_000, {}, "own.jsonl, line 1: cannot be read; expected one JSON object"),
        ("own.jsonl", '{"text": 1}\n', {"text": 0}, "own.jsonl: columns of JSON lines have names, found the number 0"),
        ("own.docx", "", {}, r"own\.docx: expected a table, a file whose name ends in one of \.csv, \.tsv"),
        ("own.csv.bz2", "", {}, "own.csv.bz2: expected a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, content, changes, expected):
    file = written(tmp_path, name, content)
    with pytest.raises(ValueError, match=expected) as caught:
        rows(file, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (3, r"line 2: expected a column 3 \(counted from 0\), found 3 columns"),
        (-4, r"line 2: expected a column -4 \(counted from the end\), found 3 columns"),
    ],
)
def test_a_row_without_a_column_is_told(tmp_path, column, expected):
    file = written(tmp_path, "own.tsv", "a\tb\tc\td\ne\tf\tg\n")
    first, second = rows(file, text=0, label=column)
    assert first.text(column) in ("d", "a")
    with pytest.raises(ValueError, match=expected):
        second.text(column)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.csv: cannot be read: No such file"):
        rows(tmp_path / "gone.csv")


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_a_document_of_a_hundred_thousand_words_is_one_text(tmp_path, name):
    text = 'wörd "x", ' * 100_000
    content = {
        "own.csv": 'text,label\n"{}",x\n'.format(text.replace('"', '""')),
        "own.tsv": f"text\tlabel\n{text}\tx\n",
        "own.jsonl": json.dumps({"text": text, "label": "x"}),
    }
    (row,) = rows(written(tmp_path, name, content[name]))
    assert row.text("text") == text
    assert row.text("label") == "x"


def test_rows_are_read_as_they_are_asked_for(tmp_path):
    lines = 20_000
    file = written(tmp_path, "own.csv", "text,label\n" + f'"{"word " * 100}",x\n' * lines)
    assert file.stat().st_size > 10_000_000
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_rows(TASK, file))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == lines
    assert peak < 1_000_000
