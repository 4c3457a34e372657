"""Flax's msgpack: files that Flax and transformers wrote, hand-made ones, damaged and lying ones."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats.flax_msgpack import (
    MAX_DEPTH,
    MAX_ENTRIES,
    looks_like_flax_msgpack,
    read_flax_msgpack,
)
from support import flax_writer as flax
from support.damage import attempt, flips, truncations
from support.fixtures import TESTS
from support.tiny_networks import assert_same_bytes, random_arrays, read_all

FLAX = TESTS / "fixtures" / "flax-a"
DTYPES = (
    "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
)  # fmt: skip
SHAPES = {"electra/b": (3, 5), "electra/layer/0/scale": (7,), "electra/layer/10/x": (2, 3, 5), "head/kernel": (11, 1)}


def counted(shape, dtype):
    """What the fixtures hold: element i is i % 11."""
    return (np.arange(int(np.prod(shape))) % 11).reshape(shape).astype(dtype)


@pytest.fixture
def file_of(tmp_path):
    """Write a tree, or raw bytes."""

    def make(tree):
        path = tmp_path / "flax_model.msgpack"
        path.write_bytes(tree if isinstance(tree, bytes) else flax.encode(tree))
        return path

    return make


# What Flax wrote ----------------------------------------------------------------------------------------------------


def test_every_kind_of_array_that_flax_writes_is_read():
    shapes = {"scalar": (), "empty": (0, 3), "vector": (7,), "matrix": (3, 5), "cube": (2, 3, 5)}
    expected = {f"shapes/{name}": counted(shape, "float32") for name, shape in shapes.items()}
    expected |= {f"dtypes/{dtype}": counted((3, 5), dtype) for dtype in DTYPES}
    expected["dtypes/bfloat16"] = counted((3, 5), ml_dtypes.bfloat16)
    expected["jax/bfloat16"] = counted((5, 3), ml_dtypes.bfloat16)
    expected["scalars/numpy"] = np.array(2.5, np.float32)
    expected["long/" + 40 * "n"] = counted((70,), "uint8")
    expected["long/row"] = counted((3, 300), "float32")
    expected |= {f"many/part_{index}": counted((1,), "int8") for index in range(17)}
    tensors, metadata = read_flax_msgpack(FLAX / "all_kinds.msgpack")
    assert_same_bytes(expected, read_all(tensors))
    assert metadata == {}


def test_arrays_that_flax_cut_into_pieces_are_put_together():
    tensors, _ = read_flax_msgpack(FLAX / "chunked.msgpack")
    assert_same_bytes(
        {"whole": counted((2, 3), "int8"), "cut": counted((3, 5), "float32"), "more": counted((13, 11), "float16")},
        read_all(tensors),
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [("complex", "a complex number"), ("integer", "a whole number"), ("text", "text"), ("none", "nil")],
)
def test_what_flax_stores_and_is_no_weight_is_refused(name, found):
    with pytest.raises(CheckpointError, match=f"x: .*{found}"):
        read_flax_msgpack(FLAX / f"{name}.msgpack")


@pytest.mark.parametrize("file", sorted(FLAX.rglob("*.msgpack")), ids=lambda file: file.stem)
def test_the_files_of_flax_are_recognised_by_their_first_bytes(file):
    assert looks_like_flax_msgpack(file.read_bytes()[:16])


@pytest.mark.parametrize(
    "start",
    [b"", b"\x82", b"\x80\x02}q\x00(X", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x82\x00\x00\x00\x00\x00\x00\x00{", b"{",
     b"\x82\xa3\x00\x00\x00\x00\x00\x00", b"\x83\xa0\xa1", b"\xdf\x00"],
)  # fmt: skip
def test_other_files_are_not_recognised(start):
    assert not looks_like_flax_msgpack(start)


# Hand-made files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [False, True])
def test_a_single_level_called_params_is_left_out(inner, file_of):
    arrays = random_arrays(SHAPES)
    tree = flax.nested(arrays)
    assert_same_bytes(arrays, read_all(read_flax_msgpack(file_of({"params": tree} if inner else tree))[0]))


def test_params_beside_other_levels_is_a_name_as_any(file_of):
    tensors, _ = read_flax_msgpack(file_of({"params": {"x": np.ones(3)}, "other": {"y": np.ones(5)}}))
    assert sorted(tensors) == ["other/y", "params/x"]


def test_names_of_every_length_of_size_are_read(file_of):
    arrays = random_arrays({letter * length: (3,) for letter, length in zip("abcd", (1, 31, 32, 200), strict=True)})
    assert_same_bytes(arrays, read_all(read_flax_msgpack(file_of(flax.nested(arrays)))[0]))


def test_pieces_are_put_together_in_the_order_of_their_numbers(file_of):
    array = counted((3, 11), "int16")
    tree = flax.chunked(array, 3)
    tree["chunks"] = dict(sorted(tree["chunks"].items()))  # 0, 1, 10, 2, …
    assert list(tree["chunks"])[2] == "10"
    assert_same_bytes({"x": array}, read_all(read_flax_msgpack(file_of({"x": tree}))[0]))


def test_opening_a_large_file_and_reading_one_array_costs_little(file_of):
    arrays = {"large": np.ones((1500, 1001), np.float32), "small": np.ones((3, 5), np.float32)}
    path = file_of(flax.nested(arrays))
    tracemalloc.start()
    tensors, _ = read_flax_msgpack(path)
    tensors["small"].read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_a_written_array_does_not_reach_the_file(file_of):
    path = file_of({"x": np.zeros(8, np.uint8)})
    before = path.read_bytes()
    read_flax_msgpack(path)[0]["x"].read()[:] = 7
    assert path.read_bytes() == before


# Lies ---------------------------------------------------------------------------------------------------------------

ONES = np.ones((3, 5), np.float32)


def deep(levels):
    return b"\x81\xa1a" * levels + bytes(flax.ndarray(ONES))


def pieces(**changes):
    return {"x": {**flax.chunked(ONES, 4), **changes}}


def extension_of(*parts, tail=b""):
    return {"x": flax.Raw(flax.extension(1, flax.array_of(list(parts)) + tail))}


LIES = {
    "an array instead of a tree": (bytes(flax.ndarray(ONES)), "expected a map of names, found an array"),
    "a number instead of a tree": (b"\x05", "expected a map of names, found a whole number"),
    "a list instead of a tree": (flax.encode([1, 2]), "found a list"),
    "a list in the tree": ({"x": [ONES]}, "x: expected an array or a map of names, found a list"),
    "bytes in the tree": ({"x": bytes(60)}, "x: expected an array, found bytes"),
    "a name that is a number": (flax.map_of([(3, ONES)]), "a name must be text, found a whole number"),
    "a name that is bytes": (flax.map_of([(b"x", ONES)]), "a name must be text, found bytes"),
    "a name that is a map": (flax.map_of([({"x": 1}, ONES)]), "a name must be text, found a map"),
    "a name that is an array": (flax.map_of([(ONES, ONES)]), "a name must be text, found an extension"),
    "a name of nothing": ({"": ONES}, "a name of 0 bytes"),
    "a name that is too long": ({"x" * 201: ONES}, "a name of 201 bytes"),
    "a name that is too long in all": ({"x" * 150: {"y" * 50: ONES}}, "a name of more than 200 bytes"),
    "a name that is not UTF-8": (b"\x81" + flax.text(b"\xff\xfe") + flax.ndarray(ONES), "is not UTF-8"),
    "a name twice": (flax.map_of([("x", ONES), ("x", ONES)]), "the name 'x' stands twice"),
    "a branch twice": (flax.map_of([("x", {"a": ONES}), ("x", {"b": ONES})]), "the name 'x' stands twice"),
    "two paths alike": ({"a/b": ONES, "a": {"b": ONES}}, "two arrays are called a/b"),
    "bytes after the end": (flax.encode({"x": ONES}) + b"\x00", "the tree ends at byte 8., the file has 8."),
    "a second tree": (2 * flax.encode({"x": ONES}), "the tree ends at byte"),
    "a byte that begins nothing": (b"\x81\xa1x\xc1", "byte 3 is 0xc1, with which no msgpack item begins"),
    "fewer entries than told": (b"\x82\xa1x" + flax.ndarray(ONES), "truncated or damaged"),
    "four billion entries": (b"\xdf\xff\xff\xff\xff\xa1x", f"more than {MAX_ENTRIES} entries"),
    "a name of four billion bytes": (b"\x81\xdb\xff\xff\xff\xffx", "truncated or damaged: text"),
    "bytes of four billion": (b"\x81\xa1x\xc6\xff\xff\xff\xffx", "truncated or damaged: bytes"),
    "an extension of four billion bytes": (b"\x81\xa1x\xc9\xff\xff\xff\xff\x01", "truncated or damaged: an extension"),
    "one level too many": (deep(MAX_DEPTH + 1), f"more than {MAX_DEPTH} maps within each other"),
    "a hundred thousand levels": (b"\x81\xa1a" * 100_000, f"more than {MAX_DEPTH} maps within each other"),
    "a hundred thousand lists": (b"\x81\xa1a" + b"\x91" * 100_000, "found a list"),
    "another extension": ({"x": flax.ndarray(ONES, kind=4)}, "extension type 4 is not one of Flax's"),
    "a negative extension": ({"x": flax.ndarray(ONES, kind=-1)}, "extension type -1 is not one of Flax's"),
    "an extension without content": ({"x": flax.Raw(flax.extension(1, b""))}, "missing"),
    "an array of two parts": (extension_of([3, 5], "float32"), "an array of 2 parts"),
    "an array of four parts": (extension_of([3, 5], "float32", bytes(60), 1), "an array of 4 parts"),
    "an array without its bytes": ({"x": flax.Raw(flax.extension(1, b"\x93\x91\x03\xa4int8"))}, "bytes missing"),
    "an array with more behind it": (extension_of([3], "int8", bytes(3), tail=b"\x00"), "the array ends at byte"),
    "a shape that is a number": (extension_of(15, "float32", bytes(60)), "expected a shape, found a whole number"),
    "a shape of text": (extension_of(["3", "5"], "float32", bytes(60)), "the size of an axis, found text"),
    "a shape of fractions": (extension_of([3.0, 5.0], "float32", bytes(60)), "the size of an axis, found a number"),
    "a shape of truths": (extension_of([True], "int8", bytes(1)), "the size of an axis, found true or false"),
    "a dtype that is bytes": (extension_of([3, 5], b"float32", bytes(60)), "expected a dtype, found bytes"),
    "data that is text": (extension_of([3], "int8", "abc"), "expected an array's bytes, found text"),
    "an object dtype": ({"x": flax.ndarray(ONES, dtype="object")}, "dtype 'object' is not known"),
    "a complex dtype": ({"x": flax.ndarray(ONES, dtype="complex64")}, "dtype 'complex64' is not known"),
    "a dtype of a megabyte": ({"x": flax.ndarray(ONES, dtype="f" * 10**6)}, "is not known"),
    "too little data": ({"x": flax.ndarray(ONES, data=bytes(59))}, r"59 bytes cannot hold \[3, 5\] of float32"),
    "too much data": ({"x": flax.ndarray(ONES, data=bytes(61))}, "61 bytes cannot hold"),
    "a wider dtype": ({"x": flax.ndarray(ONES, dtype="float64")}, "60 bytes cannot hold"),
    "a negative axis": ({"x": flax.ndarray(ONES, shape=[-3, -5])}, "60 bytes cannot hold"),
    "an axis of 2 to the 63": ({"x": flax.ndarray(ONES, shape=[2**63, 0], data=b"")}, "0 bytes cannot hold"),
    "sizes that overflow": ({"x": flax.ndarray(ONES, shape=[2**62, 4], data=b"")}, "0 bytes cannot hold"),
    "nine axes": ({"x": flax.ndarray(ONES, shape=[1] * 7 + [3, 5])}, "an array of 9 axes"),
    "four billion axes": ({"x": flax.Raw(flax.extension(1, b"\x93\xdd\xff\xff\xff\xff"))}, "of 4294967295 axes"),
    "an array that reaches out of its extension": (
        b"\x81\xa1x\xc7\x0c\x01\x93\x91\x03\xa4int8\xc4\x09" + bytes(20), "truncated or damaged: bytes",
    ),
    "pieces of another size": (pieces(shape={"0": 3, "1": 6}), r"cannot make \[3, 6\]"),
    "pieces of a negative shape": (pieces(shape={"0": -3, "1": -5}), r"cannot make \[-3, -5\]"),
    "pieces without a shape": (pieces(shape=3), "cannot make"),
    "pieces of two dtypes": (pieces(shape={"0": 2}, chunks={"0": np.ones(1), "1": np.ones(1, "int8")}), "dtypes"),
    "pieces of two axes": (pieces(chunks={"0": ONES}), "not a chunked array"),
    "no pieces": (pieces(chunks={}), "not a chunked array"),
    "pieces with a gap": (pieces(chunks={"0": np.ones(7), "2": np.ones(8)}), "not a chunked array"),
    "pieces and more": (pieces(more=ONES), "not a chunked array"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_tree_that_lies_is_refused(lie, file_of):
    tree, message = LIES[lie]
    path = file_of(tree)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=message) as error:
        read_flax_msgpack(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert peak < 2 * path.stat().st_size + (1 << 20)


def test_the_deepest_tree_that_is_allowed_is_read(file_of):
    tensors, _ = read_flax_msgpack(file_of(deep(MAX_DEPTH)))
    assert_same_bytes({"/".join("a" * MAX_DEPTH): ONES}, read_all(tensors))


@pytest.mark.parametrize("prefix", ["", "y" * 190])
def test_as_many_entries_as_are_allowed_stay_small_in_memory(prefix, tmp_path):
    count = MAX_ENTRIES - 1
    content = flax.encode({prefix or "p": {f"{index:04x}": flax.ndarray(np.ones(1, "int8")) for index in range(count)}})
    arrays = attempt(read_flax_msgpack, tmp_path / "file", content, "many entries")
    assert len(arrays) == count


def test_more_entries_than_allowed_are_refused_over_all_maps(file_of):
    branch = {f"{index:04x}": {} for index in range(MAX_ENTRIES // 2)}
    with pytest.raises(CheckpointError, match="more than"):
        read_flax_msgpack(file_of({"a": branch, "b": branch}))


@pytest.mark.parametrize("content", [b"", b"\x82", b"\xde", b"\xdf\x00\x00"])
def test_a_file_too_short_for_anything_is_refused(content, file_of):
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_flax_msgpack(file_of(content))


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_flax_msgpack(tmp_path / "file")


# Damage -------------------------------------------------------------------------------------------------------------


def test_a_truncated_file_is_always_refused(tmp_path):
    content = (FLAX / "all_kinds.msgpack").read_bytes()
    for what, changed in truncations(content, "flax", 250):
        assert attempt(read_flax_msgpack, tmp_path / "file", changed, what) is None, what


def tree_with_places(arrays):
    """Return a file's bytes and where the data of each array begins, in the order of the file."""
    content = flax.encode(flax.nested(arrays))
    places = {name: content.index(array.tobytes()) for name, array in arrays.items()}
    assert len(set(places.values())) == len(arrays)
    return content, places


def test_a_flipped_bit_is_refused_or_gives_the_bytes_of_the_file(tmp_path):
    """Without a checksum a flip in the data or in a name cannot be seen; shapes, dtypes and places never change."""
    arrays = random_arrays(SHAPES)
    content, places = tree_with_places(arrays)
    refused = unseen = 0
    for what, position, changed in flips(content, "flax", 600):
        found = attempt(read_flax_msgpack, tmp_path / "file", changed, what)
        if found is None:
            refused += 1
            continue
        unseen += 1
        assert len(found) == len(arrays), what
        for (name, start), (found_name, array) in zip(places.items(), found.items(), strict=True):
            assert array.tobytes() == changed[start : start + array.nbytes], what
            assert (array.shape, array.dtype) == (arrays[name].shape, arrays[name].dtype), what
            in_data = any(start <= position < start + arrays[other].nbytes for other, start in places.items())
            assert not in_data or name == found_name, what
    assert refused > 100
    assert unseen > 100


def test_a_flipped_bit_in_a_file_of_flax_is_refused_or_read(tmp_path):
    content = (FLAX / "chunked.msgpack").read_bytes()
    results = [
        attempt(read_flax_msgpack, tmp_path / "file", changed, what) for what, _, changed in flips(content, "c", 400)
    ]
    assert 100 < results.count(None) < 300
