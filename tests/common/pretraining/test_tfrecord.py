"""Google's ``pretrain_data.tfrecord*``, written here by TensorFlow: every row comes back, and damage is named."""

import numpy as np
import pytest

from electra_common.pretraining.documents import ReadingOptions, Source
from electra_common.pretraining.preparation import prepare_corpus
from electra_common.pretraining.segments import SegmentOptions
from electra_common.pretraining.shards import ExampleShards
from electra_common.pretraining.tfrecord import Record, parse_example, read_records, unpack_varints
from electra_common.weights.errors import CheckpointError
from support.tokenizers import shared

tf = pytest.importorskip("tensorflow")

LENGTH = 21
COLUMNS = {"input_ids": "input_ids", "input_mask": "attention_mask", "segment_ids": "token_type_ids"}


def some_rows(count, seed=0):
    """Return rows as Google writes them: one or two segments, padded."""
    draw = np.random.default_rng(seed)
    rows = {name: np.zeros((count, LENGTH), np.int32) for name in COLUMNS.values()}
    for row in range(count):
        first, second = draw.integers(0, 9), draw.integers(0, 2) * draw.integers(1, 9)
        ids = [101, *draw.integers(1000, 30522, first), 102]
        ids += [*draw.integers(1000, 30522, second), 102] if second else []
        rows["input_ids"][row, : len(ids)] = ids
        rows["attention_mask"][row, : len(ids)] = 1
        rows["token_type_ids"][row, first + 2 : len(ids)] = 1
    return rows


def example(**lists):
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        if not isinstance(values, tf.train.Feature)
        else values
        for name, values in lists.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def serialized(rows):
    names = COLUMNS.items()
    return [example(**{ours: rows[theirs][row] for ours, theirs in names}) for row in range(len(rows["input_ids"]))]


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    return path


def prepare(folder, *paths, **options):
    reading = ReadingOptions(
        **{name: options.pop(name) for name in ("held_out", "block_characters") if name in options}
    )
    segments = SegmentOptions(max_length=options.pop("max_length", LENGTH))
    return prepare_corpus(
        [Source(str(path)) for path in paths], folder, shared("rust"), reading=reading, segments=segments, **options
    )


def test_rows_come_back_as_google_wrote_them(tmp_path):
    rows = some_rows(57)
    contents = serialized(rows)
    paths = [write(tmp_path / f"pretrain_data.tfrecord-{part}-of-2", contents[part::2]) for part in range(2)]
    prepare(tmp_path / "one", *paths, block_characters=2000)
    shards = ExampleShards.open(tmp_path / "one")
    found = shards.rows(np.arange(57))
    order = [*range(0, 57, 2), *range(1, 57, 2)]
    for name, column in found.items():
        np.testing.assert_array_equal(column, rows[name][order])
    assert shards.manifest.counts()["train"] == {"documents": 0, "examples": 57, "tokens": rows["attention_mask"].sum()}
    # In longer rows there is more padding, and nothing else changes.
    prepare(tmp_path / "wide", *paths, max_length=40)
    wide = ExampleShards.open(tmp_path / "wide").rows(np.arange(57))
    np.testing.assert_array_equal(wide["input_ids"], np.pad(found["input_ids"], ((0, 0), (0, 40 - LENGTH))))


def test_records_can_be_held_out_and_stand_beside_text(tmp_path):
    path = write(tmp_path / "pretrain_data.tfrecord-0-of-1", serialized(some_rows(200)))
    (tmp_path / "text.txt").write_text("some words\n\nand more")
    prepare(tmp_path / "out", path, tmp_path / "text.txt", held_out=0.25)
    sizes = [len(ExampleShards.open(tmp_path / "out", split)) for split in ("train", "held-out")]
    assert sum(sizes) == 202
    assert 27 < sizes[1] < 75


def damaged_records():
    """Return what is wrong with a record of row 3, and what must be said."""
    rows = {ours: some_rows(1)[theirs][0] for ours, theirs in COLUMNS.items()}
    rows["input_ids"][:4], rows["input_mask"][:4] = [101, 2000, 2001, 102], 1
    for column in rows.values():
        column[4:] = 0
    rows["segment_ids"][:] = 0
    two, hole = rows["input_mask"].copy(), rows["input_mask"].copy()
    two[1], hole[1] = 2, 0
    floats = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))
    huge = rows["input_ids"].copy()
    huge[1] = 30_522
    wrong_start = rows["input_ids"].copy()
    wrong_start[0] = 2
    short = {name: column[:20] for name, column in rows.items()}
    return {
        "no mask": (example(input_ids=rows["input_ids"], segment_ids=rows["segment_ids"]), "no feature input_mask"),
        "another record": (example(x=[1]), "no feature input_ids, input_mask, segment_ids; is it Google's"),
        "lengths": (example(**{**rows, "input_mask": [1]}), "features of 21, 1 and 21 numbers"),
        "floats": (example(**{**rows, "input_ids": floats}), "a feature is no list of integers"),
        "a mask of twos": (example(**{**rows, "input_mask": two}), "expected a mask of ones then zeros"),
        "a hole": (example(**{**rows, "input_mask": hole}), "expected a mask of ones then zeros"),
        "mixed segments": (example(**{**rows, "segment_ids": [0, 1, 0, 0] + [0] * 17}), "segments of zeros then ones"),
        "id behind the vocabulary": (
            example(**{**rows, "input_ids": huge}),
            "ids 101 to 30522; the vocabulary has 30522",
        ),
        "another vocabulary": (
            example(**{**rows, "input_ids": wrong_start}),
            r"expected 101 first .* found \[2, 102, 102\]",
        ),
        "nothing but padding": (example(**{name: [0] * 21 for name in rows}), r"found \[\]"),
        "too long": (
            example(**{name: [*column, 0] for name, column in rows.items()}),
            "of length 22, and max_length is 21",
        ),
        "no protocol buffer": (b"\xff" * 30, "damaged: a number of more than 10 bytes"),
        "cut": (example(**short)[:-5], "truncated"),
    }


@pytest.mark.parametrize("name", damaged_records())
def test_records_that_are_no_examples_are_named(tmp_path, name):
    content, expected = damaged_records()[name]
    path = write(tmp_path / "pretrain_data.tfrecord-7-of-9", [*serialized(some_rows(2)), content])
    with pytest.raises(ValueError, match=rf"tfrecord-7-of-9, record 3: .*{expected}"):
        prepare(tmp_path / "out", path)


def test_every_damaged_byte_of_a_file_is_noticed(tmp_path):
    path = write(tmp_path / "pretrain_data.tfrecord-0-of-1", serialized(some_rows(2)))
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"tfrecord-0-of-1, record [12]: (damaged|truncated)"):
            [parse_example(record, LENGTH) for record in read_records(str(path), lambda place: None)]
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        records = []
        try:
            records += read_records(str(path), lambda place: None)
        except ValueError as error:
            assert "truncated" in str(error)  # noqa: PT017
        else:
            assert len(records) == 1  # cut exactly between the two


@pytest.mark.parametrize("numbers", [[], [0], [1, 127, 128, 300, 2**62, 2**63 - 1, -1, -(2**63)], range(1000)])
def test_packed_integers_are_those_of_tensorflow(numbers):
    feature = tf.train.Int64List(value=numbers).SerializeToString()
    length = len(feature) and len(feature) - 1 - (1 if len(feature) < 130 else 2)
    assert unpack_varints(feature[len(feature) - length :]).tolist() == list(numbers)


@pytest.mark.parametrize("packed", [b"\x80", b"\x01\xff", b"\xff" * 11 + b"\x01"])
def test_packed_integers_that_are_damaged(packed):
    with pytest.raises(CheckpointError, match="packed number"):
        unpack_varints(packed)


def test_integers_that_are_not_packed_are_read(tmp_path):
    """Old writers repeat the field for each number; 0x08 is its key."""
    lists = []
    for name, values in (("input_ids", [101, 102]), ("input_mask", [1, 1]), ("segment_ids", [0, 0])):
        integers = b"".join(b"\x08" + bytes([value]) for value in values)
        feature = b"\x1a" + bytes([len(integers)]) + integers
        entry = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12" + bytes([len(feature)]) + feature
        lists.append(b"\x0a" + bytes([len(entry)]) + entry)
    content = b"\x0a" + bytes([len(b"".join(lists))]) + b"".join(lists)
    path = write(tmp_path / "old.tfrecord", [content])
    (record,) = read_records(str(path), lambda place: None)
    ids, first = parse_example(record, 8)
    assert (ids.tolist(), first) == ([101, 102], 2)
    assert isinstance(record, Record)
