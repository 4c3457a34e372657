"""A function of a layer as one graph, for calls outside of graphs.

There TensorFlow starts every operation by itself, which takes longer than nearly all of them do: for a short sentence,
nine tenths of a call.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import in_stateless_scope

Tensor = Any

_ONE_BY_ONE: ContextVar[bool] = ContextVar("one_by_one", default=False)


@contextmanager
def operations_one_by_one(is_wanted: bool) -> Iterator[None]:
    """Within this block, if wanted, no call makes or uses a program; a block around it that wants so prevails."""
    token = _ONE_BY_ONE.set(is_wanted or _ONE_BY_ONE.get())
    try:
        yield
    finally:
        _ONE_BY_ONE.reset(token)


def may_use_program() -> bool:
    """Whether a call made here and now may be a program's.

    It may not inside of a graph, which takes the operations into itself; under a distribution strategy, where each
    replica has variables of its own; nor where Keras puts other values in the place of the variables'.
    """
    return (
        tf.executing_eagerly()
        and not _ONE_BY_ONE.get()
        and not tf.config.functions_run_eagerly()
        and not tf.distribute.has_strategy()
        and not in_stateless_scope()
    )


class LayerProgram:
    """A function of tensors as a graph, traced once for each set of dtypes and again after the layer was changed.

    Lengths and rows are open, so one trace serves all of them. Changed means that the layer or any layer within it has
    an attribute that is another object than before: a variable, a layer, a function, a setting.
    """

    def __init__(
        self, layer: keras.layers.Layer, function: Callable[..., Tensor], shapes: Sequence[tuple[int | None, ...]]
    ) -> None:
        """Make a program of nothing yet.

        Args:
            layer: whose variables and layers the function uses.
            function: of one tensor or more.
            shapes: of its tensors, None for what differs from call to call.
        """
        self._layer = layer
        self._function = function
        self._shapes = shapes
        self._traced: dict[Any, Callable[..., Tensor]] = {}
        self._holders: list[Iterable[Any]] = []
        self._held: list[Any] = []

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Run the function; the last tensors may be left out where it has defaults for them."""
        if not _is_same(self._held, self._holders):
            self._traced.clear()
        key = tuple(tensor.dtype for tensor in tensors)
        if key in self._traced:
            return self._traced[key](*tensors)
        signature = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(self._shapes, key, strict=False)]
        self._traced[key] = tf.function(self._function, signature, autograph=False)
        result = self._traced[key](*tensors)
        self._holders = _holders_of(self._layer)  # afterwards: Keras's layers note that they were called
        self._held = list(chain.from_iterable(self._holders))
        return result

    def __getstate__(self) -> dict[str, Any]:
        """Keep nothing traced, for a copy of a layer has variables of its own."""
        return {**vars(self), "_traced": {}, "_holders": [], "_held": []}


def _holders_of(layer: keras.layers.Layer) -> list[Iterable[Any]]:
    """Return views of what a layer and all layers within it hold: their attributes, and the lists among these."""
    holders: list[Iterable[Any]] = []
    waiting, seen = [layer], {id(layer)}
    while waiting:
        attributes = vars(waiting.pop()).values()
        views = [attributes, *(value for value in attributes if isinstance(value, list))]
        holders += views
        for value in chain.from_iterable(views):
            if isinstance(value, keras.layers.Layer) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    return holders


def _is_same(held: list[Any], holders: list[Iterable[Any]]) -> bool:
    now = list(chain.from_iterable(holders))
    return len(held) == len(now) and all(map(operator.is_, held, now))
