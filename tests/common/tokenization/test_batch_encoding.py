"""What a call returns: a dictionary of columns, and the alignment of tokens, words and characters."""

import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from electra_common import BatchEncoding
from support.tokenizers import AWKWARD, ENGLISH, KINDS, shared

TEXT, PAIR = "Naïve unaffable [MASK] x", "One two"
#        0      1      2      3      4       5    6      7      8      9
TOKENS = ["[CLS]", "naive", "una", "##ffa", "##ble", "[MASK]", "x", "[SEP]", "one", "two", "[SEP]"]


@pytest.fixture(params=KINDS)
def tokenizer(request):
    return shared(request.param)


@pytest.fixture
def pair(tokenizer):
    return tokenizer(TEXT, PAIR)


@pytest.fixture
def batch(tokenizer):
    return tokenizer([TEXT, "short"], [PAIR, "x"], padding=True)


def test_it_is_a_mapping_with_attributes(pair):
    assert isinstance(pair, Mapping)
    assert list(pair) == ["input_ids", "token_type_ids", "attention_mask"]
    assert pair.input_ids == pair["input_ids"] == dict(pair)["input_ids"]
    with pytest.raises(AttributeError, match="no column 'inputs'; it has input_ids, token_type_ids, attention_mask"):
        _ = pair.inputs
    with pytest.raises(KeyError):
        pair["inputs"]


def test_rows_and_slices(batch):
    assert batch[0].tokens == TOKENS
    assert batch[-1].tokens[:2] == ["[CLS]", "short"]
    assert batch[1:]["input_ids"] == batch["input_ids"][1:]
    assert len(batch.encodings) == 2
    with pytest.raises(IndexError, match="row 2 of 2"):
        batch[2]


def test_tokens_words_and_sequences(pair):
    assert pair.tokens() == TOKENS
    assert pair.word_ids() == [None, 0, 1, 1, 1, 2, 3, None, 0, 1, None]
    assert pair.sequence_ids() == [None, 0, 0, 0, 0, 0, 0, None, 1, 1, None]
    assert pair.n_sequences == 2


def test_from_tokens(pair, batch):
    assert pair.token_to_chars(2) == (6, 9)
    assert pair.token_to_chars(-2) == (4, 7)
    assert (pair.token_to_chars(2).start, pair.token_to_chars(2).end) == (6, 9)
    assert pair.token_to_chars(0) is None
    assert pair.token_to_word(4) == 1
    assert pair.token_to_word(-1) is None
    assert pair.token_to_sequence(9) == 1
    assert pair.token_to_sequence(7) is None
    assert batch.token_to_word(0, 4) == 1
    assert batch.token_to_chars(-1, 1) == (0, 5)
    with pytest.raises(IndexError, match="token 11 of 11"):
        pair.token_to_word(11)


def test_from_words(pair, batch):
    assert pair.word_to_tokens(1) == (2, 5)
    assert pair.word_to_tokens(1, sequence_index=1) == (9, 10)
    assert pair.word_to_chars(1) == (6, 15)
    assert pair.word_to_chars(-1, sequence_index=1) == (4, 7)
    assert pair.word_to_tokens(9) is None
    assert pair.word_to_chars(9) is None
    assert batch.word_to_tokens(1, 0, sequence_index=1) == (3, 4)


def test_from_characters(pair, batch):
    assert pair.char_to_token(7) == 2
    assert pair.char_to_token(5) is None  # a blank
    assert pair.char_to_token(4, sequence_index=1) == 9
    assert pair.char_to_token(-1) == 6
    assert pair.char_to_token(-1, sequence_index=1) == 9
    assert pair.char_to_word(-len(TEXT)) == 0
    assert batch.char_to_word(1, 0) == 0
    assert batch.char_to_token(1, -1, sequence_index=1) == 3
    with pytest.raises(IndexError, match=f"character -{len(TEXT) + 1} of {len(TEXT)}"):
        pair.char_to_token(-len(TEXT) - 1)


def test_offsets_in_words_count_from_each_word(tokenizer):
    encoded = tokenizer(["Naïve", "unaffable"], is_split_into_words=True, return_offsets_mapping=True)
    assert encoded["offset_mapping"] == [(0, 0), (0, 5), (0, 3), (3, 6), (6, 9), (0, 0)]
    assert encoded.word_ids() == [None, 0, 1, 1, 1, None]
    with pytest.raises(ValueError, match="the text came as words"):
        encoded.char_to_token(-1)


def test_windows_are_rows_of_their_own(tokenizer):
    encoded = tokenizer(
        ["a b c d e", "f"], max_length=5, stride=1, truncation=True, return_overflowing_tokens=True, padding=True
    )
    assert encoded["overflow_to_sample_mapping"] == [0, 0, 1]
    assert [encoded.tokens(row) for row in range(3)] == [
        ["[CLS]", "a", "b", "c", "[SEP]"],
        ["[CLS]", "c", "d", "e", "[SEP]"],
        ["[CLS]", "f", "[SEP]", "[PAD]", "[PAD]"],
    ]
    assert encoded.word_ids(1) == [None, 2, 3, 4, None]
    assert encoded.char_to_token(1, -1) == 3


@pytest.mark.parametrize("column", ["tokens", "word_ids", "sequence_ids"])
def test_padding_on_the_left_is_part_of_a_row(tokenizer, column):
    encoded = tokenizer(["a b", "c"], padding=True, padding_side="left")
    assert len(getattr(encoded, column)(1)) == 4
    assert encoded.char_to_token(1, 0) == 2


def test_pickling_keeps_everything_but_the_text(batch):
    other = pickle.loads(pickle.dumps(batch))
    assert dict(other) == dict(batch)
    assert other.tokens(0) == TOKENS
    assert other.char_to_token(0, -1) == batch.char_to_token(0, -1)
    assert other.word_to_chars(0, -1) == batch.word_to_chars(0, -1)
    assert len(pickle.dumps(pickle.loads(pickle.dumps(batch)))) > 0


def test_further_columns_leave_the_alignment(batch):
    for joined in (batch | {"labels": [1, 0]}, {"labels": [1, 0]} | batch, batch | BatchEncoding({"labels": [1, 0]})):
        assert {**joined} == {**batch, "labels": [1, 0]}
        assert joined.tokens(0) == TOKENS
        assert joined.is_fast is batch.is_fast
    assert "labels" not in batch
    assert (batch | {"input_ids": []})["input_ids"] == [] == ({"input_ids": []} | BatchEncoding())["input_ids"]
    with pytest.raises(TypeError, match="unsupported operand"):
        batch | [("labels", [1, 0])]


def test_words_may_change_after_a_call(tokenizer):
    words, others = ["naïve", "cat"], ["dog"]
    ways = ([words], None), ([(words, others)], None), ([words], [others]), (words, others)
    encoded = [tokenizer(text, pair, is_split_into_words=True) for text, pair in ways]
    before = [tokenizer.convert_ids_to_tokens(np.ravel(row["input_ids"])) for row in encoded]
    words[1] = others[0] = "unaffable"
    assert [row.tokens() for row in encoded] == before


def test_conversion_to_tensors(tokenizer):
    encoded = tokenizer("a b").convert_to_tensors("np", prepend_batch_axis=True)
    assert encoded["input_ids"].tolist() == [[101, 1037, 1038, 102]]
    assert encoded.word_ids() == [None, 0, 1, None]
    with pytest.raises(ValueError, match="input_ids: rows of different lengths make no tensor; pass padding=True"):
        tokenizer(["a", "b c"]).convert_to_tensors("np")
    with pytest.raises(ValueError, match="must be None or one of"):
        tokenizer("a").convert_to_tensors("mlx")


def test_moving_to_a_device(tokenizer):
    torch = pytest.importorskip("torch")
    encoded = tokenizer("a", return_tensors="pt")
    assert encoded.to("meta") is encoded
    assert {column.device for column in encoded.values()} == {torch.device("meta")}
    assert encoded.tokens() == ["[CLS]", "a", "[SEP]"]
    with pytest.raises(ValueError, match="input_ids is a list, not a PyTorch tensor; pass return_tensors='pt'"):
        tokenizer("a").to("cpu")


def test_columns_alone_have_no_alignment():
    encoded = BatchEncoding({"input_ids": [[1]]}, tensor_type="np")
    assert isinstance(encoded["input_ids"], np.ndarray)
    assert encoded.encodings is None
    assert encoded.n_sequences is None
    with pytest.raises(ValueError, match="no alignment: this BatchEncoding was made from columns alone"):
        encoded.word_ids()


def test_is_fast_says_which_tokenizer_it_was(tokenizer):
    assert tokenizer("a").is_fast is tokenizer.is_fast is (type(tokenizer).__name__ == "ElectraTokenizerFast")


def test_both_tokenizers_align_alike():
    texts = ENGLISH + AWKWARD
    python, rust = (shared(kind)(texts) for kind in KINDS)
    for row, text in enumerate(texts):
        for char in range(len(text)):
            assert python.char_to_token(row, char) == rust.char_to_token(row, char)
            assert python.char_to_word(row, char) == rust.char_to_word(row, char)
        for word in range(max((w for w in rust.word_ids(row) if w is not None), default=-1) + 1):
            assert python.word_to_tokens(row, word) == rust.word_to_tokens(row, word)
            assert python.word_to_chars(row, word) == rust.word_to_chars(row, word)
