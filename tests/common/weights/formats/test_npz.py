"""numpy's archives: what numpy wrote, what numpy reads of ours, damaged and lying ones."""

import io
import json
import re
import struct
import tracemalloc
import zipfile
import zlib

import ml_dtypes
import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats.npz import is_npz, read_npz, write_npz
from electra_common.weights.formats.zip_archive import MAX_MEMBERS, MAX_NAME_BYTES
from support.damage import attempt, flips, truncations
from support.fixtures import TRANSFORMERS
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored

SAVERS = {"stored": np.savez, "compressed": np.savez_compressed}
SHAPES = {"scalar": (), "empty": (0, 3), "vector": (7,), "matrix": (3, 5), "cube": (2, 3, 5), "of/depth:0": (11, 1)}
DTYPES = (
    "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
)  # fmt: skip


def arrays_of_all_kinds():
    arrays = random_arrays(SHAPES)
    return arrays | {f"of {dtype}": (np.arange(11) % 2).astype(dtype) for dtype in DTYPES}


def written(path, arrays, **options):
    """Write arrays with the library's writer."""
    with open(path, "xb") as stream:
        write_npz(stream, stored(arrays), **options)
    return path


def npy(array):
    """Return an array as numpy stores it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zip_of(path, members, method=zipfile.ZIP_STORED):
    """Write a zip archive of ``[(name, content)]`` with Python's own module."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


# Reading what numpy wrote -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saver", SAVERS)
def test_a_file_of_numpys_is_read_exactly(saver, tmp_path):
    arrays = arrays_of_all_kinds()
    SAVERS[saver](tmp_path / "file.npz", **arrays)
    tensors, metadata = read_npz(tmp_path / "file.npz")
    assert_same_bytes(arrays, read_all(tensors))
    assert metadata == {}


@pytest.mark.parametrize("saver", SAVERS)
def test_an_array_stored_by_columns_is_read_exactly(saver, tmp_path):
    arrays = {"matrix": np.arange(15.0).reshape(3, 5).T, "cube": np.arange(30).reshape(2, 3, 5).T}
    SAVERS[saver](tmp_path / "file.npz", **arrays)
    assert b"'fortran_order': True" in npy(arrays["cube"])
    assert_same_bytes(arrays, read_all(read_npz(tmp_path / "file.npz")[0]))


def test_recorded_outputs_are_read_as_numpy_reads_them():
    path = TRANSFORMERS / "base-like" / "ForMaskedLM" / "expected.npz"
    with np.load(path) as file:
        expected = dict(file)
    found = read_all(read_npz(path)[0])
    assert len(found) > 10
    assert_same_bytes(expected, found)


def test_a_header_of_numpys_second_version_is_read(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.arange(15.0).reshape(3, 5), version=(2, 0))
    zip_of(tmp_path / "file", [("x.npy", stream.getvalue())])
    np.testing.assert_array_equal(read_npz(tmp_path / "file")[0]["x"].read(), np.arange(15.0).reshape(3, 5))


def test_a_header_of_python_2_is_read(tmp_path):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 5L), }".ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + np.ones((3, 5), np.float32).tobytes()
    zip_of(tmp_path / "file", [("x.npy", content)])
    np.testing.assert_array_equal(read_npz(tmp_path / "file")[0]["x"].read(), np.ones((3, 5)))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_with_64_bit_sizes_is_read(method, tmp_path, monkeypatch):
    """Python writes them beyond 2 GB; here it thinks that is 10 bytes."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    arrays = arrays_of_all_kinds()
    zip_of(tmp_path / "file", [(f"{name}.npy", npy(array)) for name, array in arrays.items()], method)
    assert b"PK\x06\x06" in (tmp_path / "file").read_bytes()
    assert_same_bytes(arrays, read_all(read_npz(tmp_path / "file")[0]))


def test_stored_arrays_are_not_read_before_they_are_asked_for(tmp_path):
    np.savez(tmp_path / "file.npz", large=np.ones((1500, 1001), np.float32), small=np.ones(3))
    tracemalloc.start()
    tensors, _ = read_npz(tmp_path / "file.npz")
    tensors["small"].read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_a_file_is_told_from_a_zip_of_other_things(tmp_path):
    np.savez(tmp_path / "numpy.npz", x=np.ones(3))
    zip_of(tmp_path / "torch.bin", [("archive/data.pkl", b"x"), ("archive/version", b"3")])
    zip_of(tmp_path / "nothing.zip", [])
    (tmp_path / "text").write_text("PK, said the zip")
    assert [is_npz(tmp_path / name) for name in ("numpy.npz", "torch.bin", "nothing.zip", "text")] == [
        True, False, False, False,
    ]  # fmt: skip


# Writing ------------------------------------------------------------------------------------------------------------


def test_a_written_file_opens_with_numpy(tmp_path):
    arrays = arrays_of_all_kinds()
    with np.load(written(tmp_path / "file.npz", arrays), allow_pickle=False) as file:
        assert_same_bytes(arrays, dict(file))


def test_a_written_file_is_a_sound_zip_of_uncompressed_members(tmp_path):
    with zipfile.ZipFile(written(tmp_path / "file", arrays_of_all_kinds())) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_written_file_is_read_back(tmp_path):
    arrays = {**arrays_of_all_kinds(), "of bfloat16": np.arange(15).reshape(3, 5).astype(ml_dtypes.bfloat16)}
    tensors, metadata = read_npz(written(tmp_path / "file", arrays, metadata={"format": "pt", "ä": "😀 \n"}))
    assert_same_bytes(arrays, read_all(tensors))
    assert metadata == {"format": "pt", "ä": "😀 \n"}
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} == {
        name: (array.shape, array.dtype.name) for name, array in arrays.items()
    }


def test_bfloat16_opens_with_numpy_as_its_bits_and_says_so(tmp_path):
    array = np.array([1.5, -2.0, np.nan], ml_dtypes.bfloat16)
    with np.load(written(tmp_path / "file", {"x": array}), allow_pickle=False) as file:
        assert_same_bytes({"x": array.view(np.uint16)}, {"x": file["x"]})
        assert json.loads(file["__metadata__"].tobytes()) == {"dtypes": {"x": "bfloat16"}, "metadata": {}}


def test_numbers_that_are_none_keep_their_bits(tmp_path):
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0x7F800001], np.uint32)
    path = written(tmp_path / "file", {"x": bits.view(np.float32)})
    assert read_npz(path)[0]["x"].read().tobytes() == bits.tobytes()


def test_the_same_arrays_make_the_same_bytes_in_any_order(tmp_path):
    arrays = arrays_of_all_kinds()
    first = written(tmp_path / "first", arrays, metadata={"a": "1", "b": "2"})
    second = written(tmp_path / "second", dict(reversed(arrays.items())), metadata={"b": "2", "a": "1"})
    assert first.read_bytes() == second.read_bytes()


def test_other_memory_layouts_are_written_in_row_order_and_little_endian(tmp_path):
    arrays = {"columns": np.arange(15.0).reshape(3, 5).T, "big": np.arange(5, dtype=">f4")}
    with np.load(written(tmp_path / "file", arrays)) as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)


def test_written_data_is_aligned_and_mapped(tmp_path):
    arrays = arrays_of_all_kinds()
    path = written(tmp_path / "file", arrays)
    content = path.read_bytes()
    headers = [match.end() for match in re.finditer(rb"\{'descr'[^\n]*\n", content)]
    assert len(headers) == len(arrays)
    assert not any(position % 64 for position in headers)
    assert not any(tensor.read().flags.owndata for tensor in read_npz(path)[0].values() if tensor.nbytes)


def test_writing_holds_one_tensor_at_a_time(tmp_path):
    made = []

    def make(value):
        made.append(value)
        return np.full((500, 501), value, np.float32)

    tensors = stored({str(value): np.broadcast_to(np.float32(0), (500, 501)) for value in range(9)})
    tensors = {
        name: type(item)(name, item.shape, item.dtype, lambda name=name: make(float(name)))
        for name, item in tensors.items()
    }
    tracemalloc.start()
    with open(tmp_path / "file", "xb") as stream:
        write_npz(stream, tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made == sorted(made)
    assert peak < 2.5 * 500 * 501 * 4


def test_progress_is_told_the_bytes_of_each_tensor():
    told = []
    write_npz(io.BytesIO(), stored(random_arrays({"a": (3, 5), "b": (7,)})), progress=told.append)
    assert told == [60, 28]


@pytest.mark.parametrize(
    "name", ["", "/x", "../x", "a/../b", "a//b", "C:/x", "a\\b", "x\n", "__metadata__", "x" * MAX_NAME_BYTES]
)
def test_a_name_that_no_member_can_have_is_refused(name):
    with pytest.raises(CheckpointError, match="cannot be the name of an array"):
        write_npz(io.BytesIO(), stored({name: np.ones(3)}))


def test_an_error_of_a_tensor_passes_through(tmp_path):
    def fail():
        raise CheckpointError("damaged: x")

    (tensor,) = stored({"x": np.ones(3)}).values()
    with pytest.raises(CheckpointError, match="damaged: x"):
        write_npz(io.BytesIO(), {"x": type(tensor)("x", (3,), "float64", fail)})


# Archives that lie --------------------------------------------------------------------------------------------------

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def with_field(content, record, offset, value, width=4, which=0):
    """Replace a number in the header, table entry or end record of a zip archive."""
    place = [match.start() for match in re.finditer(re.escape(record), content)][which] + offset
    return content[:place] + value.to_bytes(width, "little") + content[place + width :]


def archive(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **(arrays or {"x": np.ones((3, 5)), "y": np.ones((7,))}))
    return stream.getvalue()


def table_that_lies(offset, value, width=4):
    return with_field(archive(), CENTRAL, offset, value, width)


def wide(offset, value):
    """An archive with 64-bit sizes at its end, one byte of which, counted from the locator, is replaced."""
    content = archive()
    end = content.index(END)
    count, size, start = struct.unpack_from("<HII", content, end + 10)
    record = b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, size, start)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    changed = bytearray(content[:end] + record + locator + content[end:])
    changed[end + len(record) + offset] = value
    return bytes(changed)


def both_that_lie(local_offset, offset, value, width=2):
    return with_field(with_field(archive(), CENTRAL, offset, value, width), LOCAL, local_offset, value, width)


def overlapping():
    """Two members whose data is the same bytes: the first holds the second, header and all."""
    inner = archive(y=np.ones(40))
    inner_member = inner[: inner.index(CENTRAL)]
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(inner_member)},), }}".encode()
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + inner_member
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as outer:
        outer.writestr("x.npy", body)
        info = zipfile.ZipFile(io.BytesIO(inner)).getinfo("y.npy")
        info.header_offset = stream.getvalue().index(inner_member)
        outer.filelist.append(info)
        outer.NameToInfo[info.filename] = info
    return stream.getvalue()


ARCHIVES = {
    "an empty file": (b"", "0 bytes are too few"),
    "the start alone": (LOCAL + bytes(40), "does not end as a zip archive"),
    "bytes after the end": (archive() + b"\x00", "does not end as a zip archive"),
    "a comment": (with_field(archive(), END, 20, 3, 2) + b"abc", "does not end as a zip archive"),
    "a byte before the start": (b"\x00" + archive(), "contradicts itself"),
    "two disks": (with_field(archive(), END, 4, 1, 2), "in several parts"),
    "one member too few": (with_field(with_field(archive(), END, 8, 1, 2), END, 10, 1, 2), "longer than its 1 members"),
    "one member too many": (with_field(with_field(archive(), END, 8, 3, 2), END, 10, 3, 2), "shorter than its 3"),
    "members on another disk": (with_field(archive(), END, 8, 1, 2), "in several parts"),
    "too many members": (with_field(with_field(archive(), END, 8, 9999, 2), END, 10, 9999, 2), "9999 members"),
    "64-bit sizes that are not there": (with_field(archive(), END, 16, 0xFFFFFFFF), "contradicts itself"),
    "a 64-bit locator of another file": (wide(12, 1), "Zip64 end of the archive is not where"),
    "a 64-bit end on another disk": (wide(-56 + 16, 1), "in several parts"),
    "a 64-bit end of another size": (wide(-56 + 4, 45), "Zip64 end of the archive is not where"),
    "a 64-bit count of its own": (wide(-56 + 24, 3), "in several parts"),
    "a 64-bit place of its own": (wide(-56 + 48, 3), "contradicts itself"),
    "a table beyond the file": (with_field(archive(), END, 16, 1 << 30), "contradicts itself"),
    "an entry that is none": (with_field(archive(), CENTRAL, 0, 0, 1), "no usual entry of a zip table"),
    "an entry with a comment": (table_that_lies(32, 5, 2), "no usual entry of a zip table"),
    "a name of nothing": (table_that_lies(28, 0, 2), "a member's name has 0 bytes"),
    "a name of 64 kB": (table_that_lies(28, 0xFFFF, 2), "no usual entry of a zip table"),
    "an encrypted member": (both_that_lie(6, 8, 1), "x.npy: encrypted"),
    "a strongly encrypted member": (both_that_lie(6, 8, 0x41), "x.npy: encrypted"),
    "an unknown way": (both_that_lie(6, 8, 0x20), "x.npy: encrypted or otherwise special"),
    "another compression": (both_that_lie(8, 10, 14), "compression method 14"),
    "compressed says the table alone": (table_that_lies(10, 8, 2), "its header and the zip table differ"),
    "another name in the header": (with_field(archive(), LOCAL, 30, ord("z"), 1), "and the zip table differ"),
    "a header of 64 kB": (with_field(archive(), LOCAL, 28, 0xFFFF, 2), "two members overlap at byte 303, or"),
    "a member beyond the data": (table_that_lies(42, 1 << 30), "begins at byte 1073741824, beyond the data"),
    "a member where none is": (table_that_lies(42, 3), "its header and the zip table differ"),
    "a member longer than the file": (table_that_lies(20, 1 << 30), "1073741824 bytes stored as they are, 248 told"),
    "two sizes": (table_that_lies(24, 249), "248 bytes stored as they are, 249 told"),
    "64-bit size without a field": (table_that_lies(24, 0xFFFFFFFF), "no Zip64 field"),
    "members that overlap": (overlapping(), "two members overlap"),
}  # fmt: skip


def test_64_bit_sizes_where_narrow_ones_would_do_are_read(tmp_path):
    """Python writes both between 2 and 4 GB."""
    (tmp_path / "file").write_bytes(wide(0, ord("P")))
    assert_same_bytes({"x": np.ones((3, 5)), "y": np.ones(7)}, read_all(read_npz(tmp_path / "file")[0]))


@pytest.mark.parametrize("lie", ARCHIVES)
def test_an_archive_that_lies_is_refused(lie, tmp_path):
    content, message = ARCHIVES[lie]
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        read_npz(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "name",
    [
        "../x.npy",
        "/x.npy",
        "a/../../x.npy",
        "a/./x.npy",
        "a//x.npy",
        "C:/x.npy",
        "a\\x.npy",
        "x\x01.npy",
        "x\u202e.npy",
    ],
)
def test_a_name_that_could_leave_the_folder_is_refused(name, tmp_path):
    content = zip_of(tmp_path / "file", [("?" * len(name.encode()), npy(np.ones(3)))]).read_bytes()
    flags = 0x800 if not name.isascii() else 0
    content = content.replace(b"?" * len(name.encode()), name.encode())
    content = with_field(with_field(content, LOCAL, 6, flags, 2), CENTRAL, 8, flags, 2)
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CheckpointError, match="could point out of a folder"):
        read_npz(tmp_path / "file")


def test_a_name_that_is_not_ascii_needs_to_say_so(tmp_path):
    content = zip_of(tmp_path / "file", [("ä.npy", npy(np.ones(3)))]).read_bytes()
    assert list(read_npz(tmp_path / "file")[0]) == ["ä"]
    (tmp_path / "file").write_bytes(with_field(with_field(content, LOCAL, 6, 0, 2), CENTRAL, 8, 0, 2))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_npz(tmp_path / "file")


def test_a_name_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        zip_of(tmp_path / "file", [("x.npy", npy(np.ones(3))), ("x.npy", npy(np.zeros(3)))])
    with pytest.raises(CheckpointError, match=r"two members are called x\.npy"):
        read_npz(tmp_path / "file")


def test_other_members_are_refused(tmp_path):
    zip_of(tmp_path / "file", [("x.npy", npy(np.ones(3))), ("run.py", b"print()")])
    with pytest.raises(CheckpointError, match=r"run\.py: not an array"):
        read_npz(tmp_path / "file")


def test_as_many_members_as_are_allowed_stay_small_in_memory(tmp_path):
    content = npy(np.ones(1, np.int8))
    zip_of(tmp_path / "made", [(f"{index:0250}.npy", content) for index in range(MAX_MEMBERS)])
    arrays = attempt(read_npz, tmp_path / "file", (tmp_path / "made").read_bytes(), "many members")
    assert len(arrays) == MAX_MEMBERS


# Arrays that lie ----------------------------------------------------------------------------------------------------


def header_of(text, data=bytes(60), length=None, magic=b"\x93NUMPY\x01\x00"):
    text = text.encode() + b"\n"
    return magic + struct.pack("<H", len(text) if length is None else length) + text + data


def described(description="<f4", shape="(3, 5)", order="False", **options):
    return header_of(f"{{'descr': '{description}', 'fortran_order': {order}, 'shape': {shape}, }}", **options)


class Hostile:
    """A pickle of it would run code."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


ARRAYS = {
    "objects": (npy(np.array([Hostile()], object)), r"dtype '\|O' is not one of weights"),
    "fields": (npy(np.zeros(3, [("a", "<f4"), ("b", "<i4")])), "not an array of numbers"),
    "complex numbers": (npy(np.zeros(3, np.complex64)), "dtype '<c8' is not one of weights"),
    "text": (npy(np.array(["ab"])), "dtype '<U2' is not one of weights"),
    "dates": (npy(np.zeros(3, "M8[s]")), "is not one of weights"),
    "big-endian numbers": (npy(np.zeros(3, ">f4")), "dtype '>f4' is not one of weights"),
    "bfloat16 as numpy stores it": (npy(np.zeros(3, ml_dtypes.bfloat16)), "bfloat16 so, save it as float32"),
    "nothing": (b"", "not an array in numpy's format"),
    "no magic": (described(magic=b"\x93numpy\x01\x00"), "not an array in numpy's format"),
    "version 4": (described(magic=b"\x93NUMPY\x04\x00"), "not an array in numpy's format"),
    "a header longer than the file": (described(length=9999), "its header says"),
    "a header longer than any": (described(shape=f"({' ' * 9990}3, 5)", data=bytes(9999)), "its header says"),
    "an expression": (header_of("__import__('os')"), "its header says"),
    "a shape that is computed": (described(shape="(3 * 5,)"), "its header says"),
    "a shape without commas": (described(shape="(3 5)"), "its header says"),
    "a negative axis": (described(shape="(-3, -5)"), "its header says"),
    "an axis of a thousand digits": (described(shape=f"({'9' * 1000},)"), "its header says"),
    "a key too many": (header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), 'x': 1, }"), "header says"),
    "a larger shape": (described(shape="(3, 6)"), r"60 bytes cannot hold \[3, 6\] of float32"),
    "a smaller shape": (described(shape="(3, 4)"), r"60 bytes cannot hold \[3, 4\]"),
    "sizes that overflow": (described(shape="(9223372036854775807, 0)", data=b""), "0 bytes cannot hold"),
    "an axis of 2 to the 63": (described(shape="(4611686018427387904, 4)", data=b""), "0 bytes cannot hold"),
    "nine axes": (described(shape="(1, 1, 1, 1, 1, 1, 1, 3, 5)"), "60 bytes cannot hold"),
}  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("lie", ARRAYS)
def test_an_array_that_lies_is_refused(lie, method, tmp_path):
    content, message = ARRAYS[lie]
    path = zip_of(tmp_path / "file", [("x.npy", content)], method)
    with pytest.raises(CheckpointError, match=message) as error:
        read_npz(path)
    assert str(error.value).startswith(f"{path}: x")


# Compressed members -------------------------------------------------------------------------------------------------


def compressed(size_told, stream, tmp_path):
    """Write one compressed member whose table entry tells a size of its own."""
    path = zip_of(tmp_path / "file", [("x.npy", b"?" * len(stream))])
    content = path.read_bytes().replace(b"?" * len(stream), stream)
    content = with_field(with_field(content, CENTRAL, 10, 8, 2), LOCAL, 8, 8, 2)
    content = with_field(with_field(content, CENTRAL, 24, size_told), LOCAL, 22, size_told)
    path.write_bytes(content)
    return path


def deflated(data):
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def refusal(path, *, verify=True):
    tracemalloc.start()
    with pytest.raises(CheckpointError) as error:
        read_all(read_npz(path, verify=verify)[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * path.stat().st_size + (8 << 20)
    return str(error.value)


def test_a_size_beyond_what_deflate_can_do_is_refused(tmp_path):
    content = described(shape="(1000000000,)", data=b"")
    assert "cannot be 4000000068 compressed ones" in refusal(compressed(4_000_000_068, deflated(content), tmp_path))


def test_a_bomb_is_refused_before_it_is_opened(tmp_path):
    size = 80 << 20
    content = described("|u1", f"({size},)", data=bytes(size))
    path = zip_of(tmp_path / "file", [("x.npy", content)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "not weights; refused" in refusal(path)


def test_many_small_bombs_are_refused(tmp_path):
    content = described("|u1", f"({1 << 20},)", data=bytes(1 << 20))
    path = zip_of(tmp_path / "file", [(f"{index}.npy", content) for index in range(80)], zipfile.ZIP_DEFLATED)
    assert "not weights; refused" in refusal(path)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stream: deflated(described(data=bytes(10**7))), "more than the"),
        (lambda stream: deflated(described(data=bytes(59))), "129 bytes, 130 told"),
        (lambda stream: stream[:-3], "12[0-9] bytes, 130 told"),
        (lambda stream: stream + b"more", "ends elsewhere than told"),
        (lambda stream: stream[:60] + b"\xff" * 9 + stream[69:], "damaged"),
        (lambda stream: b"\xff" * 60, "damaged: Error"),
    ],
)
def test_compressed_data_that_is_not_what_the_table_tells_is_refused(change, message, verify, tmp_path):
    stream = deflated(described(data=np.random.default_rng(0).bytes(60)))
    path = compressed(len(described()), change(stream), tmp_path)
    assert re.search(message, refusal(path, verify=verify))


# Metadata that lies -------------------------------------------------------------------------------------------------


def as_bytes(text):
    return np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (np.ones(3), "bytes of JSON text"),
        (as_bytes("{}").reshape(1, 2), "bytes of JSON text"),
        (np.zeros(1 << 19, np.uint8), "bytes of JSON text"),
        (as_bytes(""), "damaged"),
        (as_bytes("[]"), "expected a JSON object"),
        (as_bytes(b"\xff{}"), "damaged"),
        (as_bytes("[" * 9999), "nested too deeply"),
        (as_bytes('{"dtypes": {"x": "float8"}}'), "dtypes of bfloat16 only"),
        (as_bytes('{"dtypes": {"x": ["bfloat16"]}}'), "metadata of strings"),
        (as_bytes('{"dtypes": []}'), "metadata of strings"),
        (as_bytes('{"metadata": {"x": 1}}'), "metadata of strings"),
        (as_bytes('{"more": {}}'), "metadata of strings"),
        (as_bytes('{"dtypes": {"y": "bfloat16"}}'), "'y' is called bfloat16 and is not an array of uint16"),
        (as_bytes('{"dtypes": {"f": "bfloat16"}}'), "'f' is called bfloat16 and is not an array of uint16"),
    ],
)
def test_metadata_that_lies_is_refused(metadata, message, tmp_path):
    np.savez(tmp_path / "file.npz", x=np.ones(3, np.uint16), f=np.ones(3), __metadata__=metadata)
    with pytest.raises(CheckpointError, match=message):
        read_npz(tmp_path / "file.npz")


def test_damaged_metadata_is_found_when_the_file_is_opened(tmp_path):
    path = written(tmp_path / "file", {"x": np.ones(3)}, metadata={"a": "b"})
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"c"'))
    with pytest.raises(CheckpointError, match="its checksum is"):
        read_npz(path)
    assert read_npz(path, verify=False)[1] == {"a": "c"}


# Damage -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Files of each kind, with what is in them."""
    folder = tmp_path_factory.mktemp("good")
    arrays = arrays_of_all_kinds()
    for name, saver in SAVERS.items():
        saver(folder / f"{name}.npz", **arrays)
    ours = {**arrays, "of bfloat16": np.arange(7).astype(ml_dtypes.bfloat16)}
    written(folder / "ours.npz", ours, metadata={"a": "b"})
    kinds = {"stored": arrays, "compressed": arrays, "ours": ours}
    return {name: ((folder / f"{name}.npz").read_bytes(), arrays) for name, arrays in kinds.items()}


@pytest.mark.parametrize("kind", ["stored", "compressed", "ours"])
def test_a_truncated_file_is_always_refused(kind, good, tmp_path):
    content, _ = good[kind]
    for what, changed in truncations(content, kind, 200):
        assert attempt(read_npz, tmp_path / "file", changed, what) is None, what


@pytest.mark.parametrize("kind", ["stored", "compressed", "ours"])
def test_a_flipped_bit_is_refused_or_harmless(kind, good, tmp_path):
    content, arrays = good[kind]
    refused = 0
    for what, _, changed in flips(content, kind, 300):
        found = attempt(read_npz, tmp_path / "file", changed, what)
        refused += found is None
        if found is not None:  # dates and the like
            assert_same_bytes(arrays, found)
    assert refused > 150


def test_the_checksum_can_be_left_unread(tmp_path):
    path = written(tmp_path / "file", {"x": np.zeros(7, np.uint8)})
    content = path.read_bytes()
    place = content.index(bytes(7) + CENTRAL)
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    assert read_npz(path, verify=False)[0]["x"].read()[0] == 1
    with pytest.raises(CheckpointError, match="its checksum is"):
        read_npz(path)[0]["x"].read()
