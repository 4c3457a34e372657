"""Dropout as a function of (seed, step, replica). Keras counts draws instead, which no run that goes on can repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from electra_common.runs.seeds import derived_seed

Tensor = Any


def dropout_seed(seed: int, step: int, replica: int) -> Tensor:
    """Return what :func:`seed_dropout` takes, a scalar.

    Args:
        seed: of the run.
        step: counted from 0.
        replica: the number of the one that computes.
    """
    return tf.constant(derived_seed(seed, "dropout", step, replica) % 2**32, tf.uint32)


def seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Return the generators of the dropouts in a layer or model, always in the same order."""
    layers = layer._flatten_layers()
    return [item.seed_generator for item in layers if getattr(item, "seed_generator", None) is not None]


def seed_dropout(generators: Sequence[keras.random.SeedGenerator], seed: Tensor) -> None:
    """Let dropouts begin a step anew: a stream for each, far from the others."""
    for index, generator in enumerate(generators):
        generator.state.assign(tf.stack([seed, tf.constant(index << 16, tf.uint32)]))
