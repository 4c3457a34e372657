"""Writing TensorFlow bundles: byte for byte what TensorFlow wrote, and readable again whatever is in them.

That TensorFlow itself opens them is tested in tests/reference/test_tensorflow_reads_ours_tf.py.
"""

import io

import google_crc32c
import ml_dtypes
import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.atomic import write_files
from electra_common.weights.formats.bundle_paths import find_prefix
from electra_common.weights.formats.leveldb_table import read_table
from electra_common.weights.formats.leveldb_table_writer import TableWriter, mask_checksum
from electra_common.weights.formats.protobuf import (
    bytes_field,
    fields,
    fixed32_field,
    integer_field,
    read_varint,
    signed64,
    write_varint,
)
from electra_common.weights.formats.tf1_bundle import read_bundle
from electra_common.weights.formats.tf1_bundle_writer import bundle_files
from electra_common.weights.tensors import StoredTensor
from support import bundle_writer
from support.fixtures import GOOGLE
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored


def arrays_of_all_kinds():
    arrays = random_arrays({"scalar": (), "empty": (0, 3), "a/vector": (7,), "a/matrix": (3, 5), "b/cube": (2, 3, 5)})
    for number, dtype in enumerate(bundle_writer.DTYPE_NUMBERS):
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        arrays[f"kinds/{dtype}"] = (np.arange(11 + number) % 2).astype(kind)
    arrays["global_step"] = np.array(766_000_000_000, np.int64)
    return arrays


@pytest.fixture
def written(tmp_path):
    """Write arrays with the library's writer; returns the prefix."""

    def make(arrays, name="model.ckpt-7", **options):
        write_files(tmp_path, bundle_files(name, stored(arrays), **options))
        return tmp_path / name

    return make


# The same bytes as TensorFlow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["init", "trained"])
def test_googles_checkpoints_come_out_byte_for_byte(name, tmp_path):
    """The files of the folder were written by TensorFlow's Saver; ours are the same, slots and step included."""
    source = GOOGLE / name
    prefix = find_prefix(source)
    write_files(tmp_path, bundle_files(prefix.name, read_bundle(prefix)[0]))
    written = sorted(item.name for item in tmp_path.iterdir())
    assert written == sorted(item.name for item in source.iterdir())
    for item in written:
        assert (tmp_path / item).read_bytes() == (source / item).read_bytes(), item


def test_an_independent_writer_makes_the_same_data_and_records(written, tmp_path):
    arrays = arrays_of_all_kinds()
    prefix = written(arrays)
    other = bundle_writer.BundleWriter()
    for name in sorted(arrays):
        other.add(name, arrays[name])
    assert prefix.with_name("model.ckpt-7.data-00000-of-00001").read_bytes() == bytes(other.data[0])
    index = prefix.with_name("model.ckpt-7.index")
    assert list(read_table(index, index.read_bytes())) == other.pairs()


# Reading back -------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back_bit_for_bit(written):
    arrays = arrays_of_all_kinds()
    tensors, skipped = read_bundle(written(arrays))
    assert_same_bytes(arrays, read_all(tensors))
    assert skipped == ()


@pytest.mark.parametrize("arrays", [{}, {"empty": np.zeros((0, 3), np.float32)}, {"scalar": np.float64(3.5)}])
def test_a_bundle_of_nearly_nothing_is_read_back(arrays, written):
    assert_same_bytes(arrays, read_all(read_bundle(written(arrays))[0]))


def test_an_index_of_many_blocks_is_read_back(written):
    arrays = {f"layer_{index:05d}/with/a/rather/long/name/kernel": np.float32(index) for index in range(7001)}
    prefix = written(arrays)
    assert prefix.with_name(f"{prefix.name}.index").stat().st_size > 262144
    assert_same_bytes(arrays, read_all(read_bundle(prefix)[0]))


def test_names_are_sorted_by_their_bytes_and_need_not_be_ascii(written):
    names = ["a/b", "a", "B", "a.b", "ä", "z", "\U0001f600", "\uffee"]
    arrays = {name: np.full(3, number, np.int16) for number, name in enumerate(names)}
    assert list(read_bundle(written(arrays))[0]) == sorted(names, key=str.encode)


def test_an_array_that_is_not_contiguous_is_written_in_row_order(written):
    array = np.arange(15, dtype=np.float32).reshape(3, 5).T
    np.testing.assert_array_equal(read_bundle(written({"x": array}))[0]["x"].read(), array)


def test_big_endian_arrays_are_written_little_endian(written):
    array = np.arange(5, dtype=">f4")
    np.testing.assert_array_equal(read_bundle(written({"x": array}))[0]["x"].read(), np.arange(5))


def test_the_folder_says_which_checkpoint_it_holds(written):
    prefix = written({"x": np.ones(3)})
    assert find_prefix(prefix.parent) == prefix
    assert (prefix.parent / "checkpoint").read_text().splitlines() == [
        'model_checkpoint_path: "model.ckpt-7"',
        'all_model_checkpoint_paths: "model.ckpt-7"',
    ]


def test_the_same_tensors_give_the_same_bytes_in_whatever_order(written, tmp_path):
    arrays = arrays_of_all_kinds()
    written(arrays)
    first = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    written(dict(reversed(arrays.items())))
    assert first == {item.name: item.read_bytes() for item in tmp_path.iterdir()}


# How it is written --------------------------------------------------------------------------------------------------


def test_the_files_come_in_the_order_that_makes_the_last_one_say_they_are_there():
    names = ["m.data-00000-of-00001", "m.index", "checkpoint"]
    assert list(bundle_files("m", {})) == names


def test_tensors_are_read_one_at_a_time_and_only_when_the_data_is_written():
    alive = []

    class Watched(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def read():
        array = np.ones((3, 5), np.float32).view(Watched)
        alive.append(id(array))
        assert len(alive) == 1
        return array

    tensors = {name: StoredTensor(name, (3, 5), "float32", read) for name in "abcde"}
    files = bundle_files("m", tensors)
    assert alive == []
    files["m.data-00000-of-00001"](io.BytesIO())
    assert alive == []


def test_progress_is_told_the_bytes_of_each_tensor(written):
    told = []
    written(random_arrays({"a": (3, 5), "b": (7,), "c": ()}), progress=told.append)
    assert told == [60, 28, 4]


def test_the_index_cannot_be_written_before_the_data():
    with pytest.raises(RuntimeError, match="data file must be written before"):
        bundle_files("m", {})["m.index"](io.BytesIO())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "../m", "m\n", 'm"', "checkpoint", "m\x00", "C:m"])
def test_a_prefix_that_is_no_plain_file_name_is_refused(name):
    with pytest.raises(ValueError, match="must be a plain file name"):
        bundle_files(name, {})


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "message"),
    [
        ("", (3,), "float32", "cannot be the name"),
        ("\x00a", (3,), "float32", "cannot be the name"),
        ("x", (1,) * 9, "float32", "x: 9 axes, at most 8"),
        ("x", (3,), "float8_e4m3", "x: a TensorFlow checkpoint cannot hold float8_e4m3"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_anything_is_written(name, shape, dtype, message):
    with pytest.raises(CheckpointError, match=message):
        bundle_files("m", {name: StoredTensor(name, shape, dtype, lambda: pytest.fail("read"))})


# The table and the protocol buffers ---------------------------------------------------------------------------------


def table(pairs, **options):
    writer = TableWriter(**options)
    for key, value in pairs:
        writer.add(key, value)
    return writer.finish()


@pytest.mark.parametrize("block_bytes", [1, 30, 100, 1000, 262144])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 33, 200])
def test_a_table_of_any_size_is_read_back(block_bytes, count, tmp_path):
    random = np.random.default_rng(count)
    keys = sorted({bytes(random.integers(0, 256, random.integers(1, 9), np.uint8)) for _ in range(count)})
    pairs = [(key, key[::-1] * (index % 5)) for index, key in enumerate(keys)]
    assert list(read_table(tmp_path, table(pairs, block_bytes=block_bytes))) == pairs


def test_keys_of_neighbouring_blocks_are_told_apart(tmp_path):
    """Blocks are listed under keys between their own and the next: prefixes, neighbours and ff leave no room."""
    keys = [b"", b"a", b"aa", b"ab", b"ad", b"b", b"b\xff", b"b\xff\xff", b"c", b"\xff", b"\xff\xff"]
    pairs = [(key, b"value") for key in keys]
    assert list(read_table(tmp_path, table(pairs, block_bytes=1))) == pairs


def test_one_block_is_what_the_independent_writer_makes_of_it():
    """But for the list of blocks, in which that writer enters the last key and TensorFlow a shorter one."""
    pairs = [(b"", b"header"), *((b"layer_%02d/kernel" % index, bytes([index])) for index in range(40))]
    block = bundle_writer.block_with_trailer(bundle_writer.encode_block(pairs))
    assert table(pairs).startswith(block)


def test_records_out_of_order_are_refused():
    writer = TableWriter()
    writer.add(b"b", b"")
    for key in (b"b", b"a", b""):
        with pytest.raises(ValueError, match="does not come after"):
            writer.add(key, b"")


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 31, (1 << 64) - 1, -1, -(1 << 63)])
def test_numbers_are_written_as_the_independent_writer_does(value):
    assert write_varint(value) == bundle_writer.varint(value)
    assert integer_field(5, value) == bundle_writer.number_field(5, value)
    found, end = read_varint(write_varint(value), 0)
    assert (found if value >= 0 else signed64(found)) == value
    assert end == len(write_varint(value))


def test_fields_are_written_as_the_independent_writer_does():
    assert bytes_field(2, b"") == bundle_writer.bytes_field(2, b"")
    assert bytes_field(700, b"x" * 300) == bundle_writer.bytes_field(700, b"x" * 300)
    assert fixed32_field(6, 0xDEADBEEF) == bundle_writer.fixed32_field(6, 0xDEADBEEF)
    assert fixed32_field(6, 0) == b""
    assert list(fields(fixed32_field(6, 7) + bytes_field(1, b"ab"))) == [(6, 5, 7), (1, 2, b"ab")]


@pytest.mark.parametrize("data", [b"", b"123456789", b"\x00" * 31])
def test_checksums_are_masked_as_the_independent_writer_does(data):
    assert mask_checksum(google_crc32c.value(data)) == bundle_writer.masked_crc(data)
