"""``pytorch_model.bin`` and other files of ``torch.save``, read without torch and without running anything in them.

Two containers: a zip archive (torch 1.6 and later), and a stream of pickles followed by raw bytes (before). Both hold
a pickled dict whose tensors are views of storages; the storages are mapped, not loaded. The archive has a CRC-32 of
each storage, checked when one of its tensors is first read. The stream has none: damage in its data goes unseen.

Not read: TorchScript archives, the tar files of the first versions of torch, sparse, quantised and complex tensors,
files of big-endian machines, and whole pickled models (only their state dicts).

Source: ``_load`` and ``_legacy_load`` in ``torch/serialization.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.formats.pickled_tensors import PickledStorage, PickledTensor, describe
from electra_common.weights.formats.safe_pickle import Budget, Unpickled, load_pickle
from electra_common.weights.formats.zip_archive import START_OF_ZIP, Member, read_members
from electra_common.weights.tensors import DTYPES, Array, StoredTensor, data_bytes, is_possible_shape

# Where training programs put the weights beside the optimizer and the like.
NESTED_KEYS: Final = ("state_dict", "model_state_dict", "model")
MAX_PICKLE_BYTES: Final = 8 << 20  # ELECTRA-Large's has 60 kB
# A storage may be read as several tensors (tied weights, usually two); more copies than this are no model.
MAX_COPIES: Final = 4
_BUDGET_OF_SMALL_FILES: Final = 6 << 20

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL: Final = 1001
_MAGIC_AS_PICKLED: Final = b"\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little")
_BYTES_OF_COUNT: Final = 8


@dataclass(frozen=True)
class Region:
    """Where the bytes of a storage lie in the file, and how to check them."""

    offset: int
    size: int
    check: Callable[[], None]


def looks_like_pytorch_bin(start: bytes) -> bool:
    """Whether the first bytes of a file (16 are enough) could open one of torch's containers.

    Other zip archives start alike. An ``.npz`` is told apart if ``start`` reaches to the end of its first member's
    name, for which 64 bytes are enough in practice.
    """
    if start[:4] == START_OF_ZIP:
        name_length = int.from_bytes(start[26:28], "little")
        return not start[30 : 30 + name_length].endswith(b".npy")
    pickle = start[2:] if start[:1] == b"\x80" else b""
    pickle = pickle[9:] if pickle[:1] == b"\x95" else pickle  # from protocol 4 on, a frame comes first
    return len(pickle) >= 3 and _MAGIC_AS_PICKLED.startswith(pickle[: len(_MAGIC_AS_PICKLED)])


def read_pytorch_bin(path: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors of a file by name; the metadata is always empty.

    Args:
        path: the file.
        verify: check the CRC-32 of the pickle, and of a storage when it is first read. Streams, and archives that
            torch saved with checksums switched off (all of them are 0 then), have nothing to check.

    Raises:
        CheckpointError: the file is truncated, damaged, contradicts itself, or holds more than a dict of tensors.
    """
    file = MappedFile(path)
    start = file.bytes(0, min(64, file.size))
    if not looks_like_pytorch_bin(start):
        raise CheckpointError(
            f"{path}: not a file of torch.save: expected a zip archive or torch's magic number, found {start[:16]!r}"
        )
    try:
        state, regions = _open_archive(file, verify) if start[:4] == START_OF_ZIP else _open_stream(file)
        pickled = _select_tensors(state)
        _check_storages(pickled, regions)
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from None
    return {name: _stored(file, name, tensor, regions) for name, tensor in pickled.items()}, {}


def _budget(file: MappedFile) -> Budget:
    return Budget(_BUDGET_OF_SMALL_FILES + file.size)


# The archive --------------------------------------------------------------------------------------------------------


def _open_archive(file: MappedFile, verify: bool) -> tuple[Any, dict[str, Region]]:
    members = _members_of_folder(read_members(file))
    verify = verify and any(member.checksum for member in members.values())
    if members.get("byteorder") is not None:
        order = bytes(_small_member(file, members["byteorder"], verify))
        if order != b"little":
            raise CheckpointError(f"the byte order is {order[:20]!r}; only 'little' is supported")
    if "data.pkl" not in members:
        raise CheckpointError("an archive without data.pkl, so not one of torch.save")
    unpickled = load_pickle(_small_member(file, members["data.pkl"], verify), 0, _budget(file))
    if unpickled.end != members["data.pkl"].size:
        raise CheckpointError(f"damaged: data.pkl ends at byte {unpickled.end} of {members['data.pkl'].size}")
    missing = [key for key in unpickled.storages if f"data/{key}" not in members]
    if missing:
        raise CheckpointError(f"damaged: storage {missing[0][:80]!r} is missing in the archive")
    return unpickled.value, {key: _region(file, members[f"data/{key}"], verify) for key in unpickled.storages}


def _members_of_folder(members: Mapping[str, Member]) -> dict[str, Member]:
    """Return the members without the name of the one folder that all of them lie in."""
    folders = {name.partition("/")[0] for name in members}
    if len(folders) != 1:
        raise CheckpointError(f"an archive of {len(folders)} folders; torch.save writes one")
    inner = {name.partition("/")[2]: member for name, member in members.items()}
    if "constants.pkl" in inner:
        raise CheckpointError("a TorchScript archive, which holds a program; save the model's state dict instead")
    for name, member in inner.items():
        folder, _, rest = name.rpartition("/")
        if folder not in ("", "data", ".data") or not rest:
            raise CheckpointError(f"the archive holds {name[:80]!r}, which torch.save does not write for tensors")
        if member.is_compressed:
            raise CheckpointError(f"{name[:80]!r} is compressed; torch stores members as they are")
    return inner


def _small_member(file: MappedFile, member: Member, verify: bool) -> memoryview:
    if member.size > MAX_PICKLE_BYTES:
        raise CheckpointError(f"{member.name} has {member.size} bytes (at most {MAX_PICKLE_BYTES} expected)")
    if verify:
        member.check(file)
    return member.view(file)


def _region(file: MappedFile, member: Member, verify: bool) -> Region:
    checked = not verify

    def check() -> None:
        """Check once: the arrays are views that the caller may write to."""
        nonlocal checked
        if not checked:
            member.check(file)
            checked = True

    return Region(member.offset, member.size, check)


# The stream ---------------------------------------------------------------------------------------------------------


def _open_stream(file: MappedFile) -> tuple[Any, dict[str, Region]]:
    data = file.view(0, file.size)
    budget = _budget(file)
    magic = load_pickle(data, 0, budget)
    protocol = load_pickle(data, magic.end, budget)
    if magic.value != _LEGACY_MAGIC or type(protocol.value) is not int or protocol.value != _LEGACY_PROTOCOL:
        raise CheckpointError("damaged: torch's magic number and protocol 1001 expected at the start")
    system = load_pickle(data, protocol.end, budget)
    if type(system.value) is not dict or system.value.get("little_endian") is not True:
        raise CheckpointError("written on a big-endian machine, or damaged; only little-endian files are supported")
    state = load_pickle(data, system.end, budget)
    keys = load_pickle(data, state.end, budget)
    return state.value, _lay_out_storages(file, state, keys)


def _lay_out_storages(file: MappedFile, state: Unpickled, keys: Unpickled) -> dict[str, Region]:
    """Return where each storage lies: one after the other in the order of the keys, each after its element count."""
    if type(keys.value) is not list or not all(type(key) is str for key in keys.value):
        raise CheckpointError("damaged: a list of storage keys expected after the dict of tensors")
    if sorted(keys.value) != sorted(state.storages):
        raise CheckpointError("damaged: the listed storages are not the ones that the tensors use")
    regions: dict[str, Region] = {}
    position = keys.end
    for key in keys.value:
        count = int.from_bytes(file.bytes(position, _BYTES_OF_COUNT), "little", signed=True)
        if count != state.storages[key].numel:
            raise CheckpointError(
                f"damaged: storage {key[:80]!r} has {count} elements, its tensors expect {state.storages[key].numel}"
            )
        regions[key] = Region(position + _BYTES_OF_COUNT, state.storages[key].nbytes, lambda: None)
        position += _BYTES_OF_COUNT + state.storages[key].nbytes
    if position != file.size:
        raise CheckpointError(f"truncated or damaged: the storages end at byte {position}, the file has {file.size}")
    return regions


# The dict of tensors ------------------------------------------------------------------------------------------------


def _select_tensors(state: Any) -> dict[str, PickledTensor]:
    """Return the tensors of a state dict, or of the one state dict that lies in a training checkpoint."""
    if type(state) is not dict:
        raise CheckpointError(f"expected a dict of tensors, found {describe(state)}")
    nested = [key for key in NESTED_KEYS if type(state.get(key)) is dict]
    if nested:
        if len(nested) > 1 or any(type(value) is PickledTensor for value in state.values()):
            raise CheckpointError(f"several dicts of tensors: {', '.join(nested)}, or one beside tensors")
        state = state[nested[0]]
    tensors: dict[str, PickledTensor] = {}
    for name, value in state.items():
        if type(value) is PickledTensor and type(name) is str:
            tensors[name] = value
        elif type(value) not in (int, float, bool, str, tuple, type(None)):  # step counts and the like are no weights
            raise CheckpointError(f"{str(name)[:80]}: expected a tensor, found {describe(value)}")
    return tensors


def _check_storages(tensors: Mapping[str, PickledTensor], regions: Mapping[str, Region]) -> None:
    """Refuse tensors that reach beyond their storage or need more than it has, before anything is allocated."""
    used = dict.fromkeys(regions, 0)
    for name, tensor in tensors.items():
        region = regions[tensor.storage.key]
        _check_tensor(name, tensor, region.size)
        used[tensor.storage.key] += data_bytes(tensor.shape, tensor.dtype)
        if used[tensor.storage.key] > MAX_COPIES * region.size:
            raise CheckpointError(f"{name[:80]}: more than {MAX_COPIES} copies of the {region.size} bytes it shares")


def _check_tensor(name: str, tensor: PickledTensor, available: int) -> None:
    storage: PickledStorage = tensor.storage
    if storage.nbytes != available:
        raise CheckpointError(f"{name[:80]}: its storage has {available} bytes, {storage.nbytes} expected")
    size = data_bytes(tensor.shape, tensor.dtype)
    if not is_possible_shape(tensor.shape) or size > available:
        raise CheckpointError(f"{name[:80]}: {available} bytes cannot hold {list(tensor.shape)} of {tensor.dtype}")
    if size and (tensor.offset + _extent(tensor)) * DTYPES[tensor.dtype].itemsize > available:
        raise CheckpointError(
            f"{name[:80]}: offset {tensor.offset}, shape {list(tensor.shape)} and strides {list(tensor.strides)} "
            f"reach beyond the {available} bytes of the storage"
        )


def _extent(tensor: PickledTensor) -> int:
    """Return how many elements of the storage lie from the first to the last of a tensor that is not empty."""
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))


def _stored(file: MappedFile, name: str, tensor: PickledTensor, regions: Mapping[str, Region]) -> StoredTensor:
    region = regions[tensor.storage.key]
    return StoredTensor(name, tensor.shape, tensor.dtype, lambda: _read(file, tensor, region))


def _read(file: MappedFile, tensor: PickledTensor, region: Region) -> Array:
    region.check()
    itemsize = DTYPES[tensor.dtype].itemsize
    start = region.offset + tensor.offset * itemsize
    if not math.prod(tensor.shape):
        return file.array(region.offset, tensor.shape, tensor.dtype)
    if _is_contiguous(tensor):
        return file.array(start, tensor.shape, tensor.dtype)
    span = file.array(start, (_extent(tensor),), tensor.dtype)
    # The stride of an axis of length 1 is never used, and may be anything.
    strides = [stride * itemsize if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    return np.ndarray(tensor.shape, span.dtype, span.view(np.uint8), strides=strides)


def _is_contiguous(tensor: PickledTensor) -> bool:
    """Whether the elements lie in the storage without gaps, in row order."""
    expected = 1
    for size, stride in zip(tensor.shape[::-1], tensor.strides[::-1], strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True
