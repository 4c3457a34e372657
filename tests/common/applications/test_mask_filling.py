"""Masks and their candidates, with a function in the place of the network whose answers can be foretold."""

from dataclasses import asdict

import numpy as np
import pytest

from electra_common import ElectraTokenizer, ElectraTokenizerFast
from electra_common.applications.mask_filling import FilledText, fill_masks
from support.tokenizers import VOCABULARY


@pytest.fixture(scope="module", params=[ElectraTokenizer, ElectraTokenizerFast])
def tokenizer(request):
    return request.param(VOCABULARY)


def prefers(tokenizer, *wishes, vocabulary=None):
    """Return a network that gives each mask in turn the probabilities of a wish, and the rest of 1 to [PAD]."""
    size = vocabulary or len(tokenizer)

    def predict(batch):
        logits = np.full((*batch["input_ids"].shape, size), -np.inf, np.float32)
        logits[..., 0] = 0.0
        masks = np.argwhere(batch["input_ids"] == tokenizer.mask_token_id)
        assert len(masks) == len(wishes)
        for (row, place), wish in zip(masks, wishes, strict=True):
            ids = tokenizer.convert_tokens_to_ids(list(wish))
            logits[row, place, ids] = np.log(list(wish.values()))
            logits[row, place, 0] = np.log(1 - sum(wish.values()))
        return logits + 3.0  # a softmax does not see it

    return predict


def test_each_mask_has_its_candidates_the_likeliest_first(tokenizer):
    text = "Ünder the [MASK], over the[MASK]."
    network = prefers(tokenizer, {"sea": 0.5, "sun": 0.3, "hat": 0.05}, {"##se": 0.6, "moon": 0.3})
    (found,) = fill_masks([text], tokenizer, network, max_length=20, top=3)
    first, second = found.masks
    assert [text[mask.start : mask.end] for mask in found.masks] == ["[MASK]"] * 2
    assert first.start < second.start
    assert [item.token for item in first.candidates] == ["sea", "sun", "[PAD]"]
    assert [item.probability for item in first.candidates] == pytest.approx([0.5, 0.3, 0.15], abs=1e-6)
    assert [item.id for item in first.candidates] == tokenizer.convert_tokens_to_ids(["sea", "sun", "[PAD]"])
    assert [item.token for item in second.candidates] == ["##se", "moon", "[PAD]"]
    assert found.filled == "Ünder the sea, over these."
    assert FilledText.from_data(asdict(found)) == found


def test_a_piece_that_goes_on_joins_the_word_before_it(tokenizer):
    (found,) = fill_masks(["three dog [MASK]!"], tokenizer, prefers(tokenizer, {"##s": 0.9}), max_length=9)
    assert found.filled == "three dogs!"


def test_ids_that_the_tokenizer_does_not_have_are_no_candidates(tokenizer):
    """Some models have more rows than tokens; what they get of the probability is not given to others."""
    wish = prefers(tokenizer, {"sea": 0.25}, vocabulary=len(tokenizer) + 6)

    def network(batch):
        logits = wish(batch)
        logits[..., -1] = logits[..., 0]
        return logits

    (found,) = fill_masks(["[MASK]"], tokenizer, network, max_length=9, top=2)
    assert [item.token for item in found.masks[0].candidates] == ["[PAD]", "sea"]
    assert [item.probability for item in found.masks[0].candidates] == pytest.approx([0.75 / 1.75, 0.25 / 1.75])


def test_several_texts_are_answered_in_order(tokenizer):
    texts = ["a [MASK] b", "[MASK]"]
    found = fill_masks(texts, tokenizer, prefers(tokenizer, {"sea": 0.9}), max_length=5, top=1)
    assert [item.filled for item in found] == ["a sea b", "sea"]


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["[MASK]", "no mask"], {}, r"text 2 holds no \[MASK\]"),
        ([""], {}, r"text 1 holds no \[MASK\]"),
        (["one two three [MASK]"], {"max_length": 5}, "text 1 has 6 tokens, the model takes 5"),
        (["[MASK]"], {"top": 0}, "top must be 1 to 30522"),
        (["[MASK]"], {"top": 30523}, "top must be 1 to 30522"),
        ("[MASK]", {}, "expected a list of texts"),
    ],
)
def test_what_cannot_be_answered_is_told(tokenizer, texts, options, words):
    with pytest.raises(ValueError, match=words):
        fill_masks(texts, tokenizer, prefers(tokenizer, {"sea": 0.9}), **{"max_length": 9, **options})
