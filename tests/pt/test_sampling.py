"""Sampling in PyTorch: the bits of the statement in numpy, and what is drawn with them."""

import numpy as np
import pytest

from electra_common.pretraining.sampling import gumbel_from_words, noise_words
from support.assertions import assert_close
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")

from electra_pt import sampling  # noqa: E402

SEEDS = np.array([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 123456789], np.int64)
POSITIONS = np.random.default_rng(0).integers(0, 512, (6, 5)).astype(np.int32)
VOCABULARY = 1009


def test_the_bits_are_those_of_numpy():
    words = sampling.noise_words(torch.from_numpy(SEEDS), torch.from_numpy(POSITIONS), VOCABULARY)
    assert np.array_equal(words.numpy().view(np.uint32), noise_words(SEEDS, POSITIONS, VOCABULARY))


def test_seeds_may_be_signed_words():
    signed = torch.from_numpy(SEEDS.astype(np.uint32).view(np.int32))
    words = sampling.noise_words(signed, torch.from_numpy(POSITIONS).long(), VOCABULARY)
    assert np.array_equal(words.numpy().view(np.uint32), noise_words(SEEDS, POSITIONS, VOCABULARY))


def test_the_noise_is_that_of_numpy():
    found = sampling.gumbel_noise(torch.from_numpy(SEEDS), torch.from_numpy(POSITIONS), VOCABULARY)
    expected = gumbel_from_words(noise_words(SEEDS, POSITIONS, VOCABULARY))
    assert found.dtype == torch.float32
    assert_close("noise", expected, found, FORWARD)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tokens_are_those_of_numpy_and_the_logits_stay(dtype):
    logits = (4 * torch.randn(6, 5, VOCABULARY, generator=torch.Generator().manual_seed(0))).to(getattr(torch, dtype))
    before = logits.clone()
    arguments = (torch.from_numpy(SEEDS), torch.from_numpy(POSITIONS))
    tokens = sampling.sample_tokens(logits, *arguments, temperature=2.0)
    scores = logits.float().numpy() / 2.0 + gumbel_from_words(noise_words(SEEDS, POSITIONS, VOCABULARY))
    assert np.array_equal(tokens, scores.argmax(-1))
    assert torch.equal(logits, before)
    second = sampling.sample_tokens(logits, *arguments, temperature=2.0, disallowed=tokens)
    assert np.array_equal(second, np.argsort(scores, axis=-1)[:, :, -2])
