"""Bundles that lie with valid checksums: each check of the reference's list, one test or case each."""

import time
import tracemalloc

import numpy as np
import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.formats.tf1_bundle import read_bundle
from support import bundle_writer
from support.bundle_writer import BundleWriter, block_with_trailer, encode_block, encode_table, ordered_slice_key

HEADER = (b"", bundle_writer.encode_header())


def honest():
    """A matrix, a vector, and a variable of two parts."""
    writer = BundleWriter()
    writer.add("a", np.arange(15, dtype=np.float32).reshape(3, 5))
    writer.add("b", np.arange(7, dtype=np.float32))
    writer.add_partitioned("p", np.arange(22, dtype=np.float32).reshape(11, 2), (0, 4))
    return writer


FIRST, SECOND = ((0, 4), (0, 2)), ((4, 7), (0, 2))
SLICE = ordered_slice_key(b"p", FIRST)


def refused(folder, message, writer=None, **options):
    """Assert that the bundle is refused, when opened or when read, by an error that names a file of it."""
    (writer or honest()).write(folder / "m", **options)
    with pytest.raises(CheckpointError, match=message) as error:
        [tensor.read() for tensor in read_bundle(folder / "m")[0].values()]
    assert str(error.value).startswith(str(folder / "m"))


RECORD_LIES = {
    "a wider dtype": (b"a", {"dtype": 2}, "60 bytes cannot hold"),
    "a narrower dtype": (b"a", {"dtype": 19}, "60 bytes cannot hold"),
    "another shape": (b"a", {"shape": (3, 7)}, "60 bytes cannot hold"),
    "a huge shape": (b"a", {"shape": (2**62, 2**62)}, "cannot hold"),
    "a shape that overflows to the right size": (b"a", {"shape": (2**62 + 15,)}, "cannot hold"),
    "a huge empty shape": (b"a", {"shape": (0, 2**62), "size": 0}, "cannot hold"),
    "a negative axis": (b"a", {"shape": (-3, -5)}, "an axis of -3"),
    "too many axes": (b"a", {"shape": (3, 5, *[1] * 7)}, "more than 8 axes"),
    "an unknown rank": (b"a", {"extra": bundle_writer.bytes_field(2, bundle_writer.number_field(3, 1))},
                        "unknown rank"),
    "a shard behind the last": (b"a", {"shard": 1}, "in shard 1 of 1"),
    "a negative shard": (b"a", {"shard": -1}, "in shard -1 of 1"),
    "a negative offset": (b"a", {"offset": -4}, "truncated|damaged"),
    "an offset of 2 to the 62": (b"a", {"offset": 2**62}, "truncated"),
    "an offset that wraps around": (b"a", {"offset": 2**63 - 8}, "truncated"),
    "a size that is larger": (b"a", {"size": 64}, "64 bytes cannot hold"),
    "a negative size": (b"a", {"size": -60}, "-60 bytes cannot hold"),
    "bytes of another tensor": (b"b", {"offset": 0, "crc": 0}, "overlap"),
    "bytes of another tensor, partly": (b"b", {"offset": 40}, "overlap"),
    "another checksum": (b"a", {"crc": 12345}, "the checksum of a does not match"),
    "a size that is bytes": (b"a", {"extra": bundle_writer.bytes_field(5, b"60")}, "must be a number"),
    "a shape that is a number": (b"a", {"extra": bundle_writer.number_field(2, 3)}, "must be a message"),
    "a group": (b"a", {"extra": b"\x0b"}, "wire type 3"),
    "a field that runs out": (b"a", {"extra": bundle_writer.varint(9 << 3 | 2) + b"\x40"}, "ends behind the message"),
    "a number that runs out": (b"a", {"extra": b"\x20\xff"}, "ends behind the data"),
    "a number without end": (b"a", {"extra": b"\x20" + b"\xff" * 12}, "more than 10 bytes"),
    "slices that are missing": (b"a", {"slices": (((0, 3), (0, 5)),)}, "of a is missing"),
    "a slice that is listed twice": (b"p", {"slices": (FIRST, FIRST)}, "cannot make"),
    "a slice too few": (b"p", {"slices": (FIRST,)}, "do not add up"),
    "a slice too many": (b"p", {"slices": (FIRST, SECOND, ((2, 2), (0, 2)))}, "is missing"),
    "slices of a larger whole": (b"p", {"shape": (12, 2)}, "do not add up"),
    "slices that leave the whole": (b"p", {"shape": (10, 2)}, "leaves"),
    "slices of another rank": (b"p", {"shape": (11, 2, 1)}, "has 2 axes"),
    "slices of a huge empty whole": (b"p", {"shape": (0, 2**62)}, "cannot make"),
    "a slice with slices": (SLICE, {"slices": (FIRST,)}, "another shape or dtype"),
    "a slice of another dtype": (SLICE, {"dtype": 3}, "another shape or dtype"),
    "a slice of another shape": (SLICE, {"shape": (2, 4)}, "another shape or dtype"),
    "a slice over its neighbour": (SLICE, {"offset": 100}, "overlap"),
    "a slice with another checksum": (SLICE, {"crc": 1}, "the checksum of p does not match"),
}  # fmt: skip


@pytest.mark.parametrize("lie", RECORD_LIES)
def test_a_record_that_lies_is_refused(lie, tmp_path):
    key, changes, message = RECORD_LIES[lie]
    writer = honest()
    for field, value in changes.items():
        setattr(writer.records[key], field, value)
    refused(tmp_path, message, writer)


def test_slices_that_overlap_and_leave_a_hole_are_refused(tmp_path):
    writer = honest()
    del writer.records[SLICE]
    extents = ((3, 4), (0, 2))
    writer.add("part", np.ones((4, 2), np.float32))
    writer.records[ordered_slice_key(b"p", extents)] = writer.records.pop(b"part")
    writer.records[b"p"].slices = (extents, SECOND)
    refused(tmp_path, "overlap and leave a hole", writer)


def test_a_name_that_is_not_text_is_refused(tmp_path):
    writer = honest()
    writer.records[b"a\xff"] = writer.records.pop(b"a")
    refused(tmp_path, "is not UTF-8", writer)


# The header ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (bundle_writer.encode_header(shards=0), "0 shards"),
        (bundle_writer.encode_header(shards=-1), "-1 shards"),
        (bundle_writer.encode_header(shards=4097), "4097 shards"),
        (bundle_writer.encode_header(shards=2**40), "shards"),
        (bundle_writer.encode_header(endianness=1), "big-endian machine, which is not supported"),
        (bundle_writer.bytes_field(1, bundle_writer.bytes_field(1, b"meta")), "format V1, which is not supported"),
        (b"", "0 shards"),
        (b"\xff", "truncated"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(header, message, tmp_path):
    writer = honest()
    writer.header = header
    refused(tmp_path, message, writer)


def test_more_shards_than_files_are_refused(tmp_path):
    writer = honest()
    writer.header = bundle_writer.encode_header(shards=3)
    refused(tmp_path, "data-00000-of-00003: cannot be read", writer)


def test_an_index_without_header_is_refused(tmp_path):
    refused(tmp_path, "no bundle header", index=encode_table(honest().pairs()[1:]))


def test_an_index_without_records_is_refused(tmp_path):
    refused(tmp_path, "no bundle header", index=bundle_writer.table_of_blocks([]))


def test_a_second_header_is_refused(tmp_path):
    refused(tmp_path, "keys out of order", index=encode_table([HEADER, *honest().pairs()]))


def test_a_single_file_of_format_v1_is_refused_by_that_name(tmp_path):
    meta = bundle_writer.bytes_field(1, bundle_writer.bytes_field(1, b"tensors"))
    (tmp_path / "model.ckpt-5").write_bytes(encode_table([(b"", meta), (b"\x00x", b"")]))
    with pytest.raises(CheckpointError, match="format V1, which is not supported"):
        open_checkpoint(tmp_path / "model.ckpt-5")


# The table ----------------------------------------------------------------------------------------------------------


def test_an_index_that_is_too_short_is_refused(tmp_path):
    refused(tmp_path, "truncated: 47 bytes", index=bytes(47))


def test_another_magic_number_is_refused(tmp_path):
    table = bytearray(encode_table(honest().pairs()))
    table[-1] ^= 1
    refused(tmp_path, "not a TensorFlow checkpoint index", index=bytes(table))


def test_compressed_blocks_are_refused_by_that_name(tmp_path):
    refused(tmp_path, r"compressed blocks \(type 1\) are not supported", kind=bundle_writer.SNAPPY)


def test_a_block_with_another_checksum_is_refused(tmp_path):
    table = bytearray(encode_table(honest().pairs()))
    table[20] ^= 1
    refused(tmp_path, "the checksum of the block at 0 does not match", index=bytes(table))


@pytest.mark.parametrize("handle", [(0, 2**62), (2**62, 10), (2**64 - 10, 10), (0, 10**6)])
def test_a_block_behind_the_end_of_the_file_is_refused(handle, tmp_path):
    numbers = b"".join(bundle_writer.varint(number) for number in handle)
    block = block_with_trailer(encode_block(honest().pairs()))
    index = bundle_writer.table_of_blocks([(b"z", block)], handles=[(b"z", numbers)])
    refused(tmp_path, "ends behind the file", index=index)


@pytest.mark.parametrize("handle", [b"", b"\x00", b"\xff" * 12])
def test_a_handle_that_is_no_handle_is_refused(handle, tmp_path):
    block = block_with_trailer(encode_block(honest().pairs()))
    index = bundle_writer.table_of_blocks([(b"z", block)], handles=[(b"z", handle)])
    refused(tmp_path, "a number ", index=index)


def test_a_footer_that_points_behind_the_file_is_refused(tmp_path):
    table = encode_table(honest().pairs())[:-48] + bundle_writer.encode_footer((0, 8), (2**60, 2**60))
    refused(tmp_path, "ends behind the file", index=table)


@pytest.mark.parametrize("count", [1000, 2**32 - 1])
def test_more_restart_points_than_fit_are_refused(count, tmp_path):
    block = block_with_trailer(encode_block(honest().pairs(), restart_count=count))
    refused(tmp_path, f"{count} restart points", index=bundle_writer.table_of_blocks([(b"z", block)]))


RESTARTS = bytes.fromhex("00000000 01000000")


@pytest.mark.parametrize(
    "record",
    [
        b"\x05\x01\x00a",  # shares 5 bytes with a key of none
        b"\x00\x7f\x00a",  # 127 bytes of key, one there
        b"\x00\x01\x7fa",  # 127 bytes of value, none there
        b"\x00\xff\xff\xff\xff\x7f\x00a",  # 2**35 bytes of key
        b"\x00\x01",  # ends within the lengths
    ],
)
def test_a_record_that_leaves_its_block_is_refused(record, tmp_path):
    block = block_with_trailer(encode_block([HEADER])[: -len(RESTARTS)] + record + RESTARTS)
    refused(tmp_path, "ends behind", index=bundle_writer.table_of_blocks([(b"z", block)]))


def test_a_block_without_restart_points_is_refused(tmp_path):
    index = bundle_writer.table_of_blocks([(b"z", block_with_trailer(b"\0\0"))])
    refused(tmp_path, "a block of 2 bytes", index=index)


def test_keys_out_of_order_are_refused(tmp_path):
    pairs = honest().pairs()
    refused(tmp_path, "keys out of order", index=encode_table([pairs[0], *pairs[:0:-1]]))


def test_a_key_twice_is_refused(tmp_path):
    pairs = honest().pairs()
    refused(tmp_path, "keys out of order", index=encode_table([*pairs, pairs[-1]]))


# Small files that ask for much --------------------------------------------------------------------------------------


def refused_cheaply(folder, index, message):
    """Assert that an index is refused in little time and memory."""
    (folder / "m.index").write_bytes(index)
    tracemalloc.start()
    begin = time.monotonic()
    with pytest.raises(CheckpointError, match=message):
        read_bundle(folder / "m")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - begin < 10
    assert peak < 4 * len(index) + (8 << 20)


def test_long_keys_that_share_their_start_do_not_fill_the_memory(tmp_path):
    """Each record has a key of 60004 bytes and takes 9."""
    first = encode_block([HEADER, (b"k" * 60_000, b"")])[: -len(RESTARTS)]
    lengths = bundle_writer.varint(60_000) + b"\x04\x00"
    records = b"".join(lengths + number.to_bytes(4, "big") for number in range(5000))
    index = bundle_writer.table_of_blocks([(b"z", block_with_trailer(first + records + RESTARTS))])
    refused_cheaply(tmp_path, index, "keys of more than 16 times the file's size")


def test_a_block_that_is_listed_again_and_again_is_read_once(tmp_path):
    block = block_with_trailer(encode_block([HEADER]))
    filler = block_with_trailer(bytes(100_000) + b"\xa8\x61\x00\x00")  # 25000 restart points and no record
    handle = bundle_writer.varint(len(block)) + bundle_writer.varint(len(filler) - 5)
    first = bundle_writer.varint(0) + bundle_writer.varint(len(block) - 5)
    handles = [(b"a", first), *((number.to_bytes(4, "big"), handle) for number in range(5000))]
    index = bundle_writer.table_of_blocks([(b"a", block), (b"b", filler)], handles=handles)
    refused_cheaply(tmp_path, index, "begins before the end of the one before")


def test_a_million_slices_are_refused(tmp_path):
    record = bundle_writer.Record(1, (1 << 20,), extra=b"\x3a\x02\x0a\x00" * 300_000)
    index = encode_table([HEADER, (b"p", record.encode())])
    refused_cheaply(tmp_path, index, "more than 4096 slices")


def test_a_million_axes_are_refused(tmp_path):
    record = bundle_writer.Record(1, (1,) * 300_000)
    refused_cheaply(tmp_path, encode_table([HEADER, (b"p", record.encode())]), "more than 8 axes")


def test_an_index_of_absurd_size_is_refused_unread(tmp_path):
    with open(tmp_path / "m.index", "wb") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(CheckpointError, match="an index has at most 8388608"):
        read_bundle(tmp_path / "m")
