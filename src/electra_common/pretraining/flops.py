"""How many floating-point operations a step of pre-training asks for: what the share of a machine's peak is a share of.

Multiplications and additions of matrix products only, backward counted as twice forward, as is the habit today.
Google's ``flops_computation.py`` counts backward as once forward and lookups as products; its numbers are others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from electra_common.config import ElectraConfig

_FORWARD_AND_BACKWARD: Final = 3


def step_flops(
    discriminator: ElectraConfig, generator: ElectraConfig | None, *, rows: int, length: int, slots: int
) -> float:
    """Return the operations of one step.

    Args:
        discriminator: its config.
        generator: its config; None where there is no network of its own.
        rows: examples of the batch.
        length: tokens of each, padding included.
        slots: masked positions of each, which alone reach the vocabulary.
    """
    forward = encoder_flops(discriminator, length) + 2.0 * length * discriminator.hidden_size**2
    if generator is not None:
        width = generator.embedding_size
        forward += encoder_flops(generator, length)
        forward += 2.0 * slots * width * (generator.hidden_size + generator.vocab_size)
    return _FORWARD_AND_BACKWARD * rows * forward


def encoder_flops(config: ElectraConfig, length: int) -> float:
    """Return the operations of one row's way through the encoder, forward."""
    hidden = config.hidden_size
    linear = 4 * hidden**2 + 2 * hidden * config.intermediate_size
    attention = 2 * length * hidden  # scores, and the weighted sum of values
    projection = config.embedding_size * hidden if config.has_embeddings_projection else 0
    return 2.0 * length * (config.num_hidden_layers * (linear + attention) + projection)


def fastest_product(multiply: Callable[[], float], size: int, *, turns: int = 10) -> float:
    """Return the operations a second of the fastest of a few multiplications of [size, size] matrices.

    Args:
        multiply: multiplies and waits for the result.
        size: rows and columns of both matrices.
        turns: how often; the first are slower, for the device wakes up.
    """
    fastest = float("inf")
    for _ in range(turns):
        started = time.perf_counter()
        multiply()
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * size**3 / fastest
