"""A function of a layer as one graph, for calls outside of graphs.

There TensorFlow starts every operation by itself, which takes longer than nearly all of them do: for a short sentence,
nine tenths of a call.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src.backend import in_stateless_scope
from numpy.typing import NDArray

Tensor = Any

_ROW_RANK: Final = 2  # [tokens, hidden]
_ONE_BY_ONE: ContextVar[bool] = ContextVar("one_by_one", default=False)


@contextmanager
def operations_one_by_one(is_wanted: bool) -> Iterator[None]:
    """Within this block, if wanted, no call makes or uses a program; a block around it that wants so prevails."""
    token = _ONE_BY_ONE.set(is_wanted or _ONE_BY_ONE.get())
    try:
        yield
    finally:
        _ONE_BY_ONE.reset(token)


def uses_the_variables() -> bool:
    """Whether a call must run operation by operation, on the variables themselves.

    True where the caller wants it, under a distribution strategy (each replica has its own variables), and where Keras
    substitutes other values for the variables.
    """
    return (
        _ONE_BY_ONE.get() or tf.config.functions_run_eagerly() or tf.distribute.has_strategy() or in_stateless_scope()
    )


def forget_programs(layers: Iterable[keras.layers.Layer]) -> None:
    """Drop the traced programs of these models, after a change that their variables do not show."""
    for model in layers:
        if isinstance(model, keras.Model):
            model.train_function = model.test_function = model.predict_function = None
            for name in ("kept_programs", "traced_with"):
                model.__dict__.pop(name, None)


def forget_outdated_programs(model: keras.Model) -> None:
    """Drop what a model traced with weights or programs that it no longer has.

    Its parts may be changed by themselves, and know nothing of the models around them.

    Args:
        model: about to use what it traced, or to trace.
    """
    layers = model._flatten_layers()
    now = [*model.weights, *(layer._program for layer in layers if hasattr(layer, "_program"))]
    # Past Keras, which would look for weights in an attribute.
    if not _is_same(now, [model.__dict__.get("traced_with", now)]):
        forget_programs([model])
    model.__dict__["traced_with"] = now


def kept_program(model: keras.Model, key: object, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Return a graph of a model that the model keeps: tracing one takes longer than computing a batch with it.

    Args:
        model: forgets its graphs where it has other weights than they were traced with.
        key: what tells this graph from the model's others.
        make: called for a graph that is not there.
    """
    forget_outdated_programs(model)
    # Past Keras, which would look for weights in an attribute and export the functions it finds.
    programs: dict[object, Callable[..., Any]] = model.__dict__.setdefault("kept_programs", {})
    if key not in programs:
        programs[key] = make()
    return programs[key]


class TFTracedModel(keras.Model):
    """A model whose inputs are a mapping, and that notices where a part of it is no longer what it had traced."""

    def fit(self, *arguments: Any, **named: Any) -> Any:
        """Train as Keras does; ``x`` may be any mapping, as what a tokenizer returns is."""
        inputs, named = _with_plain_inputs(arguments, named)
        return super().fit(*inputs, **named)

    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        """Evaluate as Keras does, on what :meth:`fit` takes."""
        inputs, named = _with_plain_inputs(arguments, named)
        return super().evaluate(*inputs, **named)

    def predict(self, *arguments: Any, **named: Any) -> Any:
        """Predict as Keras does, for what :meth:`fit` takes."""
        inputs, named = _with_plain_inputs(arguments, named)
        return super().predict(*inputs, **named)

    def make_train_function(self, force: bool = False) -> Any:
        """Make what ``fit`` calls; Keras calls this.

        Args:
            force: make it anew, also where there is one.
        """
        forget_outdated_programs(self)
        build_optimizer(self)
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        """Make what ``evaluate`` calls, as :meth:`make_train_function` does."""
        forget_outdated_programs(self)
        return super().make_test_function(force)

    def make_predict_function(self, force: bool = False) -> Any:
        """Make what ``predict`` calls, as :meth:`make_train_function` does."""
        forget_outdated_programs(self)
        return super().make_predict_function(force)


def _with_plain_inputs(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a method of Keras's with a mapping ``x`` as the dictionary that Keras understands."""
    if arguments and isinstance(arguments[0], Mapping):
        return (dict(arguments[0]), *arguments[1:]), named
    if isinstance(named.get("x"), Mapping):
        return arguments, {**named, "x": dict(named["x"])}
    return arguments, named


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a model's optimizer, if they are not there: a graph that makes variables is traced twice.

    Args:
        model: with all weights made; one that was not compiled has no optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)


def replica_share(loss: Tensor, additions: Iterable[Tensor]) -> Tensor:
    """Return a replica's share of a loss: those of all replicas of a distribution strategy add up to it.

    Args:
        loss: a mean, of the replica's part of the batch.
        additions: what regularizers and layers add, the same in every replica.
    """
    total = loss
    for addition in additions:
        total += ops.cast(ops.sum(addition), loss.dtype)
    return total / tf.distribute.get_strategy().num_replicas_in_sync


def numbers_of(tensor: Tensor) -> NDArray[Any] | None:
    """Return what a tensor or array holds; None inside of a graph, where there are no numbers yet."""
    return tensor if isinstance(tensor, np.ndarray) else getattr(tensor, "numpy", lambda: None)()


def leading_sizes(tensor: Tensor) -> tuple[Any, ...]:
    """Return the sizes of all axes but the last; of a row of tokens -1, for a graph would ask for it in every layer.

    Args:
        tensor: [..., hidden], whose last size is to be known.
    """
    return (-1,) if len(tensor.shape) == _ROW_RANK else tuple(ops.shape(tensor)[:-1])


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

    def become(self, kind: type[LayerProgram]) -> LayerProgram:
        """Return a program of another kind for the same function, with nothing traced yet."""
        return kind(self._layer, self._function, self._shapes)

    def may_run(self, training: bool | None) -> bool:
        """Whether a call made here and now may be the program's: not inside of a graph, which takes operations in."""
        return not training and tf.executing_eagerly() and not uses_the_variables()

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Run the function; the last tensors may be left out where it has defaults for them."""
        if not _is_same(self._held, self._holders):
            self._traced.clear()
        key = tuple(tensor.dtype for tensor in tensors)
        if key in self._traced:
            return self._traced[key](*tensors)
        signature = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(self._shapes, key, strict=False)]
        with tf.init_scope():  # for all graphs, where this call is inside of one
            self._traced[key] = self._trace(signature)
        result = self._traced[key](*tensors)
        self._holders = _holders_of(self._layer)  # afterwards: Keras's layers note that they were called
        self._held = list(chain.from_iterable(self._holders))
        return result

    def _trace(self, signature: list[tf.TensorSpec]) -> Any:
        return tf.function(self._function, signature, autograph=False)

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
