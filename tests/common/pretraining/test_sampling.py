"""The noise that tokens are sampled with: uniform bits, Gumbel values, and nothing in common between places."""

import numpy as np
import pytest

from electra_common.pretraining.sampling import gumbel_from_words, mix_words, noise_words

SEEDS = np.array([0, 1, 2, 0xFFFFFFFF, 123456789], np.int64)
POSITIONS = np.array([[0, 1, 2, 17], [5, 6, 7, 8], [1, 3, 2, 4], [9, 2, 127, 511], [0, 0, 4, 5]], np.int32)
VOCABULARY = 30011


@pytest.fixture(scope="module")
def words():
    return noise_words(SEEDS, POSITIONS, VOCABULARY)


def test_the_mixer_is_the_published_one():
    """One word by Python's own integers, with the shifts and multipliers of lowbias32."""
    for word in (0, 1, 0x80000000, 0xDEADBEEF):
        mixed = word ^ (word >> 16)
        mixed = mixed * 0x7FEB352D % (1 << 32)
        mixed ^= mixed >> 15
        mixed = mixed * 0x846CA68B % (1 << 32)
        mixed ^= mixed >> 16
        assert mix_words(np.array([word], np.uint32)).tolist() == [mixed]


def test_every_bit_is_set_half_of_the_time(words):
    for bit in range(32):
        share = ((words >> np.uint32(bit)) & np.uint32(1)).mean()
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(words.size), bit


def test_the_noise_is_gumbel(words):
    """Kolmogorov and Smirnov: the largest distance of the empirical distribution from exp(-exp(-x))."""
    noise = np.sort(gumbel_from_words(words).reshape(-1).astype(np.float64))
    assert np.isfinite(noise).all()
    expected = np.exp(-np.exp(-noise))
    steps = np.arange(noise.size + 1) / noise.size
    distance = max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
    assert distance < 1.95 / np.sqrt(noise.size)  # exceeded by chance once in a thousand
    # The upper tail decides: of n numbers the largest lies around log(n).
    assert abs(noise[-1] - np.log(noise.size)) < 5


def test_the_ends_are_finite():
    assert np.isfinite(gumbel_from_words(np.array([0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], np.uint32))).all()


def test_nothing_is_common_to_rows_slots_and_ids(words):
    """Correlations of the uniform numbers of any two places are what chance gives."""
    uniform = words.astype(np.float64) / 2.0**32 - 0.5
    # Row 4's first two slots are one position, and so one draw.
    assert np.array_equal(words[4, 0], words[4, 1])
    places = np.delete(uniform.reshape(-1, VOCABULARY), 17, axis=0)
    bound = 5 / np.sqrt(VOCABULARY)
    correlations = np.corrcoef(places) - np.eye(len(places))
    assert np.abs(correlations).max() < bound
    for shift in (1, 2, 256, 1024, 15005):
        neighbours = np.corrcoef(places[:, :-shift].reshape(-1), places[:, shift:].reshape(-1))[0, 1]
        assert abs(neighbours) < 5 / np.sqrt(places[:, shift:].size), shift


def test_what_is_drawn_follows_the_softmax():
    """Frequencies of argmax(logits + noise) over many seeds against the softmax, by chi squared."""
    logits = np.array([1.0, 0.0, -1.0, 2.0, 0.5, -3.0, 1.5])
    seeds = np.arange(20000, dtype=np.int64)
    noise = gumbel_from_words(noise_words(seeds, np.zeros((20000, 1), np.int32), 7))[:, 0]
    drawn = np.bincount((logits + noise).argmax(axis=-1), minlength=7)
    expected = 20000 * np.exp(logits) / np.exp(logits).sum()
    assert (np.square(drawn - expected) / expected).sum() < 22.46  # 6 degrees of freedom: once in a thousand
