"""What the pickle inside ``pytorch_model.bin`` may speak of: tensors, storages, and a few named functions.

All of it is inert. A function here is a mark in an enumeration, and :func:`call` says what it stands for. What is not
in :data:`GLOBALS` does not exist for the reader of the pickle, ``safe_pickle.py``.

Source: ``torch/_utils.py`` for the arguments, ``Tensor._reduce_ex_internal`` in ``torch/_tensor.py`` for when each is
used, and ``persistent_load`` in ``torch/serialization.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.tensors import DTYPES

MAX_RANK: Final = 8
_SIZE_LIMIT: Final = 1 << 62


class Function(Enum):
    """The functions that the pickle of a state dict calls."""

    ORDERED_DICT = "collections.OrderedDict"
    SIZE = "torch.Size"
    TENSOR = "torch._utils._rebuild_tensor"
    TENSOR_V2 = "torch._utils._rebuild_tensor_v2"
    TENSOR_V3 = "torch._utils._rebuild_tensor_v3"
    PARAMETER = "torch._utils._rebuild_parameter"


@dataclass(frozen=True, slots=True)
class Dtype:
    """``torch.float32`` and the like, or the dtype that a class such as ``torch.FloatStorage`` stands for."""

    name: str
    is_storage: bool


@dataclass(frozen=True, slots=True)
class PickledStorage:
    """A storage that lies elsewhere in the file, under a key; ``numel`` counts elements of ``dtype``."""

    key: str
    dtype: str
    numel: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.numel * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A view of a storage; offset and strides count elements of ``dtype``."""

    storage: PickledStorage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_STORAGE_CLASSES: Final = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip

# By module and name, exactly as they stand in the pickle.
GLOBALS: Final[dict[tuple[str, str], Function | Dtype]] = {
    **{(function.value.rpartition(".")[0], function.value.rpartition(".")[2]): function for function in Function},
    **{("torch", name): Dtype(dtype, is_storage=True) for name, dtype in _STORAGE_CLASSES.items()},
    **{("torch", name): Dtype(name, is_storage=False) for name in DTYPES},
    ("torch.storage", "UntypedStorage"): Dtype("uint8", is_storage=True),  # counts bytes
}


def describe(value: Any) -> str:
    """Return what kind of object an unpickled value is; it is not printed itself, as it may be huge."""
    names = {Function: "a function", PickledTensor: "a tensor", PickledStorage: "a storage", type(None): "nothing"}
    return names.get(type(value), f"an object of type {type(value).__name__}")


def storage_of(reference: Any) -> PickledStorage:
    """Return the storage for ('storage', class, key, device, numel); legacy files add a sixth item, None.

    The device is where the storage was when it was saved, which does not matter here.
    """
    if type(reference) is not tuple or len(reference) not in (5, 6) or not _is_text(reference[0], "storage"):
        raise CheckpointError("the pickle refers to something in the file that is not a storage")
    _, dtype, key, device, numel = reference[:5]
    if len(reference) == 6 and reference[5] is not None:
        raise CheckpointError("the pickle holds views of storages, as only the first versions of torch wrote them")
    if type(dtype) is not Dtype or not dtype.is_storage or type(key) is not str or type(device) is not str:
        raise CheckpointError("the pickle is damaged: a storage lacks its class, key or device")
    return PickledStorage(key, dtype.name, _size(numel, "the size of a storage"))


def call(function: Function, arguments: tuple[Any, ...]) -> Any:
    """Return what one of the functions would return for these arguments."""
    if function is Function.ORDERED_DICT:
        _expect_count(function, arguments, 0)
        return {}
    if function is Function.SIZE:
        _expect_count(function, arguments, 1)
        return _sizes(arguments[0], "torch.Size")
    if function is Function.PARAMETER:
        return _parameter(arguments)
    if function is Function.TENSOR:
        _expect_count(function, arguments, 4)
        return _tensor(arguments)
    if function is Function.TENSOR_V2:
        _expect_count(function, arguments, 6, 7)
        _expect_no_extras(arguments[4], arguments[5], arguments[6:])
        return _tensor(arguments)
    _expect_count(function, arguments, 7, 8)
    _expect_no_extras(arguments[4], arguments[5], arguments[7:])
    return _tensor(arguments, arguments[6])


def _parameter(arguments: tuple[Any, ...]) -> PickledTensor:
    _expect_count(Function.PARAMETER, arguments, 3)
    tensor, requires_gradient, hooks = arguments
    _expect_no_extras(requires_gradient, hooks, ())
    if type(tensor) is not PickledTensor:
        raise CheckpointError(f"the pickle is damaged: a parameter made of {describe(tensor)}")
    return tensor


def _tensor(arguments: tuple[Any, ...], dtype: Any = None) -> PickledTensor:
    """Return the tensor for (storage, offset, shape, strides, ...); its dtype is the storage's unless one is given."""
    storage, offset, shape, strides = arguments[:4]
    if type(storage) is not PickledStorage:
        raise CheckpointError(f"the pickle is damaged: a tensor whose storage is {describe(storage)}")
    if dtype is not None and (type(dtype) is not Dtype or dtype.is_storage):
        raise CheckpointError(f"the pickle is damaged: a tensor whose dtype is {describe(dtype)}")
    tensor = PickledTensor(
        storage, dtype.name if dtype else storage.dtype, _size(offset, "the offset of a tensor"),
        _sizes(shape, "the shape of a tensor"), _sizes(strides, "the strides of a tensor"),
    )  # fmt: skip
    if len(tensor.shape) != len(tensor.strides):
        raise CheckpointError(f"the pickle is damaged: {len(tensor.shape)} axes with {len(tensor.strides)} strides")
    return tensor


def _expect_count(function: Function, arguments: tuple[Any, ...], *counts: int) -> None:
    if len(arguments) not in counts:
        raise CheckpointError(f"the pickle calls {function.value} with {len(arguments)} arguments")


def _expect_no_extras(requires_gradient: Any, hooks: Any, metadata: tuple[Any, ...]) -> None:
    """Hooks are always saved empty; metadata (conjugated, negated) is for tensors that are no weights."""
    if type(requires_gradient) is not bool or not _is_nothing(hooks) or not all(map(_is_nothing, metadata)):
        raise CheckpointError("the pickle holds a tensor with hooks or metadata")


def _is_nothing(value: Any) -> bool:
    return value is None or (type(value) is dict and not value)


def _is_text(value: Any, expected: str) -> bool:
    return type(value) is str and value == expected


def _sizes(value: Any, what: str) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > MAX_RANK:
        raise CheckpointError(f"the pickle is damaged: {what} must be a tuple of at most {MAX_RANK} numbers")
    return tuple(_size(item, what) for item in value)


def _size(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < _SIZE_LIMIT:
        found = value if type(value) is int else describe(value)
        raise CheckpointError(f"the pickle is damaged: {what} is {found}")
    return value
