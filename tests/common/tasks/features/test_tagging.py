"""Rows of tagged words, by the tokenizer's own alignment of words and pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.tasks.examples import TaggedSentence
from electra_common.tasks.features.make import make_rows
from support.fine_tuning_examples import TAGS, sentences, tag_names, tokenizer
from support.tokenizers import AWKWARD

NOTHING = "\u200d\ufe0f"  # no piece comes of these


def features(examples, *, max_length=64, labels=("O", "B-x", "I-x"), **options):
    return make_rows(TAGS, examples, tokenizer(), labels, max_length=max_length, is_training=True, **options)


def first_pieces(encoding):
    words = encoding.word_ids(0)
    return {word: words.index(word) for word in words if word is not None}


def test_rows_and_labels_are_those_of_the_tokenizers_alignment():
    awkward = TaggedSentence("awkward", tuple(AWKWARD), tuple("OBI"[n % 3] for n in range(len(AWKWARD))))
    examples = [*sentences(), awkward]
    labels = (*tag_names(), "B", "I")
    found = features(examples, labels=labels, max_length=512)
    assert len(found.rows) == len(examples)
    for row, sentence in zip(found.rows, examples, strict=True):
        encoding = tokenizer()(list(sentence.words), is_split_into_words=True)
        assert row.inputs["input_ids"].tolist() == encoding["input_ids"]
        expected = [-100] * row.length
        for word, position in first_pieces(encoding).items():
            expected[position] = labels.index(sentence.tags[word])
        assert row.labels["labels"].tolist() == expected


def test_a_word_without_a_piece_has_no_label():
    found = features([TaggedSentence("1", ("one", NOTHING, "two"), ("O", "B-x", "I-x"))])
    assert found.rows[0].labels["labels"].tolist() == [-100, 0, 2, -100]
    assert found.windows[0].targets.tolist() == [0, 2]


@pytest.mark.parametrize("words", [(), (NOTHING, NOTHING)])
def test_a_sentence_without_a_piece_is_a_row_all_the_same(words):
    (row,) = features([TaggedSentence("1", words, ("O",) * len(words))]).rows
    assert row.inputs["input_ids"].tolist() == [101, 102]
    assert row.labels["labels"].tolist() == [-100, -100]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["one", "electroencephalogram", NOTHING, "don't"]), max_size=60), st.integers(3, 23))
def test_every_word_with_a_piece_is_labelled_in_each_window_that_holds_it(words, max_length):
    sentence = TaggedSentence("1", tuple(words), tuple(f"t{n}" for n in range(len(words))))
    labels = sentence.tags or ("O",)
    found = features([sentence], labels=labels, max_length=max_length)
    encoding = tokenizer()(words, is_split_into_words=True, add_special_tokens=False)
    firsts = {piece: word for word, piece in first_pieces(encoding).items()} if words else {}
    seen = set()
    for row, window in zip(found.rows, found.windows, strict=True):
        assert row.length <= max_length
        pieces = range(window.start, window.end)
        assert row.inputs["input_ids"].tolist()[1:-1] == [encoding["input_ids"][piece] for piece in pieces]
        assert row.labels["labels"].tolist() == [-100, *(firsts.get(piece, -100) for piece in pieces), -100]
        seen |= set(pieces)
    assert seen == set(range(len(encoding["input_ids"] if words else ())))


def test_windows_share_a_quarter_of_their_tokens():
    found = features([TaggedSentence("1", ("one",) * 30, ("O",) * 30)], max_length=14)
    assert [(window.start, window.end, window.total) for window in found.windows] == [
        (0, 12, 30), (9, 21, 30), (18, 30, 30),
    ]  # fmt: skip


def test_tags_that_do_not_fit_are_told_with_their_place():
    with pytest.raises(ValueError, match="line 7: expected a tag for each word, found 1 tags and 2 words"):
        features([TaggedSentence("1", ("a", "b"), ("O",), "line 7")])
    with pytest.raises(ValueError, match=r"line 8: .*'B-y'"):
        features([TaggedSentence("1", ("a",), ("B-y",), "line 8")])
    with pytest.raises(ValueError, match="max_length 2 leaves no room"):
        features([TaggedSentence("1", ("a",), ("O",))], max_length=2)


def test_a_sentence_without_tags_has_rows_without_labels():
    found = make_rows(
        TAGS, [TaggedSentence("1", ("a", "b"))], tokenizer(), ("O", "B-x"), max_length=9, is_training=False
    )  # fmt: skip
    assert found.rows[0].labels == {}
    assert found.windows[0].targets.tolist() == [0, 1]
