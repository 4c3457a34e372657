"""Sharded checkpoints: indexes that transformers wrote, hand-made ones, and ones that lie."""

import json
import os
import random
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub.serialization import split_state_dict_into_shards_factory

from electra_common import CheckpointError
from electra_common.weights.formats.flax_msgpack import read_flax_msgpack
from electra_common.weights.formats.safetensors import read_safetensors
from electra_common.weights.formats.shard_index import (
    MAX_INDEX_BYTES,
    index_file_name,
    index_json,
    merge_shards,
    parse_size,
    plan_shards,
    read_shard_index,
    shard_file_name,
)
from support.damage import truncations
from support.fixtures import TESTS
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored

SHARDED_FLAX = TESTS / "fixtures" / "flax-a" / "sharded" / "flax_model.msgpack.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
SHAPES = {"a": (3, 5), "b": (7,), "c": (2, 3, 5)}
TOTAL = 4 * (15 + 7 + 30)
PLACES = {"a": FIRST, "b": FIRST, "c": SECOND}


def read_file(path):
    return read_safetensors(path)[0]


@pytest.fixture
def index_of(tmp_path):
    """Write an index (an object, or raw bytes)."""

    def make(content):
        path = tmp_path / "model.safetensors.index.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return make


@pytest.fixture
def sharded(tmp_path, index_of):
    """Write two files with the safetensors library, and an index."""

    def make(places=PLACES, metadata=None, extra=None):
        arrays = random_arrays(SHAPES)
        for file in (FIRST, SECOND):
            part = {name: array for name, array in arrays.items() if PLACES[name] == file}
            if file == SECOND:
                part |= extra or {}
            safetensors.numpy.save_file(part, tmp_path / file)
        return index_of({"metadata": metadata or {}, "weight_map": places}), arrays

    return make


# Reading ------------------------------------------------------------------------------------------------------------


def test_an_index_of_transformers_is_read_with_its_files():
    index = read_shard_index(SHARDED_FLAX)
    tensors = merge_shards(index, lambda path: read_flax_msgpack(path)[0])
    whole, _ = read_flax_msgpack(SHARDED_FLAX.parent.parent / "base-like" / "ForPreTraining.msgpack")
    assert len(index.files) == 3
    assert index.total_size == sum(tensor.nbytes for tensor in whole.values())
    assert_same_bytes(read_all(whole), read_all(tensors))


@pytest.mark.parametrize(
    "metadata", [{}, {"total_size": TOTAL}, {"total_size": float(TOTAL)}, {"more": [1], "total_size": TOTAL}]
)
def test_files_that_fit_their_index_are_merged(metadata, sharded, tmp_path):
    path, arrays = sharded(metadata=metadata)
    index = read_shard_index(path)
    assert index.files == (tmp_path / FIRST, tmp_path / SECOND)
    assert index.total_size == (TOTAL if metadata else None)
    assert_same_bytes(arrays, read_all(merge_shards(index, read_file)))


def test_an_index_without_metadata_is_read(index_of):
    assert read_shard_index(index_of({"weight_map": PLACES})).total_size is None


def test_names_that_the_format_writes_otherwise_are_renamed(sharded):
    path, arrays = sharded(places={f"model/{name}": file for name, file in PLACES.items()})
    index = read_shard_index(path)
    with pytest.raises(CheckpointError, match="does not fit"):
        merge_shards(index, read_file)
    merged = merge_shards(index, read_file, rename=lambda name: name.partition("/")[2])
    assert_same_bytes(arrays, read_all(merged))


def test_names_that_become_one_are_refused(sharded):
    index = read_shard_index(sharded()[0])
    with pytest.raises(CheckpointError, match="two of its names stand for 'x'"):
        merge_shards(index, read_file, rename=lambda name: "x")


def test_a_tied_copy_may_be_left_out_of_the_total(sharded):
    """``torch.save`` keeps both, transformers counts the storage once."""
    copy = {"d": np.zeros((7,), np.float32)}
    index = read_shard_index(sharded({**PLACES, "d": SECOND}, {"total_size": TOTAL}, copy)[0])
    assert len(merge_shards(index, read_file)) == 4


@pytest.mark.parametrize("total", [TOTAL - 1, TOTAL + 1, TOTAL - 28, TOTAL + 28, 0, 2**70])
def test_a_total_that_does_not_fit_is_refused(total, sharded):
    index = read_shard_index(sharded(metadata={"total_size": total})[0])
    with pytest.raises(CheckpointError, match=f"hold {TOTAL} bytes of tensors, expected {total}"):
        merge_shards(index, read_file)


def test_a_missing_file_is_named(sharded, tmp_path):
    index = read_shard_index(sharded()[0])
    (tmp_path / SECOND).unlink()
    with pytest.raises(CheckpointError, match=f"1 of 2 files are missing beside it: {SECOND}"):
        merge_shards(index, read_file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_never_waited_for(sharded, tmp_path, index_of):
    index = read_shard_index(sharded()[0])
    (tmp_path / SECOND).unlink()
    os.mkfifo(tmp_path / SECOND)
    with pytest.raises(CheckpointError, match="missing"):
        merge_shards(index, read_file)
    os.mkfifo(tmp_path / "index")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_shard_index(tmp_path / "index")


MISFITS = {
    "a tensor of the index is nowhere": ({**PLACES, "d": SECOND}, None, "lacks 1 tensors: d"),
    "a tensor is in the other file": ({**PLACES, "b": SECOND}, None, "also holds 1 tensors: b"),
    "a tensor is not in the index": (PLACES, {"d": np.ones(3)}, "also holds 1 tensors: d"),
    "a tensor is in both files": (PLACES, {"a": np.ones(3)}, "also holds 1 tensors: a"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_files_that_do_not_fit_their_index_are_refused(misfit, sharded):
    places, extra, message = MISFITS[misfit]
    index = read_shard_index(sharded(places, None, extra)[0])
    with pytest.raises(CheckpointError, match=message):
        merge_shards(index, read_file)


@pytest.mark.parametrize(
    "file",
    ["../x.bin", "..", ".", "", "/etc/passwd", "a/b.bin", "a\\b.bin", "..\\x", "C:x.bin", "C:\\x", "\\\\host\\x",
     "x\x00.bin", "x.bin\n", "~/x", ".hidden", "x" * 201, "file:stream",
     "%2e%2e/x", "\u202ex.bin", "\ud800", "x*.bin", "$HOME"],
)  # fmt: skip
def test_a_file_that_is_not_beside_the_index_is_refused(file, index_of):
    with pytest.raises(CheckpointError, match="which is no plain name of a file; refused") as error:
        read_shard_index(index_of({"weight_map": {"a": FIRST, "b": file}}))
    assert "\n" not in str(error.value)
    str(error.value).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        ([1], "expected a JSON object"),
        ({}, "expected a weight_map"),
        ({"weight_map": []}, "expected a weight_map"),
        ({"weight_map": {}}, "expected a weight_map"),
        ({"weight_map": "a"}, "expected a weight_map"),
        ({"weight_map": {"a": None}}, "no plain name"),
        ({"weight_map": {"a": 3}}, "no plain name"),
        ({"weight_map": {"a": ["x.bin"]}}, "no plain name"),
        ({"weight_map": PLACES, "metadata": 3}, "metadata must be an object"),
        ({"weight_map": PLACES, "metadata": {"total_size": "3"}}, "must be a number of bytes"),
        ({"weight_map": PLACES, "metadata": {"total_size": True}}, "must be a number of bytes"),
        ({"weight_map": PLACES, "metadata": {"total_size": -3}}, "must be a number of bytes"),
        ({"weight_map": PLACES, "metadata": {"total_size": 1.5}}, "must be a number of bytes"),
        (b'{"weight_map": {"a": "x", "a": "y"}}', "stands twice"),
        (b'{"weight_map": {"a": "x"}, "metadata": {"total_size": ' + b"9" * 5000 + b"}}", "cannot be read as JSON"),
        (b'{"weight_map": {"a": "x"}, "metadata": {"total_size": 1e999}}', "cannot be read as JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (MAX_INDEX_BYTES + 1), "which no index of an ELECTRA has"),
        ({"weight_map": {str(number): f"{number}.bin" for number in range(1001)}}, "names 1001 files"),
    ],
)
def test_an_index_that_is_none_is_refused(content, message, index_of):
    path = index_of(content)
    with pytest.raises(CheckpointError, match=message) as error:
        read_shard_index(path)
    assert str(error.value).startswith(f"{path}: ")


def test_an_absent_index_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_shard_index(tmp_path / "index.json")


@pytest.mark.parametrize("unit", ["[],", "{},", '"",', "0,"])
def test_an_index_of_many_small_objects_stays_small_in_memory(unit, index_of):
    count = (MAX_INDEX_BYTES - 20) // len(unit)
    path = index_of(f'{{"x": [{(count * unit)[:-1]}]}}'.encode())
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_shard_index(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * path.stat().st_size + (8 << 20)


def test_a_truncated_index_is_always_refused(index_of):
    content = SHARDED_FLAX.read_bytes()
    for what, changed in truncations(content, "index", 200):
        if changed.rstrip() == content.rstrip():
            continue
        path = index_of(changed)
        with pytest.raises(CheckpointError, match="cannot be read as JSON"):
            pytest.fail(f"{what}: {read_shard_index(path)}")


# Writing ------------------------------------------------------------------------------------------------------------


def test_names_are_those_of_transformers():
    assert shard_file_name("model", ".safetensors", 1, 3) == "model-00001-of-00003.safetensors"
    assert shard_file_name("pytorch_model", ".bin", 12, 12) == "pytorch_model-00012-of-00012.bin"
    assert shard_file_name("tf_model", ".h5", 1, 1) == "tf_model.h5"
    assert index_file_name("pytorch_model", ".bin") == "pytorch_model.bin.index.json"


@pytest.mark.parametrize(("index", "count"), [(0, 3), (4, 3), (-1, 3), (1, 0), (1, 100_000)])
def test_a_file_that_there_is_not_has_no_name(index, count):
    with pytest.raises(ValueError, match=f"file {index} of {count}"):
        shard_file_name("model", ".safetensors", index, count)


def hub_plan(tensors, size):
    """Return how huggingface_hub, which transformers asks, splits tensors."""
    split = split_state_dict_into_shards_factory(
        tensors, get_storage_size=lambda tensor: tensor.nbytes, filename_pattern="model{suffix}.safetensors",
        max_shard_size=size,
    )  # fmt: skip
    return split


def test_tensors_are_split_as_the_hub_client_splits_them():
    chooser = random.Random("plan")
    for seed in range(100):
        shapes = {f"t{index}": (chooser.randrange(1, 60),) for index in range(chooser.randrange(1, 30))}
        tensors = stored(random_arrays(shapes, seed))
        size = chooser.randrange(240, 2000)
        shards = plan_shards(tensors, size)
        split = hub_plan(tensors, size)
        names = [shard_file_name("model", ".safetensors", index + 1, len(shards)) for index in range(len(shards))]
        assert dict(zip(names, shards, strict=True)) == split.filename_to_tensors, seed


def test_an_index_is_what_the_hub_client_would_write():
    tensors = stored(random_arrays(SHAPES))
    shards = plan_shards(tensors, 120)
    names = [shard_file_name("model", ".safetensors", index + 1, len(shards)) for index in range(len(shards))]
    found = json.loads(index_json(shards, names, TOTAL))
    split = hub_plan(tensors, 120)
    assert len(names) == 2
    assert found == {"metadata": split.metadata, "weight_map": split.tensor_to_filename}


def test_a_tensor_larger_than_a_file_has_its_own():
    tensors = stored(random_arrays({"a": (3,), "b": (500,), "c": (3,), "d": (3,), "e": (500,)}))
    assert plan_shards(tensors, 24) == [["a"], ["b"], ["c", "d"], ["e"]]


def test_a_file_is_filled_to_the_byte():
    tensors = stored(random_arrays({"a": (3,), "b": (5,), "c": (1,)}))
    assert plan_shards(tensors, 32) == [["a", "b"], ["c"]]
    assert plan_shards(tensors, 31) == [["a"], ["b", "c"]]
    assert plan_shards(tensors, 10**9) == [["a", "b", "c"]]


def test_a_written_index_is_read_back(tmp_path, index_of):
    path = index_of(index_json([["b", "a"], ["c"]], [FIRST, SECOND], TOTAL).encode())
    index = read_shard_index(path)
    assert (index.weight_map, index.total_size) == (PLACES, TOTAL)


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_is_not_positive_is_refused(size):
    with pytest.raises(ValueError, match="must be positive"):
        plan_shards({}, size)


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("500MB", 5 * 10**8), ("10KB", 10**4), ("1GiB", 2**30), ("2MiB", 2**21), ("3KiB", 3072),
     ("1TB", 10**12), ("1TiB", 2**40), ("4096", 4096), ("7B", 7), (4096, 4096), ("1.5GB", 15 * 10**8), ("0.5KiB", 512),
     (" 5 GB ", 5 * 10**9)],
)  # fmt: skip
def test_sizes_are_understood(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [("5Gb", "for bytes write 5GB"), ("5gb", "for bytes write 5GB"), ("1gib", "write 1GiB"), ("5G", "is not a size"),
     ("GB", "is not a size"), ("", "is not a size"), ("-5GB", "is not a size"), ("five", "is not a size"),
     (-5, "is not a size"),
     ("5GB5", "is not a size"), ("1e9", "is not a size"), ("0", "above zero"), ("0GB", "above zero"),
     ("1.5", "whole number of bytes"), ("0.0001KB", "whole number of bytes"), ("9" * 99, "is not a size"),
     ("\u0665GB", "is not a size")],
)  # fmt: skip
def test_what_is_no_size_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_size(text)
