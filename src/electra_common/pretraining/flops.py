"""How many floating-point operations a step of pre-training asks for: what the share of a machine's peak is a share of.

Multiplications and additions of matrix products only, backward counted as twice forward, as is the habit today.
Google's ``flops_computation.py`` counts backward as once forward and lookups as products; its numbers are others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from electra_common.config import ElectraConfig
from electra_common.objective import PAPER, PretrainingObjective

_FORWARD_AND_BACKWARD: Final = 3


def step_flops(
    config: ElectraConfig,
    generator_config: ElectraConfig | None,
    objective: PretrainingObjective = PAPER,
    *,
    rows: int,
    length: int,
    slots: int,
) -> float:
    """Return the operations of one step.

    Args:
        config: of the discriminator, or of the masked language model.
        generator_config: of a generator of its own; None with every other objective.
        objective: which networks there are; the paper's by default. One network with two heads computes both of its
            ways: the generator's over masked text, the discriminator's over corrupted text.
        rows: examples of the batch.
        length: tokens of each, padding included.
        slots: masked positions of each, which alone reach the vocabulary.
    """
    if objective.shares_encoder or not objective.has_discriminator:
        generator_config = config
    forward = _discriminator_flops(config, length) if objective.has_discriminator else 0.0
    if generator_config is not None:
        forward += _generator_flops(generator_config, length, slots)
    return _FORWARD_AND_BACKWARD * rows * forward


def _discriminator_flops(config: ElectraConfig, length: int) -> float:
    """Return the operations of one row, forward: the head of the discriminator judges every token."""
    return encoder_flops(config, length) + 2.0 * length * config.hidden_size * (config.hidden_size + 1)


def _generator_flops(config: ElectraConfig, length: int, slots: int) -> float:
    """Return the operations of one row, forward: the head of the generator is given masked positions alone."""
    head = config.embedding_size * (config.hidden_size + config.vocab_size)
    return encoder_flops(config, length) + 2.0 * slots * head


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
