"""Generated texts, vocabularies, added tokens and settings: the same as the library in everything observable."""

import pytest

from support.awkward_texts import (
    add,
    awkward_input,
    awkward_options,
    awkward_settings,
    awkward_tokens,
    awkward_vocabulary,
    generator,
)
from support.thoroughness import sample
from support.tokenizer_comparison import both, observed

TOKENIZERS = sample(60, thorough=2000)
BATCHES, INPUTS = 20, 5
PARTS = 10


def outcome(action):
    """Return what an action gives, or that it fails; the library stops some calls by a panic, which is no Exception."""
    try:
        return action()
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            return "an error"
        raise


def settle(tokenizer, truncation, padding):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if padding:
        tokenizer.enable_padding(**padding)
    if truncation:
        return outcome(lambda: tokenizer.enable_truncation(**truncation))
    return None


def aligned(encoding, draw):
    """Ask each alignment method about a few places."""
    places = [draw.randint(0, len(encoding) + 2) for _ in range(3)]
    return [
        [getattr(encoding, name)(place) for place in places]
        for name in ("token_to_chars", "token_to_word", "token_to_sequence")
    ] + [
        [getattr(encoding, name)(place, sequence) for place in places for sequence in (0, 1, 2)]
        for name in ("char_to_token", "char_to_word", "word_to_tokens", "word_to_chars")
    ]


def encode(tokenizer, inputs, is_pretokenized, add_special_tokens, draw):
    def action():
        encodings = tokenizer.encode_batch(inputs, is_pretokenized, add_special_tokens)
        return [(observed(encoding), aligned(encoding, draw)) for encoding in encodings]

    return outcome(action)


def columns(encoding):
    """Return what ``encode_batch_fast`` does not leave out: it does not set the types of a pair's overflow."""
    windows = [(window.ids, window.special_tokens_mask) for window in encoding.overflowing]
    types = [window.type_ids for window in encoding.overflowing if encoding.n_sequences == 1]
    return encoding.ids, encoding.type_ids, encoding.special_tokens_mask, encoding.attention_mask, windows, types


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_texts(part):
    failed = total = windows = 0
    for number in range(part, TOKENIZERS, PARTS):
        draw = generator("tokenizer", number)
        rust, python = both(awkward_vocabulary(draw), **awkward_options(draw))
        calls = awkward_tokens(draw)
        assert add(rust, calls) == add(python, calls)
        assert rust.get_vocab() == python.get_vocab()
        for batch in range(BATCHES):
            rust.encode_special_tokens = python.encode_special_tokens = draw.random() < 0.2
            settings = awkward_settings(draw)
            assert settle(rust, *settings) == settle(python, *settings)
            assert (rust.truncation, rust.padding) == (python.truncation, python.padding)
            is_pretokenized, add_special_tokens = draw.random() < 0.2, draw.random() < 0.8
            inputs = [awkward_input(draw, is_pretokenized) for _ in range(INPUTS)]
            theirs, ours = (
                encode(tokenizer, inputs, is_pretokenized, add_special_tokens, generator(number, batch))
                for tokenizer in (rust, python)
            )
            assert theirs == ours, (number, batch)
            if theirs != "an error":
                slow = rust.encode_batch(inputs, is_pretokenized, add_special_tokens)
                fast = rust.encode_batch_fast(inputs, is_pretokenized, add_special_tokens)
                assert list(map(columns, fast)) == list(map(columns, slow)), (number, batch)
            failed += theirs == "an error"
            windows += theirs != "an error" and any(observation["overflowing"] for observation, _ in theirs)
            total += 1
    assert failed < total / 3
    assert windows > total / 10
