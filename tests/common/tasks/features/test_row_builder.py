"""Rows built of ids, by what the tokenizer itself makes of the same texts, and by popping tokens as Google does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from electra_common import ElectraTokenizerFast
from electra_common.tasks.features.row_builder import RowBuilder, encode_texts, encode_with_offsets, pair_lengths
from support.fine_tuning_examples import tokenizer
from support.tokenizers import AWKWARD, ENGLISH, KINDS, shared


def other_layout():
    """Return a tokenizer that puts two separators between the texts of a pair, and has no segments."""
    words = ["<s>", "</s>", "<pad>", "<unk>", "one", "two", "three"]
    rust = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rust.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return ElectraTokenizerFast(tokenizer_file=rust)


def as_lists(inputs):
    return {name: column.tolist() for name, column in inputs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_tokenizer(kind):
    made, texts = shared(kind), [*AWKWARD, *ENGLISH[:7]]
    builder = RowBuilder(made, 17)
    for text, ids in zip(texts, encode_texts(made, texts), strict=True):
        expected = made(text, truncation=True, max_length=17)
        assert as_lists(builder.build_cut(ids)) == {name: expected[name] for name in expected}


def test_pairs_that_fit_are_those_of_the_tokenizer():
    for made in (tokenizer(), other_layout()):
        builder = RowBuilder(made, 512)
        for first, second in [("one two", "three"), ("", "three one two"), ("two", ""), ("", "")]:
            expected = made(first, second)
            ids = encode_texts(made, [first, second])
            assert as_lists(builder.build_cut(*ids)) == {name: expected[name] for name in expected}


def test_a_text_starts_behind_the_special_tokens_before_it():
    builder = RowBuilder(other_layout(), 20)
    assert (builder.start(0, 3), builder.start(0, 3, 2), builder.start(1, 3, 2)) == (1, 1, 6)
    assert (builder.room(1), builder.room(2)) == (18, 16)


def test_arrays_are_of_the_type_that_models_take_and_safe_to_share():
    builder = RowBuilder(tokenizer(), 20)
    one, other = (builder.build(np.array(ids)) for ids in ([7, 8, 9], [17, 18, 19]))
    assert all(array.dtype == np.int64 for array in one.values())
    assert one["input_ids"][1:-1].tolist() == [7, 8, 9]
    assert other["input_ids"][1:-1].tolist() == [17, 18, 19]
    with pytest.raises(ValueError, match="read-only"):
        one["attention_mask"][0] = 0


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_the_longer_text_loses_tokens_as_in_googles_code(first, second, room):
    left = [list(range(first)), list(range(second))]
    while len(left[0]) + len(left[1]) > room:
        left[0 if len(left[0]) > len(left[1]) else 1].pop()
    assert pair_lengths(first, second, room) == (len(left[0]), len(left[1]))


def test_a_pair_is_cut_at_both_ends_on_the_tokenizers_side():
    first, second = np.arange(100, 110), np.arange(200, 203)
    row = RowBuilder(tokenizer(), 10).build_cut(first, second)["input_ids"].tolist()
    assert row == [101, *range(100, 104), 102, *range(200, 203), 102]
    left = ElectraTokenizerFast(tokenizer().get_vocab(), truncation_side="left")
    row = RowBuilder(left, 10).build_cut(first, second)["input_ids"].tolist()
    assert row == [101, *range(106, 110), 102, *range(200, 203), 102]


def test_a_length_without_room_for_text_is_refused():
    with pytest.raises(
        ValueError, match="max_length 4 leaves no room for text beside 3 special tokens: give at least 5"
    ):
        RowBuilder(tokenizer(), 4).room(2)
    assert RowBuilder(tokenizer(), 5).room(2) == 2


def test_offsets_cut_the_tokens_out_of_the_text():
    texts = ["Naïve café,", "", "東京 x" * 700]
    encoded = list(encode_with_offsets(tokenizer(), texts))
    assert [offsets.shape[1] for _, offsets in encoded] == [2, 2, 2]
    assert [texts[0][start:end] for start, end in encoded[0][1]] == ["Naïve", "café", ","]
    assert len(encoded[1][0]) == 0
    assert {texts[2][start:end] for start, end in encoded[2][1]} == {"東", "京", "x"}
