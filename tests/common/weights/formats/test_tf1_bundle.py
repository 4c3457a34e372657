"""TensorFlow bundles: Google's own, and ones made by hand with everything that the format allows."""

import ml_dtypes
import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats.leveldb_table import unmask_checksum
from electra_common.weights.formats.ordered_code import signed_number, slice_key
from electra_common.weights.formats.tf1_bundle import read_bundle
from support import bundle_writer
from support.bundle_writer import BundleWriter, Record, write_bundle
from support.fixtures import GOOGLE
from support.tiny_networks import assert_same_bytes, random_arrays, read_all

# Worked examples of the reference, verified there against TensorFlow.
SIGNED = {
    0: "80", -1: "7f", 7: "87", 63: "bf", 64: "c040", -64: "40", -65: "3fbf", 334: "c14e", 667: "c29b", 333: "c14d",
    8191: "dfff", 8192: "e02000", -8193: "1fdfff", 10000: "e02710", 1000000: "ef4240",
}  # fmt: skip
FIRST_PART = "00 702f77 0001 0102 80 c14e 80 87"


@pytest.mark.parametrize("encode", [signed_number, bundle_writer.ordered_signed])
@pytest.mark.parametrize("value", SIGNED)
def test_a_signed_number_is_encoded_as_tensorflow_does(encode, value):
    assert encode(value).hex() == SIGNED[value]


@pytest.mark.parametrize(
    "value", [sign * (1 << bits) - less for bits in range(63) for sign in (1, -1) for less in (0, 1)]
)
def test_reader_and_writer_agree_on_numbers_of_every_length(value):
    assert signed_number(value) == bundle_writer.ordered_signed(value)


@pytest.mark.parametrize("encode", [slice_key, bundle_writer.ordered_slice_key])
def test_the_key_of_a_slice_is_that_of_tensorflow(encode):
    assert encode(b"p/w", ((0, 334), (0, 7))) == bytes.fromhex(FIRST_PART)


@pytest.mark.parametrize("encode", [slice_key, bundle_writer.ordered_slice_key])
def test_special_bytes_of_a_name_are_escaped(encode):
    assert encode(b"a\x00b\xff", ()).hex() == "00" + "6100ff62ff00" + "0001" + "00"


def test_the_checksum_of_the_reference_comes_out():
    """crc32c("123456789") = e3069283; rotated right by 15 it is 2507c60d, plus a282ead8."""
    masked = bundle_writer.masked_crc(b"123456789")
    assert masked == (0x2507C60D + 0xA282EAD8) & 0xFFFFFFFF
    assert unmask_checksum(masked) == 0xE3069283


def test_a_whole_small_index_is_what_the_format_says():
    """One header record, written out byte by byte."""
    header = bytes.fromhex("0801 1a02 0801")
    block = bytes.fromhex("00 00 06") + header + bytes.fromhex("00000000 01000000")
    table = bundle_writer.encode_table([(b"", bundle_writer.encode_header())])
    assert table[: len(block) + 1] == block + b"\0"
    assert table.endswith(bytes.fromhex("57fb808b247547db"))


# Reading ------------------------------------------------------------------------------------------------------------


def test_a_written_bundle_is_read_exactly(tmp_path):
    arrays = random_arrays({"scalar": (), "empty": (0, 3), "a/vector": (7,), "a/matrix": (3, 5), "b/cube": (2, 3, 5)})
    for number, dtype in enumerate(bundle_writer.DTYPE_NUMBERS):
        if dtype != "bfloat16":
            arrays[f"kinds/{dtype}"] = (np.arange(11 + number) % 2).astype(dtype)
    write_bundle(tmp_path / "m", arrays)
    tensors, skipped = read_bundle(tmp_path / "m")
    assert_same_bytes(arrays, read_all(tensors))
    assert skipped == ()


def test_bfloat16_is_read(tmp_path):
    array = np.array([1.5, -2, 0.25], ml_dtypes.bfloat16)
    write_bundle(tmp_path / "m", {"x": array})
    np.testing.assert_array_equal(read_bundle(tmp_path / "m")[0]["x"].read(), array)


def test_an_index_of_many_blocks_is_read(tmp_path):
    arrays = random_arrays({f"layer_{index:03d}/kernel": (index % 5, 3) for index in range(200)})
    write_bundle(tmp_path / "m", arrays, block_bytes=100)
    assert_same_bytes(arrays, read_all(read_bundle(tmp_path / "m")[0]))


def test_several_shards_are_read(tmp_path):
    arrays = random_arrays({name: (index + 2, 3) for index, name in enumerate("abcdefg")})
    writer = BundleWriter(shards=3)
    for index, (name, array) in enumerate(arrays.items()):
        writer.add(name, array, shard=index % 3)
    writer.write(tmp_path / "m")
    assert_same_bytes(arrays, read_all(read_bundle(tmp_path / "m")[0]))


@pytest.mark.parametrize("starts", [(0,), (0, 334, 667), (0, 1, 2, 3, 999)])
def test_a_partitioned_variable_is_put_together(tmp_path, starts):
    arrays = random_arrays({"p/w": (1000, 7), "p/b": (1000,), "other": (3,)})
    writer = BundleWriter(shards=2)
    writer.add_partitioned("p/w", arrays["p/w"], starts, shards=(1, 0))
    writer.add_partitioned("p/b", arrays["p/b"], starts)
    writer.add("other", arrays["other"])
    writer.write(tmp_path / "m")
    assert_same_bytes(arrays, read_all(read_bundle(tmp_path / "m")[0]))


def test_a_slice_of_a_whole_axis_is_understood(tmp_path):
    """Start 0 and length -1 stand for all of an axis."""
    array = random_arrays({"w": (4, 3)})["w"]
    writer = BundleWriter()
    halves = [((0, 2), (0, -1)), ((2, 2), (0, -1))]
    writer.records[b"w"] = Record(1, (4, 3), slices=tuple(halves))
    for extents, part in zip(halves, (array[:2], array[2:]), strict=True):
        writer.add("part", part)
        writer.records[bundle_writer.ordered_slice_key(b"w", extents)] = writer.records.pop(b"part")
    writer.write(tmp_path / "m")
    np.testing.assert_array_equal(read_bundle(tmp_path / "m")[0]["w"].read(), array)


def test_text_is_skipped_by_name(tmp_path):
    writer = BundleWriter()
    writer.add("weight", np.ones((2, 3), np.float32))
    writer.records[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = Record(bundle_writer.STRING_DTYPE, (), 0, 0, 9999)
    writer.write(tmp_path / "m")
    tensors, skipped = read_bundle(tmp_path / "m")
    assert (list(tensors), skipped) == (["weight"], ("_CHECKPOINTABLE_OBJECT_GRAPH",))


def test_unknown_fields_are_skipped(tmp_path):
    writer = BundleWriter()
    writer.add("x", np.arange(3))
    writer.records[b"x"].extra = bundle_writer.number_field(99, 5) + bundle_writer.bytes_field(77, b"later")
    writer.write(tmp_path / "m")
    np.testing.assert_array_equal(read_bundle(tmp_path / "m")[0]["x"].read(), np.arange(3))


@pytest.mark.parametrize("moment", ["init/model.ckpt-0", "trained/model.ckpt-6"])
def test_googles_own_bundle_is_read_with_all_checksums(moment):
    tensors, skipped = read_bundle(GOOGLE / moment)
    assert skipped == ()
    assert tensors["electra/embeddings/word_embeddings"].shape == (120, 32)
    assert int(tensors["global_step"].read()) == int(moment.rsplit("-", 1)[1])
    assert all(np.isfinite(tensor.read()).all() for tensor in tensors.values())


def test_a_copy_of_googles_bundle_by_our_writer_is_read_the_same(tmp_path):
    """Ties the writer of these tests to a file that TensorFlow wrote."""
    original = read_all(read_bundle(GOOGLE / "init" / "model.ckpt-0")[0])
    write_bundle(tmp_path / "m", original)
    assert_same_bytes(original, read_all(read_bundle(tmp_path / "m")[0]))


def test_damaged_data_is_found_when_it_is_read(tmp_path):
    write_bundle(tmp_path / "m", {"a": np.ones(3), "b": np.ones(5)})
    data = tmp_path / "m.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[-1] ^= 0x10
    data.write_bytes(content)
    tensors, _ = read_bundle(tmp_path / "m")
    assert tensors["a"].read().sum() == 3
    with pytest.raises(CheckpointError, match="the checksum of b does not match"):
        tensors["b"].read()


def test_the_checksums_of_tensors_can_be_left_unread(tmp_path):
    writer = BundleWriter()
    writer.add("x", np.arange(5))
    writer.records[b"x"].crc ^= 1
    writer.write(tmp_path / "m")
    np.testing.assert_array_equal(read_bundle(tmp_path / "m", verify=False)[0]["x"].read(), np.arange(5))


def test_an_absent_data_file_is_refused(tmp_path):
    write_bundle(tmp_path / "m", {"a": np.ones(3)})
    (tmp_path / "m.data-00000-of-00001").unlink()
    with pytest.raises(CheckpointError, match=r"m\.data-00000-of-00001: cannot be read: No such file"):
        read_bundle(tmp_path / "m")


def test_a_truncated_data_file_is_refused_before_anything_is_read(tmp_path):
    write_bundle(tmp_path / "m", {"a": np.ones(3), "b": np.ones(5)})
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated: b ends at byte 64, the file has 63"):
        read_bundle(tmp_path / "m")
