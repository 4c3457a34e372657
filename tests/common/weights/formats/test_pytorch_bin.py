"""pytorch_model.bin: transformers' files are read exactly, without torch; what is written is what torch.save writes."""

import io
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from electra_common import CheckpointError
from electra_common.weights.formats import pytorch_bin_writer
from electra_common.weights.formats.pytorch_bin import looks_like_pytorch_bin, read_pytorch_bin
from electra_common.weights.formats.pytorch_bin_writer import write_pytorch_bin
from electra_common.weights.tensors import StoredTensor
from support import torch_files as torch
from support.fixtures import ALL_HEADS, CONFIGURATIONS, TRANSFORMERS
from support.tiny_networks import assert_same_bytes, random_arrays, read_all, stored

TIED = ("generator_lm_head.weight", "electra.embeddings.word_embeddings.weight")
VALUES = np.arange(15, dtype="<f4")
FORMS = pytest.mark.parametrize("write", [torch.write_archive, torch.write_stream])


def arrays_of_all_kinds():
    arrays = random_arrays({"scalar": (), "empty": (0, 3), "vector": (7,), "matrix": (3, 5), "cube": (2, 3, 5)})
    for dtype in (
        "float64", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
        ml_dtypes.bfloat16,
    ):  # fmt: skip
        arrays[f"of {np.dtype(dtype).name}"] = (np.arange(11) % 2).astype(dtype)
    return arrays


@pytest.fixture
def read(tmp_path):
    """Write a file with one of the writers of ``support.torch_files`` and read all of it."""

    def read(write, pickle, *arguments, **options):
        return read_all(read_pytorch_bin(write(tmp_path / "file", pickle, *arguments, **options))[0])

    return read


# Reading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_file_of_transformers_holds_what_the_safetensors_file_beside_it_holds(configuration, head):
    folder = TRANSFORMERS / configuration / head
    tensors, metadata = read_pytorch_bin(folder / "pytorch_model.bin")
    found, expected = read_all(tensors), load_file(folder / "model.safetensors")
    if head == "ForMaskedLM":  # safetensors files have tied weights once
        expected[TIED[0]] = expected[TIED[1]]
    assert metadata == {}
    assert_same_bytes(expected, found)


@FORMS
def test_a_tensor_is_read(write, read):
    assert_same_bytes({"x": VALUES.reshape(3, 5)}, read(write, torch.state(x=torch.tensor()), {"0": VALUES.tobytes()}))


@FORMS
def test_views_of_one_storage_are_read(write, read):
    views = {
        "transposed": (VALUES.reshape(3, 5).T, torch.tensor((5, 3), (1, 5))),
        "column": (VALUES.reshape(3, 5)[:, 2], torch.tensor((3,), (5,), 2)),
        "middle": (VALUES[4:11], torch.tensor((7,), (1,), 4)),
        "scalar": (VALUES[14].reshape(()), torch.tensor((), (), 14)),
        "expanded": (np.broadcast_to(VALUES[3:5, None], (2, 3)), torch.tensor((2, 3), (1, 0), 3)),
        "any stride where the axis has length 1": (VALUES[2:5, None], torch.tensor((3, 1), (1, 2**61), 2)),
        "empty": (np.zeros((0, 3), "f4"), torch.tensor((0, 3), (3, 1), 15)),
    }
    found = read(write, torch.state(**{name: pickle for name, (_, pickle) in views.items()}), {"0": VALUES.tobytes()})
    assert_same_bytes({name: array for name, (array, _) in views.items()}, found)


@FORMS
def test_the_oldest_way_to_pickle_a_tensor_is_read(write, read):
    pickle = torch.state(x=torch.tensor(function="_rebuild_tensor", more=b""))
    assert_same_bytes({"x": VALUES.reshape(3, 5)}, read(write, pickle, {"0": VALUES.tobytes()}))


@FORMS
@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_the_state_dict_in_a_training_checkpoint_is_found(key, write, read):
    optimizer = torch.items(state=b"}", param_groups=b"]" + b"}" + b"a", step=torch.integer(7))
    inner = torch.items(x=torch.tensor())
    pickle = torch.state(**{key: inner, "optimizer": optimizer, "epoch": torch.integer(3), "loss": b"G" + bytes(8)})
    assert list(read(write, pickle)) == ["x"]


@FORMS
def test_numbers_and_text_beside_the_tensors_are_passed_over(write, read):
    size = torch.name_of("torch", "Size") + torch.group(torch.sizes((3, 5))) + b"R"
    pickle = torch.state(
        x=torch.tensor(), step=torch.integer(3), note=torch.text("ä"), flag=b"\x88", none=b"N", size=size
    )
    assert list(read(write, pickle)) == ["x"]


@FORMS
def test_the_attributes_of_an_ordered_dict_are_dropped(write, read):
    metadata = torch.items(_metadata=torch.ORDERED_DICT + torch.text("") + torch.items(version=torch.integer(1)) + b"s")
    ordered = torch.ORDERED_DICT + b"(" + torch.text("x") + torch.tensor() + b"u"
    assert list(read(write, torch.pickled(ordered + metadata + b"b"))) == ["x"]


@FORMS
def test_a_file_without_tensors_is_read(write, read):
    assert read(write, torch.pickled(b"}"), {}) == {}


def test_arrays_may_be_changed_without_changing_the_file(tmp_path):
    path = torch.write_archive(tmp_path / "file", torch.state(x=torch.tensor(), y=torch.tensor()))
    before = path.read_bytes()
    tensors, _ = read_pytorch_bin(path)
    tensors["x"].read()[:] = 7
    np.testing.assert_array_equal(tensors["y"].read(), 7)  # one storage, as in torch
    assert path.read_bytes() == before


@pytest.mark.parametrize("position", [0, 30, 59])
def test_damage_in_the_data_of_an_archive_is_found_when_the_tensor_is_read(position, tmp_path):
    data = VALUES.tobytes()
    pickle = torch.state(x=torch.tensor(), y=torch.tensor(of=torch.storage("1")))
    path = torch.write_archive(tmp_path / "file", pickle, {"0": data, "1": data[::-1]})
    content = bytearray(path.read_bytes())
    content[content.index(data) + position] ^= 1
    path.write_bytes(content)
    tensors, _ = read_pytorch_bin(path)
    tensors["y"].read()
    with pytest.raises(CheckpointError, match=r"any name/data/0: damaged: its checksum is \w{8}, the file"):
        tensors["x"].read()
    found = read_pytorch_bin(path, verify=False)[0]["x"].read()
    assert found.tobytes()[position] == data[position] ^ 1


# Recognising --------------------------------------------------------------------------------------------------------


def test_both_containers_are_recognised_by_sixteen_bytes(tmp_path):
    archive = torch.write_archive(tmp_path / "archive", torch.pickled(b"}"))
    stream = torch.write_stream(tmp_path / "stream", torch.pickled(b"}"))
    protocol_4 = bytes.fromhex("80 04 95 0d 00 00 00 00 00 00 00 8a 0a 6c fc 9c 46 f9 20 6a a8 50 19 2e")
    fixture = TRANSFORMERS / "small-like" / "Model" / "pytorch_model.bin"
    for content in (archive.read_bytes(), stream.read_bytes(), protocol_4, fixture.read_bytes()):
        assert looks_like_pytorch_bin(content[:16])
        assert looks_like_pytorch_bin(content[:64])


def test_other_files_are_not_taken_for_one(tmp_path):
    np.savez(tmp_path / "file.npz", **{"electra/embeddings": np.ones(3)})
    npz = (tmp_path / "file.npz").read_bytes()
    table = (TRANSFORMERS / "small-like" / "Model" / "model.safetensors").read_bytes()
    h5 = (TRANSFORMERS / "small-like" / "Model" / "tf_model.h5").read_bytes()
    for content in (
        b"",
        b"PK",
        npz,
        table,
        h5,
        b"<!DOCTYPE html>",
        b"version https://git-lfs.github.com",
        b"\x80\x02}.",
    ):
        assert not looks_like_pytorch_bin(content[:64])


# Refusing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PK", b"<!DOCTYPE html><html>", b"version https://git-lfs", b"\x80\x02}."])
def test_a_file_that_is_something_else_is_refused(content, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not a file of torch\.save") as error:
        read_pytorch_bin(path)
    assert str(error.value).startswith(f"{path}: ")


X = torch.tensor()
WRONG_DICTS = {
    "a tensor alone": (torch.pickled(X), "expected a dict of tensors, found a tensor"),
    "a list": (
        torch.pickled(b"]" + torch.storage() + b"a"),
        "expected a dict of tensors, found an object of type list",
    ),
    "an unknown level": (torch.state(net=torch.items(x=X)), "net: expected a tensor, found an object of type dict"),
    "two levels": (torch.state(model=torch.items(state_dict=torch.items(x=X))), "state_dict: expected a tensor"),
    "two state dicts": (torch.state(model=torch.items(x=X), state_dict=torch.items(x=X)), "several dicts of tensors"),
    "a state dict beside tensors": (torch.state(model=torch.items(x=X), y=X), "several dicts of tensors"),
    "a name that is a number": (torch.pickled(b"}" + torch.integer(3) + X + b"s"), "3: expected a tensor"),
    "a storage": (torch.state(x=torch.storage()), "x: expected a tensor, found a storage"),
}


@FORMS
@pytest.mark.parametrize("case", WRONG_DICTS)
def test_what_is_no_plain_dict_of_tensors_is_refused(case, write, tmp_path):
    pickle, message = WRONG_DICTS[case]
    path = write(tmp_path / "file", pickle)
    with pytest.raises(CheckpointError, match=message) as error:
        read_pytorch_bin(path)
    assert str(error.value).startswith(f"{path}: ")


# Writing ------------------------------------------------------------------------------------------------------------


def written(path, arrays, **options):
    with open(path, "xb") as stream:
        write_pytorch_bin(stream, stored(arrays), **options)
    return path


@pytest.mark.parametrize("limit", [pytest.param(2**32 - 1, id="small"), pytest.param(3, id="zip64")])
def test_a_written_file_is_an_archive_as_torch_makes_it(limit, tmp_path, monkeypatch):
    """With the limit lowered, a small file has the structures of one beyond 4 GB."""
    monkeypatch.setattr(pytorch_bin_writer, "ZIP64_FROM", limit)
    arrays = arrays_of_all_kinds()
    with zipfile.ZipFile(written(tmp_path / "file", arrays)) as archive:
        assert archive.testzip() is None
        data = [f"archive/data/{number}" for number in range(len(arrays))]
        assert archive.namelist() == ["archive/data.pkl", "archive/byteorder", *data, "archive/version"]
        assert archive.read("archive/byteorder") == b"little"
        assert [archive.read(name) for name in data] == [array.tobytes() for array in arrays.values()]
        assert {(info.compress_type, info.date_time) for info in archive.infolist()} == {(0, (1980, 1, 1, 0, 0, 0))}


@pytest.mark.parametrize("limit", [2**32 - 1, 3])
def test_a_written_file_is_read_back(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(pytorch_bin_writer, "ZIP64_FROM", limit)
    arrays = arrays_of_all_kinds()
    tensors, _ = read_pytorch_bin(written(tmp_path / "file", arrays, shared={"tied": "matrix"}))
    assert_same_bytes({**arrays, "tied": arrays["matrix"]}, read_all(tensors))
    assert np.shares_memory(tensors["tied"].read(), tensors["matrix"].read())


def test_every_tensor_is_aligned_to_64_bytes(tmp_path):
    path = written(tmp_path / "file", arrays_of_all_kinds())
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name_length, extra_length = struct.unpack_from("<HH", content, info.header_offset + 26)
            assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0, info.filename


def test_the_same_tensors_make_the_same_bytes(tmp_path):
    first = written(tmp_path / "first", arrays_of_all_kinds(), shared={"tied": "matrix"})
    second = written(tmp_path / "second", arrays_of_all_kinds(), shared={"tied": "matrix"})
    assert first.read_bytes() == second.read_bytes()


def test_arrays_in_other_layouts_are_written_in_row_order_and_little_endian(tmp_path):
    arrays = {"transposed": VALUES.reshape(3, 5).T, "big": VALUES.astype(">f4")}
    found = read_all(read_pytorch_bin(written(tmp_path / "file", arrays))[0])
    np.testing.assert_array_equal(found["transposed"], arrays["transposed"])
    np.testing.assert_array_equal(found["big"], VALUES)


def test_one_tensor_after_the_other_is_read_and_released():
    alive, most = set(), []

    class Counted(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def read():
        array = np.ones((3, 5), np.float32).view(Counted)
        alive.add(id(array))
        most.append(len(alive))
        return array

    tensors = {name: StoredTensor(name, (3, 5), "float32", read) for name in "abcde"}
    told = []
    write_pytorch_bin(io.BytesIO(), tensors, progress=told.append)
    assert most == [1] * 5
    assert told == [60] * 5


@pytest.mark.parametrize("shared", [{"a": "b"}, {"c": "d"}])
def test_a_shared_name_must_be_new_and_stand_for_a_tensor(shared):
    with pytest.raises(ValueError, match="cannot share a storage"):
        write_pytorch_bin(io.BytesIO(), stored(random_arrays({"a": (3,), "b": (3,)})), shared=shared)
