"""Sampling in TensorFlow: the bits of the statement in numpy, and what is drawn with them."""

import numpy as np
import pytest

from electra_common.pretraining.sampling import gumbel_from_words, noise_words
from support.assertions import assert_close
from support.tolerances import FORWARD

tf = pytest.importorskip("tensorflow")
pytest.importorskip("keras")

from electra_tf import sampling  # noqa: E402

SEEDS = np.array([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 123456789], np.int64)
POSITIONS = np.random.default_rng(0).integers(0, 512, (6, 5)).astype(np.int32)
VOCABULARY = 1009


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_the_bits_are_those_of_numpy(jit_compile):
    words = sampling.noise_words
    if jit_compile is not None:
        words = tf.function(words, jit_compile=jit_compile)
    assert np.array_equal(words(SEEDS, POSITIONS, VOCABULARY).numpy(), noise_words(SEEDS, POSITIONS, VOCABULARY))


def test_seeds_may_be_signed_words():
    signed = SEEDS.astype(np.uint32).view(np.int32)
    words = sampling.noise_words(signed, POSITIONS.astype(np.int64), VOCABULARY)
    assert np.array_equal(words.numpy(), noise_words(SEEDS, POSITIONS, VOCABULARY))


def test_the_noise_is_that_of_numpy():
    found = sampling.gumbel_noise(SEEDS, POSITIONS, VOCABULARY)
    expected = gumbel_from_words(noise_words(SEEDS, POSITIONS, VOCABULARY))
    assert found.dtype == tf.float32
    assert_close("noise", expected, found, FORWARD)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tokens_are_those_of_numpy(dtype):
    logits = tf.cast(4 * np.random.default_rng(0).normal(size=(6, 5, VOCABULARY)), dtype)
    tokens = sampling.sample_tokens(logits, SEEDS, POSITIONS, temperature=2.0)
    noise = gumbel_from_words(noise_words(SEEDS, POSITIONS, VOCABULARY))
    scores = tf.cast(logits, tf.float32).numpy() / 2.0 + noise
    assert np.array_equal(tokens, scores.argmax(-1))
    second = sampling.sample_tokens(logits, SEEDS, POSITIONS, temperature=2.0, disallowed=tokens)
    assert np.array_equal(second, np.argsort(scores, axis=-1)[:, :, -2])
