"""The bundle reader against files that TensorFlow itself writes: dtypes, slices, several shards, large indexes."""

import numpy as np
import pytest

from electra_common.weights.formats.tf1_bundle import read_bundle
from support.fixtures import GOOGLE

tf = pytest.importorskip("tensorflow")

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")


def save(prefix, tensors, slices=None):
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[(slices or {}).get(name, "") for name in tensors],
        tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_bit_for_bit(tmp_path, dtype):
    array = tf.cast(tf.reshape(tf.range(-5, 10), (3, 5)), dtype)
    save(tmp_path / "ckpt", {"a/b": array, "empty": tf.zeros((0, 3), array.dtype), "scalar": array[1, 2]})
    tensors, skipped = read_bundle(tmp_path / "ckpt")
    assert skipped == ()
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} == {
        "a/b": ((3, 5), dtype),
        "empty": ((0, 3), dtype),
        "scalar": ((), dtype),
    }
    assert tensors["a/b"].read().tobytes() == array.numpy().tobytes()
    assert tensors["scalar"].read() == array[1, 2].numpy()


def test_a_partitioned_variable_is_put_together(tmp_path):
    """Three uneven parts of [1000, 7], each saved by a device of its own and merged, as Google's pods did."""
    whole = np.random.default_rng(0).normal(size=(1000, 7)).astype("float32")
    bounds = [(0, 334), (334, 333), (667, 333)]
    for index, (start, length) in enumerate(bounds):
        save(tmp_path / f"part{index}", {"p/w": whole[start : start + length]}, {"p/w": f"1000 7 {start},{length}:0,7"})
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(tmp_path / f"part{index}") for index in range(3)],
        destination_prefix=str(tmp_path / "merged"),
    )
    tensors, _ = read_bundle(tmp_path / "merged")
    assert list(tensors) == ["p/w"]
    assert np.array_equal(tensors["p/w"].read(), whole)
    assert len(list(tmp_path.glob("merged.data-*"))) == 3


def test_slices_along_both_axes_are_put_together(tmp_path):
    whole = np.arange(70 * 130, dtype="float64").reshape(70, 130)
    for index, (row, column) in enumerate([(0, 0), (0, 65), (64, 0), (64, 65)]):
        part = whole[row : row + (64 if row == 0 else 6), column : column + 65]
        save(tmp_path / f"part{index}", {"w": part},
             {"w": f"70 130 {row},{part.shape[0]}:{column},{part.shape[1]}"})  # fmt: skip
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(tmp_path / f"part{index}") for index in range(4)],
        destination_prefix=str(tmp_path / "merged"),
    )
    tensors, _ = read_bundle(tmp_path / "merged")
    assert np.array_equal(tensors["w"].read(), whole)


def test_an_index_of_many_blocks_is_read_in_full(tmp_path):
    expected = {f"layer_{index:05d}/with/a/rather/long/name/kernel": np.float32(index) for index in range(6000)}
    save(tmp_path / "ckpt", expected)
    assert (tmp_path / "ckpt.index").stat().st_size > 262144  # more than one block
    tensors, _ = read_bundle(tmp_path / "ckpt")
    assert {name: tensor.read()[()] for name, tensor in tensors.items()} == expected


def test_strings_are_listed_and_not_read(tmp_path):
    save(tmp_path / "ckpt", {"note": tf.constant(["hello", "world"]), "w": tf.ones((2, 3))})
    tensors, skipped = read_bundle(tmp_path / "ckpt")
    assert list(tensors) == ["w"]
    assert skipped == ("note",)


@pytest.mark.parametrize("name", ["init", "trained"])
def test_googles_checkpoint_reads_the_same_here_as_in_tensorflow(name):
    prefix = next((GOOGLE / name).glob("*.index")).with_suffix("")
    tensors, _ = read_bundle(prefix)
    reader = tf.train.load_checkpoint(str(prefix))
    assert set(tensors) == set(reader.get_variable_to_shape_map())
    for key, tensor in tensors.items():
        assert tensor.read().tobytes() == reader.get_tensor(key).tobytes(), key
