"""A model divided among processes (FSDP2): each holds a part of every parameter, its gradient and Adam's state.

What it is for: pre-training what one device has no room for, and reading and writing it whole. Torch's classes for this
are imported where they are needed: that takes a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeGuard, TypeVar, cast

from torch import Tensor, nn

from electra_pt.encoder import ElectraLayer

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

Read = TypeVar("Read")


def shard(model: nn.Module) -> None:
    """Leave to each process a part of every parameter; a layer is put together while it is computed.

    Args:
        model: the same in every process; is changed in place. Its optimizer is made after this.
    """
    from torch.distributed.fsdp import fully_shard

    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")  # nothing changes it
    for module in [*model.modules()]:
        if isinstance(module, ElectraLayer):
            fully_shard(module)
    fully_shard(model)


def divided_modules(model: nn.Module) -> list[FSDPModule]:
    """Return the modules whose parameters are gathered and divided together; none where the model is not divided."""
    return [cast("FSDPModule", module) for module in model.modules() if hasattr(module, "unshard")]


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Let every process see whole parameters, to write them: all must come here."""
    for part in divided_modules(model):
        part.unshard()
    yield
    for part in divided_modules(model):
        part.reshard()


def read_by_all(model: nn.Module, read: Callable[[], Read]) -> Callable[[], Read]:
    """Return a function that gives a value of the optimizer: read now if it takes all processes, else at its call.

    Args:
        model: the optimizer's.
        read: reads the value; a collective operation where the model is divided.
    """
    if not divided_modules(model):
        return read
    for part in divided_modules(model):  # The optimizer knows the parts; after an evaluation some parameters are whole.
        part.reshard()
    value = read()
    return lambda: value


def is_divided(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether a tensor is divided among processes."""
    return hasattr(tensor, "full_tensor")


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor whole; where processes divide it among them, all must come here."""
    return tensor.full_tensor() if is_divided(tensor) else tensor
