"""The processes that compute a run together: one, or those that ``torchrun`` started.

Where there are several, each computes its part of every batch, and only the first one writes. Each has the whole model
(DistributedDataParallel adds the gradients up), or a part of it (:mod:`electra_pt.sharding`).
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from electra_common.pretraining.flops import fastest_product
from electra_common.runs.processes import Processes, Vector
from electra_pt.sharding import divided_modules


class RunProcesses:
    """This process's place among those of a run.

    Attributes:
        description: how many there are and which this is.
        device: where this process computes.
    """

    def __init__(self, description: Processes, device: torch.device) -> None:
        self.description = description
        self.device = device

    @property
    def count(self) -> int:
        """How many processes compute the run."""
        return self.description.count

    @property
    def can_record(self) -> bool:
        """Whether steps can be recorded as CUDA graphs: by one process, on a GPU."""
        return self.count == 1 and self.device.type == "cuda"

    def connect(self, model: nn.Module) -> Callable[..., Any]:
        """Return the model as the loop calls it: its gradients are added up where there are several processes."""
        return DistributedDataParallel(model) if self.count > 1 and not divided_modules(model) else model

    def gathers(self, network: Callable[..., Any], is_last: bool) -> AbstractContextManager[Any]:
        """Add gradients up in the last micro-batch of a step only."""
        if isinstance(network, nn.Module) and divided_modules(network):
            network.set_requires_gradient_sync(is_last)  # type: ignore[operator]
            return nullcontext()
        return network.no_sync() if self.count > 1 and not is_last else nullcontext()  # type: ignore[attr-defined]

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def matrix_speed(self, precision: str) -> float:
        """Measure how many operations a second the multiplication of two large matrices reaches here."""
        rows = 4096 if self.device.type == "cuda" else 1024
        matrix = torch.ones(rows, rows, dtype=getattr(torch, precision), device=self.device)
        return fastest_product(lambda: float((matrix @ matrix)[0, 0]), rows)


@contextmanager
def open_processes() -> Iterator[RunProcesses]:
    """Give this process's place: of the environment that ``torchrun`` sets, or alone."""
    count, number = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = _device()
    if count == 1:
        yield RunProcesses(Processes(), device)
        return
    distributed.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")

    def add_up(values: Vector) -> Vector:
        total = torch.from_numpy(values).to(device)
        distributed.all_reduce(total)
        summed: Vector = total.cpu().numpy()
        return summed

    try:
        yield RunProcesses(Processes(count, (number,), add_up), device)
    except BaseException as error:
        # Where DistributedDataParallel is the last to hold the group, torch may wait for ever for a thread that waits
        # for this one (pytorch issue 56297). So loops end before the group, and nothing is kept of those that failed.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        distributed.destroy_process_group()


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def to_tensors(arrays: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Return numpy arrays as tensors on a device."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cuda":  # From pinned memory it is copied while the GPU still computes the step before.
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
