"""From a text to answers about its words in Keras, against what Google's code recorded for those words."""

import pytest

pytest.importorskip("keras")

from electra_tf import TFElectraForMaskedLM, TFElectraForPreTraining
from electra_tf.applications import detect_replaced_words, fill_masks
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.google_texts import (
    VOCABULARY,
    PairTokenizer,
    assert_recorded_candidates,
    assert_recorded_probabilities,
    recorded_texts,
)


@pytest.fixture(scope="module")
def discriminator():
    heads = GOOGLE_HEADS["discriminator"]
    return TFElectraForPreTraining.from_pretrained(GOOGLE / "trained", num_attention_heads=heads)


@pytest.fixture(scope="module")
def generator():
    return TFElectraForMaskedLM.from_pretrained(GOOGLE / "trained", num_attention_heads=GOOGLE_HEADS["generator"])


def test_words_have_the_probabilities_that_google_computed(discriminator):
    texts = recorded_texts("corrupted_input_ids")
    found = detect_replaced_words(discriminator, PairTokenizer(VOCABULARY), texts, batch_size=3)
    assert_recorded_probabilities(found)


def test_masks_have_the_candidates_that_google_computed(generator):
    found = fill_masks(generator, PairTokenizer(VOCABULARY), recorded_texts("masked_input_ids"), top=7)
    assert_recorded_candidates(found, top=7)


def test_a_text_longer_than_the_positions_is_read_through_windows_or_refused(discriminator, generator):
    tokenizer = PairTokenizer(VOCABULARY)
    text = " ".join(f"w{number % 115}" for number in range(200))
    (found,) = detect_replaced_words(discriminator, tokenizer, [text], stride=20)
    assert [word.text for word in found.words] == text.split()
    # What the first window alone answers for its first half is what the whole text's first half gets.
    (short,) = detect_replaced_words(discriminator, tokenizer, [" ".join(text.split()[:62])])
    for word, expected in zip(found.words[:40], short.words[:40], strict=True):
        assert word.probability == pytest.approx(expected.probability, abs=1e-5)
    with pytest.raises(ValueError, match="text 1 has 203 tokens, the model takes 64"):
        fill_masks(generator, tokenizer, [f"{text} [MASK]"])


def test_the_wrong_network_or_tokenizer_is_refused(discriminator, generator):
    tokenizer = PairTokenizer(VOCABULARY)
    with pytest.raises(ValueError, match="expected a discriminator, whose logits have 2 axes"):
        detect_replaced_words(generator, tokenizer, ["w1"])
    with pytest.raises(ValueError, match="expected a generator, whose logits have 3 axes"):
        fill_masks(discriminator, tokenizer, ["w1 [MASK]"])
    larger = PairTokenizer(VOCABULARY)
    larger.add_tokens(["one more"])
    with pytest.raises(ValueError, match="the tokenizer has 121 tokens, the model 120"):
        detect_replaced_words(discriminator, larger, ["w1"])
