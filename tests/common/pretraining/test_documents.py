"""Documents of files of every kind, in order, with what is wrong told by file and line."""

import gzip
import json
import lzma

import pytest

from electra_common.pretraining.documents import HELD_OUT, TRAIN, Document, ReadingOptions, Source, read_blocks
from electra_common.text_files import read_lines

TEXT = "\n\nFirst line\n  second\tline \n \t \nOther document\n\n\n\nThird\u00a0one\n\u00a0\nFourth"
DOCUMENTS = [["First line", "second\tline"], ["Other document"], ["Third\u00a0one"], ["Fourth"]]


def documents(*paths, **options):
    sources = [path if isinstance(path, Source) else Source(str(path)) for path in paths]
    return [document for block in read_blocks(sources, ReadingOptions(**options)) for document in block.documents]


def zstd(content):
    zstandard = pytest.importorskip("zstandard")
    return zstandard.compress(content)


PACKERS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", PACKERS)
def test_documents_end_at_blank_lines(tmp_path, suffix):
    file = tmp_path / f"text.txt{suffix}"
    file.write_bytes(PACKERS[suffix](TEXT.encode()))
    assert [document.lines for document in documents(file)] == DOCUMENTS
    assert [document.number for document in documents(file)] == [0, 1, 2, 3]
    # The end of a file is the end of a document.
    assert [document.lines for document in documents(file, file)] == DOCUMENTS * 2
    assert [document.number for document in documents(file, file)] == list(range(8))


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_record_is_a_document(tmp_path, suffix):
    records = [{"text": "One\n\n two ", "id": 7}, {"text": " \n"}, {"text": "Ünï \ud800 \u2028 three"}]
    content = "\n\n".join(map(json.dumps, records))
    file = tmp_path / f"text.jsonl{suffix}"
    file.write_bytes(PACKERS[suffix](content.encode()))
    assert [document.lines for document in documents(file)] == [["One", "two"], ["Ünï ? \u2028 three"]]


def test_text_stands_in_the_field_that_is_named(tmp_path):
    file = tmp_path / "text.jsonl"
    file.write_text('{"text": "no", "body": "yes"}\n')
    assert [document.lines for document in documents(file, text_field="body")] == [["yes"]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"body": "x"}',
            "bad.jsonl, line 2: expected an object with text in the field 'text'; found the fields 'body'$",
        ),
        ('{"text": 3}', "line 2: expected an object with text in the field 'text'; found a number in it$"),
        ('{"text": null}', "; found null in it$"),
        ("[1]", "line 2: expected an object with text in the field 'text'; found a list$"),
        ("{}", "; found an object without fields$"),
        ('{"\\u001b[2J": 1, "b": "x"}', r"; found the fields '\\x1b\[2J', 'b'$"),
        ("{", "bad.jsonl, line 2: not a JSON record"),
        ("[" * 100_000, "bad.jsonl, line 2: not a JSON record"),
    ],
)
def test_records_without_text_are_named(tmp_path, line, expected):
    (tmp_path / "bad.jsonl").write_text('{"text": "fine"}\n' + line)
    with pytest.raises(ValueError, match=expected):
        documents(tmp_path / "bad.jsonl")


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(tmp_path):
    files = [many(tmp_path, 40), tmp_path / "next.txt"]
    files[1].write_text("next")
    blocks = read_blocks([Source(str(file)) for file in files], ReadingOptions(block_characters=100))
    found = next(blocks).documents
    files[0].unlink()
    while len(found) < 40:
        found += next(blocks).documents
    assert found[40:] == [Document(40, TRAIN, ["next"])]
    with pytest.raises(ValueError, match=r"many.txt: cannot be read: No such file or directory"):
        next(read_blocks([Source(str(files[0]))], ReadingOptions()))


def test_text_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "latin.txt").write_bytes("fine\n\nhäßlich\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.txt, line 3: not UTF-8 at byte 1 of the line"):
        documents(tmp_path / "latin.txt")


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_packed_files_that_end_too_early_or_are_damaged(tmp_path, suffix):
    content = PACKERS[suffix]((TEXT * 50).encode())
    file = tmp_path / f"text.txt{suffix}"
    followed = () if suffix == ".xz" else (content + b"rubbish",)  # which Python's lzma passes over
    for damaged in (content[: len(content) // 2], content[:-1], b"no such format", *followed):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"text.txt{suffix}: cannot be read"):
            documents(file)


def test_zstandard_frames_follow_each_other(tmp_path):
    content = TEXT.encode() * 400
    file = tmp_path / "text.txt.zst"
    file.write_bytes(zstd(content[:1001]) + zstd(b"") + zstd(content[1001:]))
    assert "\n".join(read_lines(file)) == content.decode()
    file.write_bytes(b"")
    assert list(read_lines(file)) == []


def test_zstandard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    (tmp_path / "text.zst").write_bytes(b"")
    with pytest.raises(ValueError, match=r"text.zst: unpacking .zst needs the package zstandard: pip install"):
        list(read_lines(tmp_path / "text.zst"))


def test_lines_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("electra_common.text_files.MOST_LINE_BYTES", 1 << 20)
    (tmp_path / "zeros.gz").write_bytes(gzip.compress(b"a\n" + bytes(3 << 20)))
    with pytest.raises(ValueError, match=r"zeros.gz, line 2: longer than 1 MiB"):
        list(read_lines(tmp_path / "zeros.gz"))


def many(tmp_path, count=2000):
    file = tmp_path / "many.txt"
    file.write_text("\n\n".join(f"number {number}" for number in range(count)))
    return file


def test_a_fraction_of_the_documents_is_held_out(tmp_path):
    file = many(tmp_path)
    held_out = [document.number for document in documents(file, held_out=0.1) if document.split == HELD_OUT]
    assert 150 < len(held_out) < 250  # 200 and 3.7 times the deviation of such a draw
    assert held_out == [document.number for document in documents(file, held_out=0.1) if document.split == HELD_OUT]
    other = [document.number for document in documents(file, held_out=0.1, seed=1) if document.split == HELD_OUT]
    assert 5 < len(set(held_out) & set(other)) < 45
    more = [document.number for document in documents(file, held_out=0.3) if document.split == HELD_OUT]
    assert set(held_out) < set(more)
    assert {document.split for document in documents(file)} == {TRAIN}


def test_files_can_be_held_out_as_a_whole(tmp_path):
    file = many(tmp_path, 5)
    found = documents(file, Source(str(file), is_held_out=True))
    assert [document.split for document in found] == [TRAIN] * 5 + [HELD_OUT] * 5


def test_repeated_files_hold_the_same_documents_out_and_only_once(tmp_path):
    file = many(tmp_path, 100)
    once = documents(file, held_out=0.2)
    held_out = [document.lines for document in once if document.split == HELD_OUT]
    kept = [document.lines for document in once if document.split == TRAIN]
    found = documents(Source(str(file), repeat=3), held_out=0.2)
    assert [document.lines for document in found if document.split == TRAIN] == kept * 3
    assert [document.lines for document in found if document.split == HELD_OUT] == held_out
    assert len({document.number for document in found}) == len(found)  # each repetition has draws of its own


def test_blocks_hold_whole_documents(tmp_path):
    file = many(tmp_path, 100)
    blocks = list(read_blocks([Source(str(file))], ReadingOptions(block_characters=100)))
    assert all(100 <= block.characters < 112 for block in blocks[:-1])
    assert [document.number for block in blocks for document in block.documents] == list(range(100))
    assert blocks[-1].place == file.stat().st_size


def test_a_document_that_is_too_large_goes_on_as_a_new_one(tmp_path):
    (tmp_path / "large.txt").write_text("\n".join(f"line {number:02}" for number in range(25)) + "\n\nnext")
    found = documents(tmp_path / "large.txt", document_characters=80, held_out=0.5)
    assert [len(document.lines) for document in found] == [10, 10, 5, 1]
    assert [(document.number, document.part) for document in found] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert len({document.split for document in found[:3]}) == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"held_out": 1.0}, "held_out must be a fraction below 1"), ({"seed": -1}, "seed must be from 0"),
     ({"block_characters": 0}, "must be above 0")],
)  # fmt: skip
def test_wrong_options_are_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        ReadingOptions(**options)
