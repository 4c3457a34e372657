"""How new weights are drawn: Google's published scheme, the same in both frameworks.

==========================================  ==========================================================
embeddings, linear layers                   normal of ``initializer_range``, cut off at two deviations
``embeddings_project``, the last layer of   Glorot uniform: Google's code leaves these at TensorFlow's
the discriminator's head and of each head   default
for fine-tuning, all of Google's own heads
biases                                      0
LayerNorm                                   1 and 0
the word table's padding row                0 (transformers; it never gets a gradient from the lookup)
==========================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from electra_common import ElectraConfig
from electra_common.head_options import GLOROT_MODULES

Tensor = Any

_UNDRAWN: ContextVar[bool] = ContextVar("undrawn", default=False)


@contextmanager
def undrawn_weights() -> Iterator[None]:
    """Within this block new weights are zeros for a checkpoint to fill: drawing a Base takes longer than loading it."""
    token = _UNDRAWN.set(True)
    try:
        yield
    finally:
        _UNDRAWN.reset(token)


def draw_rows(table: Tensor, rows: int, initializer: keras.initializers.Initializer) -> Tensor:
    """Return a table [rows, width] that starts with the rows of another one and goes on with newly drawn ones."""
    kept = ops.convert_to_tensor(table)[:rows]
    missing = rows - int(kept.shape[0])
    if missing == 0:
        return kept
    return ops.concatenate([kept, initializer((missing, *kept.shape[1:]), kept.dtype)])


@contextmanager
def path_scope(path: str) -> Iterator[None]:
    """Within this block new variables get paths below an existing one, such as ``electra/embeddings``."""
    with ExitStack() as scopes:
        for part in filter(None, path.split("/")):
            scopes.enter_context(keras.name_scope(part))
        yield


@contextmanager
def unlocked(layer: keras.layers.Layer) -> Iterator[None]:
    """Within this block a built layer takes other variables and layers.

    Keras has no public call for it; its own layers use this one when they are quantised or get LoRA weights.
    """
    layer._tracker.unlock()
    try:
        yield
    finally:
        layer._tracker.lock()


def replaced_layer(owner: keras.layers.Layer, name: str, layer: keras.layers.Layer) -> None:
    """Put a layer in the place of one that a built layer owns."""
    with unlocked(owner):
        owner._tracker.untrack(getattr(owner, name))
        setattr(owner, name, layer)


def weight_initializer(config: ElectraConfig) -> keras.initializers.Initializer:
    """Return the initialiser of embeddings and linear layers; TensorFlow's truncation is at two deviations."""
    return WeightInitializer(keras.initializers.TruncatedNormal(stddev=config.initializer_range))


def linear(config: ElectraConfig, units: int, name: str, policy: Any) -> keras.layers.Dense:
    """Return a linear layer, [..., size] -> [..., units], drawn as its name says."""
    is_glorot = name in GLOROT_MODULES
    initializer = WeightInitializer(keras.initializers.GlorotUniform()) if is_glorot else weight_initializer(config)
    return keras.layers.Dense(units, kernel_initializer=initializer, name=name, dtype=policy)


def table_initializer(config: ElectraConfig) -> keras.initializers.Initializer:
    """Return the initialiser of the word table, whose padding row is zero."""
    return WeightInitializer(keras.initializers.TruncatedNormal(stddev=config.initializer_range), config.pad_token_id)


class WeightInitializer(keras.initializers.Initializer):
    """Another initialiser, with one row of zeros where asked for, and silent in :func:`undrawn_weights`."""

    def __init__(self, drawing: keras.initializers.Initializer, zero_row: int | None = None) -> None:
        self.drawing = drawing
        self.zero_row = zero_row

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        if _UNDRAWN.get():
            return ops.zeros(shape, dtype)
        weights = self.drawing(shape, dtype)
        if self.zero_row is None:
            return weights
        is_zero = ops.arange(shape[0])[:, None] == self.zero_row  # [entries, 1]
        return ops.where(is_zero, ops.zeros_like(weights), weights)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, for Keras."""
        return {"drawing": keras.initializers.serialize(self.drawing), "zero_row": self.zero_row}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WeightInitializer:
        """Build it again from :meth:`get_config`."""
        return cls(keras.initializers.deserialize(config["drawing"]), config["zero_row"])
