"""torch and this library open each other's pytorch_model.bin: both containers, every dtype, views and ties."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from electra_common import CheckpointError  # noqa: E402
from electra_common.weights.formats import pytorch_bin_writer  # noqa: E402
from electra_common.weights.formats.pytorch_bin import looks_like_pytorch_bin, read_pytorch_bin  # noqa: E402
from electra_common.weights.formats.pytorch_bin_writer import write_pytorch_bin  # noqa: E402
from electra_common.weights.formats.safetensors import read_safetensors  # noqa: E402
from support.fixtures import ALL_HEADS, CONFIGURATIONS, TRANSFORMERS  # noqa: E402
from support.tiny_networks import random_arrays, read_all, stored  # noqa: E402

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
          "uint8", "bool")  # fmt: skip
CONTAINERS = {
    "archive": {},
    "archive of protocol 4": {"pickle_protocol": 4},
    "stream": {"_use_new_zipfile_serialization": False},
    "stream of protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}
ALL_CONTAINERS = pytest.mark.parametrize("options", CONTAINERS.values(), ids=CONTAINERS)


def raw(tensor):
    """The bytes of a tensor in row order; numpy has no bfloat16 of its own."""
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def assert_equal(expected, found):
    """Assert that arrays hold what torch's tensors do."""
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        assert found[name].shape == tuple(tensor.shape), name
        assert f"torch.{found[name].dtype.name}" == str(tensor.dtype), name
        assert found[name].tobytes() == raw(tensor), name


def tensors_of_all_kinds():
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(6, 7, generator=generator)
    tensors = {f"of {dtype}": (torch.arange(11) % 2).to(getattr(torch, dtype)) for dtype in DTYPES}
    return {
        **tensors,
        "base": base,
        "tied": base,
        "transposed": base.T,
        "part": base[1:5:2, ::3],
        "row": base[3],
        "scalar": base[2, 3],
        "expanded": base[:1, :3].expand(5, 3),
        "permuted": torch.randn(3, 5, 7, generator=generator).permute(2, 0, 1),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3, 5, generator=generator)),
        "frozen": torch.nn.Parameter(torch.randn(5, generator=generator), requires_grad=False),
        "part of bfloat16": torch.randn(5, 6, generator=generator).bfloat16()[:, 1:4],
        "part of float16": torch.randn(5, 6, generator=generator).half().T[2:],
        "position_ids": torch.arange(9).expand(1, -1),
    }


# Reading ------------------------------------------------------------------------------------------------------------


@ALL_CONTAINERS
def test_what_torch_saves_is_read(options, tmp_path):
    tensors = tensors_of_all_kinds()
    torch.save(tensors, tmp_path / "file", **options)
    assert looks_like_pytorch_bin((tmp_path / "file").read_bytes()[:16])
    assert_equal(tensors, read_all(read_pytorch_bin(tmp_path / "file")[0]))


@ALL_CONTAINERS
def test_the_state_dict_of_a_module_is_read(options, tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.LayerNorm(5), torch.nn.Linear(5, 2, bias=False))
    state = module.state_dict(keep_vars=True)
    assert state._metadata  # it is pickled as an attribute
    torch.save(state, tmp_path / "file", **options)
    assert_equal(state, read_all(read_pytorch_bin(tmp_path / "file")[0]))


@ALL_CONTAINERS
@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_training_checkpoint_is_read(key, options, tmp_path):
    module = torch.nn.Linear(3, 5)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    checkpoint = {"epoch": 3, "loss": 0.5, key: module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, tmp_path / "file", **options)
    assert_equal(module.state_dict(), read_all(read_pytorch_bin(tmp_path / "file")[0]))


@ALL_CONTAINERS
def test_other_values_beside_the_tensors_are_passed_over(options, tmp_path):
    values = {"x": torch.ones(3), "size": torch.Size([3, 5]), "step": 2**40, "rate": 0.1, "note": "ä", "nothing": None}
    torch.save(values, tmp_path / "file", **options)
    assert_equal({"x": values["x"]}, read_all(read_pytorch_bin(tmp_path / "file")[0]))


def test_an_archive_saved_without_checksums_is_read(tmp_path):
    tensors = tensors_of_all_kinds()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(tensors, tmp_path / "file")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_equal(tensors, read_all(read_pytorch_bin(tmp_path / "file")[0]))


@ALL_CONTAINERS
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.nn.Linear(3, 5), "unsafe: the pickle asks for 'torch.nn.modules.linear' 'Linear'"),
        ({"x": torch.ones(3).to_sparse()}, "unsafe: the pickle asks for 'torch._utils' '_rebuild_sparse_tensor'"),
        ({"x": torch.ones(3, dtype=torch.complex64)}, "unsafe: the pickle asks for 'torch' 'ComplexFloatStorage'"),
        ([torch.ones(3)], "expected a dict of tensors, found an object of type list"),
        (torch.ones(3), "expected a dict of tensors, found a tensor"),
    ],
    ids=["a module", "sparse", "complex", "a list", "a tensor"],
)
def test_what_is_no_dict_of_plain_tensors_is_refused(value, message, options, tmp_path):
    torch.save(value, tmp_path / "file", **options)
    with pytest.raises(CheckpointError, match=message):
        read_pytorch_bin(tmp_path / "file")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit is on its way out; its files are still around
def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 5)), tmp_path / "file")
    with pytest.raises(CheckpointError, match="a TorchScript archive, which holds a program"):
        read_pytorch_bin(tmp_path / "file")


# Writing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("limit", [pytest.param(2**32 - 1, id="small"), pytest.param(3, id="zip64")])
def test_what_we_write_opens_in_torch(limit, mapped, tmp_path, monkeypatch):
    """With the limit lowered, a small file has the structures of one beyond 4 GB."""
    monkeypatch.setattr(pytorch_bin_writer, "ZIP64_FROM", limit)
    torch.save(tensors_of_all_kinds(), tmp_path / "theirs")
    tensors, _ = read_pytorch_bin(tmp_path / "theirs")
    with open(tmp_path / "ours", "xb") as stream:
        write_pytorch_bin(stream, tensors, shared={"second name": "base"})
    found = torch.load(tmp_path / "ours", weights_only=True, mmap=mapped)
    assert found["second name"].data_ptr() == found["base"].data_ptr()
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.values())
    arrays = read_all(tensors)
    assert_equal(found, {**arrays, "second name": arrays["base"]})


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_transformers_checkpoint_written_here_opens_in_torch(configuration, head, tmp_path):
    tensors, _ = read_safetensors(TRANSFORMERS / configuration / head / "model.safetensors")
    with open(tmp_path / "file", "xb") as stream:
        write_pytorch_bin(stream, tensors)
    found = torch.load(tmp_path / "file", weights_only=True)
    assert_equal(found, read_all(tensors))


def test_a_dict_without_tensors_opens_in_torch(tmp_path):
    with open(tmp_path / "file", "xb") as stream:
        write_pytorch_bin(stream, {})
    assert torch.load(tmp_path / "file", weights_only=True) == {}
    assert read_pytorch_bin(tmp_path / "file") == ({}, {})


def test_names_and_shapes_at_their_limits_open_in_torch(tmp_path):
    arrays = random_arrays({"": (3,), "ä" * 300: (1,) * 8, "x.\ny": (2, 0, 3)})
    with open(tmp_path / "file", "xb") as stream:
        write_pytorch_bin(stream, stored(arrays))
    found = torch.load(tmp_path / "file", weights_only=True)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
