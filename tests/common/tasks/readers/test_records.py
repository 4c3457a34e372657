"""Cells of CSV and TSV, by Python's own writer of CSV and by hand."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.tasks.readers.records import read_records

# Carriage returns are left out: those before the end of a line belong to it. So is the byte order mark.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff")
CELLS = st.text(st.one_of(st.sampled_from('",\n\t a'), CHARACTERS), max_size=8)


def records(file, delimiter=",", quoting=True):
    return list(read_records(file, delimiter, quoting=quoting))


@settings(max_examples=150)
@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=5)),
    delimiter=st.sampled_from(",\t"),
    style=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_pythons_writer_wrote_is_read_as_it_was(tmp_path_factory, rows, delimiter, style, end):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=style, lineterminator=end).writerows(rows)
    file = tmp_path_factory.mktemp("csv") / "rows.csv"
    file.write_bytes(text.getvalue().encode())
    assert [cells for _, cells in records(file, delimiter)] == rows


def test_a_record_begins_on_the_line_that_is_told(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text('a,b\n"two\n\nlines, ""said"" he",1\nlast "one",2\n"",\n')
    assert records(file) == [
        (1, ["a", "b"]),
        (2, ['two\n\nlines, "said" he', "1"]),
        (5, ['last "one"', "2"]),  # inside a field without quotation marks around it they are part of the text
        (6, ["", ""]),
    ]


def test_without_quoting_tabs_split_and_nothing_else(tmp_path):
    file = tmp_path / "rows.tsv"
    file.write_text('"a\tb" ,c\t\n"\t"\t""\n')
    assert records(file, "\t", quoting=False) == [(1, ['"a', 'b" ,c', ""]), (2, ['"', '"', '""'])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a,b\nc,"d\ne,f\n', "rows.csv, line 2, column 1: a quotation mark opens the field and none closes it"),
        (
            'a,b\nc,"d"e\n',
            "line 2, column 1: expected a comma behind the closing quotation mark, found 'e'; .* quoting",
        ),
        ('"two\nlines"x,b\n', "line 1, column 0: expected a comma"),
        ("a,b\n\n\nc,d\n", "rows.csv, line 2: an empty line between rows"),
    ],
)
def test_what_is_out_of_place_is_told(tmp_path, text, expected):
    file = tmp_path / "rows.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=expected):
        records(file)


def test_empty_lines_at_the_end_are_nothing(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n\n\r\n\n")
    assert records(file) == [(1, ["a", "b"])]
