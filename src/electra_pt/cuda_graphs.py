"""Training steps recorded on a GPU once and replayed, so that it waits for no processor to launch each kernel.

What it is for: steps whose shapes never change, as in :mod:`electra_pt.pretraining`, where a small network's kernels
are shorter than their launching. What it is not: a compiler; what is recorded may be compiled before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

_PLAIN_CALLS: Final = 3  # before recording, so that compiling, measuring kernels and making state are over

Inputs = list[dict[str, Tensor]]


class RecordedStep:
    """A step on a GPU that launches the same kernels whenever it is given inputs of the same names, shapes and dtypes.

    The first calls with such inputs are plain ones; then the step is recorded as a CUDA graph, which all later calls
    replay. Random numbers are those of plain calls, for seeds that are set before a call.

    Args:
        step: computes with tensors on the GPU alone and waits for none of them; returns a tensor. What it moves, as
            weights and Adam's state, lies in the same memory after its first call.
    """

    def __init__(self, step: Callable[[Inputs], Tensor]) -> None:
        self._step = step
        self._plain_calls: dict[tuple[object, ...], int] = {}
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        # One replay is over before the next begins and its result is copied, so that all use the same memory.
        self._pool: Any = None

    def __call__(self, inputs: Inputs) -> Tensor:
        kind = _kind(inputs)
        calls = self._plain_calls.setdefault(kind, 0)
        if calls < _PLAIN_CALLS:
            self._plain_calls[kind] += 1
            return self._step(inputs)
        if kind not in self._recordings:
            self._recordings[kind] = _Recording(self._step, inputs, self._pool)
            self._pool = self._recordings[kind].pool
        return self._recordings[kind].replay(inputs)


class _Recording:
    """One CUDA graph, with the memory that its inputs are read from and its result is written to.

    Attributes:
        pool: where what it computes lies.
    """

    def __init__(self, step: Callable[[Inputs], Tensor], inputs: Inputs, pool: Any) -> None:
        self._inputs = [{name: tensor.clone() for name, tensor in tensors.items()} for tensors in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):  # records and computes nothing
            self._result = step(self._inputs)
        self.pool = self._graph.pool()

    def replay(self, inputs: Inputs) -> Tensor:
        for held, given in zip(self._inputs, inputs, strict=True):
            for name, tensor in held.items():
                tensor.copy_(given[name])
        self._graph.replay()
        return self._result.clone()


def _kind(inputs: Inputs) -> tuple[object, ...]:
    return tuple((name, tensor.shape, tensor.dtype) for tensors in inputs for name, tensor in tensors.items())
