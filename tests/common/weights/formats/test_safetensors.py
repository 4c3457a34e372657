"""safetensors files: what is read is what is there, what is written opens elsewhere, lies are refused."""

import io
import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from electra_common import CheckpointError
from electra_common.weights.formats.safetensors import read_safetensors, write_safetensors
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored


def arrays_of_all_kinds():
    arrays = random_arrays({"scalar": (), "empty": (0, 3), "vector": (7,), "matrix": (3, 5), "cube": (2, 3, 5)})
    for dtype in (
        "float64",
        "float16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint64",
        "uint32",
        "uint16",
        "uint8",
        "bool",
    ):
        arrays[f"of {dtype}"] = (np.arange(11) % 2).astype(dtype)
    return arrays


def entry(dtype="F32", shape=(3, 5), offsets=(0, 60)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def file_of(tmp_path):
    """Write a file of a table (an object, or raw bytes) and so many bytes of data."""

    def make(table, data=bytes(60), length=None):
        text = table if isinstance(table, bytes) else json.dumps(table).encode()
        path = tmp_path / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
        return path

    return make


@pytest.fixture
def written(tmp_path):
    """Write arrays with the library's writer."""

    def make(arrays, metadata=None):
        path = tmp_path / "model.safetensors"
        with open(path, "wb") as stream:
            write_safetensors(stream, stored(arrays), metadata or {})
        return path

    return make


# Reading ------------------------------------------------------------------------------------------------------------


def test_a_file_of_the_safetensors_library_is_read_exactly(tmp_path):
    arrays = arrays_of_all_kinds()
    safetensors.numpy.save_file(arrays, tmp_path / "file", metadata={"format": "np", "note": "ä"})
    tensors, metadata = read_safetensors(tmp_path / "file")
    assert_same_bytes(arrays, read_all(tensors))
    assert metadata == {"format": "np", "note": "ä"}


def test_bfloat16_is_read(file_of):
    values = np.array([1.5, -2.0, 0.25], ml_dtypes.bfloat16)
    tensors, _ = read_safetensors(file_of({"x": entry("BF16", (3,), (0, 6))}, values.tobytes()))
    assert tensors["x"].dtype == "bfloat16"
    np.testing.assert_array_equal(tensors["x"].read(), values)


def test_unaligned_data_is_read(file_of):
    table = {"byte": entry("U8", (1,), (0, 1)), "x": entry("F32", (3,), (1, 13))}
    values = np.array([1.5, -2.25, 3], "<f4")
    tensors, _ = read_safetensors(file_of(table, b"\x07" + values.tobytes()))
    np.testing.assert_array_equal(tensors["x"].read(), values)


def test_arrays_may_be_changed_without_changing_the_file(file_of):
    path = file_of({"x": entry()})
    before = path.read_bytes()
    read_safetensors(path)[0]["x"].read()[:] = 7
    assert path.read_bytes() == before


def test_a_file_without_tensors_is_read(file_of):
    assert read_safetensors(file_of({}, b"")) == ({}, {})


LIES = {
    "bytes that are no table": (b"\xff\xfe{}", "table is damaged"),
    "JSON that stops": (b'{"x": ', "table is damaged"),
    "a list": (b"[]", "expected a JSON object"),
    "a name twice": (b'{"x": {}, "x": {}}', "'x' stands twice"),
    "deep nesting": (b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
    "metadata that is a list": ({"__metadata__": []}, "__metadata__ must hold strings only"),
    "metadata of numbers": ({"__metadata__": {"epoch": 3}}, "__metadata__ must hold strings only"),
    "an entry that is a list": ({"x": []}, "x: expected dtype, shape and data_offsets"),
    "an entry without dtype": ({"x": {"shape": [], "data_offsets": [0, 60]}}, "x: expected dtype"),
    "an entry with more": ({"x": {**entry(), "stride": 1}}, "x: expected dtype"),
    "an unknown dtype": ({"x": entry("F8_E4M3")}, "x: dtype 'F8_E4M3' is not known"),
    "a dtype that is a list": ({"x": entry(["F32"])}, "x: dtype"),
    "a negative axis": ({"x": entry(shape=(-3, -5))}, "whole numbers"),
    "an axis that is a fraction": ({"x": entry(shape=(3.0, 5))}, "whole numbers"),
    "an axis that is true": ({"x": entry(shape=(True, 15))}, "whole numbers"),
    "a shape that is text": ({"x": {**entry(), "shape": "35"}}, "whole numbers"),
    "too many axes": ({"x": entry(shape=(15, *[1] * 8))}, "whole numbers"),
    "another shape": ({"x": entry(shape=(3, 7))}, "60 bytes cannot hold"),
    "a huge shape": ({"x": entry(shape=(2**62, 2**62))}, "cannot hold"),
    "a shape that overflows to the right size": ({"x": entry(shape=(2**62 + 15,))}, "cannot hold"),
    "a huge empty shape": ({"x": entry(shape=(0, 2**62), offsets=(0, 0)), "y": entry()}, "0 bytes cannot hold"),
    "three offsets": ({"x": entry(offsets=(0, 30, 60))}, "whole numbers"),
    "offsets in the wrong order": ({"x": entry(offsets=(60, 0))}, "cannot hold"),
    "a negative offset": ({"x": entry(offsets=(-60, 0))}, "whole numbers"),
    "an offset of 2 to the 63": ({"x": entry(offsets=(2**63 - 60, 2**63))}, "whole numbers"),
    "a gap at the start": ({"x": entry("U8", (59,), (1, 60))}, "starts at byte 1 of the data, expected 0"),
    "a gap in the middle": ({"x": entry("U8", (9,), (0, 9)), "y": entry("U8", (50,), (10, 60))},
                            "y: starts at byte 10"),
    "an overlap": ({"x": entry("U8", (40,), (0, 40)), "y": entry("U8", (30,), (30, 60))}, "y: starts at byte 30"),
    "the same bytes twice": ({"x": entry(), "y": entry()}, "y: starts at byte 0"),
    "less than there is": ({"x": entry(shape=(3, 4), offsets=(0, 48))}, "describes 48 bytes of data, the file has 60"),
    "more than there is": ({"x": entry(shape=(3, 6), offsets=(0, 72))}, "describes 72 bytes of data, the file has 60"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_table_that_lies_is_refused(lie, file_of):
    table, message = LIES[lie]
    path = file_of(table)
    with pytest.raises(CheckpointError, match=message) as error:
        read_safetensors(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("length", [10**6, 5 << 20, 2**63, 2**64 - 1])
def test_a_table_longer_than_the_file_is_refused(length, file_of):
    with pytest.raises(CheckpointError, match=r"truncated|a table of"):
        read_safetensors(file_of({"x": entry()}, length=length))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_too_small_for_the_format_is_refused(size, tmp_path):
    (tmp_path / "file").write_bytes(bytes(size))
    with pytest.raises(CheckpointError, match="too few for a safetensors file"):
        read_safetensors(tmp_path / "file")


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_safetensors(tmp_path / "file")


# Writing ------------------------------------------------------------------------------------------------------------


def test_a_written_file_opens_with_the_safetensors_library(written):
    arrays = arrays_of_all_kinds()
    assert_same_bytes(arrays, safetensors.numpy.load_file(written(arrays)))


def test_a_written_file_is_read_back(written):
    arrays = {**arrays_of_all_kinds(), "of bfloat16": np.arange(7).astype(ml_dtypes.bfloat16)}
    assert_same_bytes(arrays, read_all(read_safetensors(written(arrays))[0]))


def test_the_metadata_is_written_with_the_checksum(written):
    with safetensors.safe_open(written({"x": np.ones(3)}, {"format": "pt"}), "np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert set(metadata) == {"format", "electra_crc32c"}
    assert len(metadata["electra_crc32c"]) == 8


def test_an_array_that_is_not_contiguous_is_written_in_row_order(written):
    array = np.arange(15, dtype=np.float32).reshape(3, 5).T
    found = safetensors.numpy.load_file(written({"x": array}))["x"]
    np.testing.assert_array_equal(found, array)


def test_big_endian_arrays_are_written_little_endian(tmp_path):
    array = np.arange(5, dtype=">f4")
    with open(tmp_path / "file", "wb") as stream:
        write_safetensors(stream, stored({"x": array}), {})
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "file")["x"], np.arange(5))


def test_data_and_every_tensor_are_aligned(written):
    content = written(arrays_of_all_kinds()).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    table = json.loads(content[8 : 8 + length])
    assert (8 + length) % 64 == 0
    widths = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "I16": 2, "U16": 2}
    for name, item in table.items():
        if name != "__metadata__":
            assert item["data_offsets"][0] % widths.get(item["dtype"], 1) == 0, name


def test_progress_is_told_the_bytes_of_each_tensor():
    told = []
    write_safetensors(io.BytesIO(), stored(random_arrays({"a": (3, 5), "b": (7,)})), {}, progress=told.append)
    assert sorted(told) == [28, 60]


# The checksum -------------------------------------------------------------------------------------------------------


def damaged(path, change):
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def flip_last_bit(content):
    content[-1] ^= 1


def test_damage_in_the_data_is_found(written):
    path = damaged(written({"x": np.ones(7)}), flip_last_bit)
    with pytest.raises(CheckpointError, match="damaged: the checksum is"):
        read_safetensors(path)


def test_the_checksum_can_be_left_unread(written):
    path = damaged(written({"x": np.zeros(7, np.uint8)}), flip_last_bit)
    assert read_safetensors(path, verify=False)[0]["x"].read()[-1] == 1


def swap(content, first, second):
    """Exchange two byte strings of one length."""
    blank = b"?" * len(first)
    content[:] = bytes(content).replace(first, blank).replace(second, first).replace(blank, second)


def test_exchanged_names_are_found_by_the_checksum(written):
    path = written({"first": np.full(7, 3.5), "other": np.full(7, 4.5)})
    with pytest.raises(CheckpointError, match="damaged: the checksum is"):
        read_safetensors(damaged(path, lambda content: swap(content, b'"first"', b'"other"')))


def test_a_changed_shape_is_found_by_the_checksum(written):
    path = written({"x": np.ones((3, 5))})
    with pytest.raises(CheckpointError, match="damaged: the checksum is"):
        read_safetensors(damaged(path, lambda content: swap(content, b"[3,5]", b"[5,3]")))
