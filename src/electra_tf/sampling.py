"""Sampling the generator's tokens on the device: the bits of :mod:`electra_common.pretraining.sampling` in uint32."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from electra_common.pretraining.sampling import KEPT_BITS, MULTIPLIERS, SCALE, SHIFTS, SPREAD

Tensor = Any

DISALLOWED = -1000.0  # what Google's code adds to the score of the true token


def noise_words(seeds: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Return the random words [batch, slots, vocabulary] of a draw, as uint32.

    Args:
        seeds: [batch], of each row; what is beyond 32 bits is dropped.
        positions: [batch, slots], in the row.
        vocabulary: how many ids there are.
    """
    keys = mix_words(mix_words(tf.cast(seeds, tf.uint32))[:, None] + tf.cast(positions, tf.uint32))  # [batch, slots]
    ids = mix_words(tf.cast(tf.range(1, vocabulary + 1), tf.uint32) * _word(SPREAD))  # [vocabulary]
    return mix_words(tf.bitwise.bitwise_xor(keys[:, :, None], ids))


def gumbel_noise(seeds: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Return standard Gumbel noise [batch, slots, vocabulary] in float32; arguments as in :func:`noise_words`."""
    kept = tf.bitwise.bitwise_and(noise_words(seeds, positions, vocabulary), _word(KEPT_BITS))
    # Through int32, which no bit is lost in: not every device turns unsigned words into floats.
    below_one = (tf.cast(tf.cast(kept, tf.int32), tf.float32) + 0.5) * SCALE
    return -tf.math.log(-tf.math.log1p(-below_one))


def sample_tokens(
    logits: Tensor, seeds: Tensor, positions: Tensor, *, temperature: float, disallowed: Tensor | None = None
) -> Tensor:
    """Draw a token for each slot from the softmax of its logits: [batch, slots]. No gradient passes.

    Args:
        logits: [batch, slots, vocabulary]; computed with in float32.
        seeds: [batch], of each row.
        positions: [batch, slots], in the row; slots at one position draw alike.
        temperature: the logits are divided by it.
        disallowed: [batch, slots], an id that is not to be drawn.
    """
    vocabulary = logits.shape[-1]
    scores = tf.stop_gradient(tf.cast(logits, tf.float32)) * (1 / temperature)
    scores += gumbel_noise(seeds, positions, vocabulary)
    if disallowed is not None:
        scores += DISALLOWED * tf.one_hot(disallowed, vocabulary)
    return tf.argmax(scores, axis=-1, output_type=tf.int32)


def mix_words(words: Tensor) -> Tensor:
    """Mix uint32 words so that every bit depends on all others."""
    words = _xor_shifted(words, SHIFTS[0])
    for multiplier, shift in zip(MULTIPLIERS, SHIFTS[1:], strict=True):
        words = _xor_shifted(words * _word(multiplier), shift)
    return words


def _xor_shifted(words: Tensor, shift: int) -> Tensor:
    return tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, _word(shift)))


def _word(number: int) -> Tensor:
    return tf.constant(number, tf.uint32)
