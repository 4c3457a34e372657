"""The ids of a corpus are those that the tokenizer gives to each line by itself."""

import random

import pytest
from tokenizers import AddedToken

from electra_common import ElectraTokenizerFast
from electra_common.pretraining import encoding
from electra_common.pretraining.encoding import CorpusEncoder, splits_at_blanks
from electra_common.tokenization.training import train_tokenizer
from support.awkward_texts import awkward_options, awkward_text, awkward_vocabulary
from support.tokenizers import AWKWARD, ENGLISH, VOCABULARY, shared


def by_line(tokenizer, lines):
    """Encode each line by itself, with special tokens as text."""
    return [tokenizer(line, add_special_tokens=False, split_special_tokens=True)["input_ids"] for line in lines]


def encoded(encoder, lines):
    ids, ends = encoder.encode(lines)
    assert len(ends) == len(lines)
    return [ids[start:end].tolist() for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def test_english_and_awkward_texts_with_the_released_vocabulary():
    tokenizer = shared("rust")
    lines = [*ENGLISH, *AWKWARD, *ENGLISH]
    encoder = CorpusEncoder(tokenizer)
    assert encoded(encoder, lines) == by_line(tokenizer, lines)
    assert encoded(encoder, lines[::-1]) == by_line(tokenizer, lines[::-1])


@pytest.mark.parametrize("seed", range(6))
def test_texts_that_tokenizers_get_wrong(seed):
    draw = random.Random(seed)
    options = awkward_options(draw)
    tokenizer = ElectraTokenizerFast(
        awkward_vocabulary(draw),
        do_lower_case=options["lowercase"],
        strip_accents=options["strip_accents"],
        tokenize_chinese_chars=options["tokenize_chinese_chars"],
        never_split=["new", "ab"] if seed % 2 else None,
    )
    lines = [awkward_text(draw).replace("\n", " ") for _ in range(300)]
    assert encoded(CorpusEncoder(tokenizer), lines) == by_line(tokenizer, lines)


def test_special_tokens_in_a_text_are_text():
    tokenizer = shared("rust")
    ((ids),) = encoded(CorpusEncoder(tokenizer), ["a [MASK] b[SEP] [CLS]"])
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.convert_ids_to_tokens(ids)[:4] == ["a", "[", "mask", "]"]


def byte_level():
    return train_tokenizer(lambda: ENGLISH, size=300, kind="bpe")


def blank_in_a_token():
    tokenizer = ElectraTokenizerFast(VOCABULARY)
    tokenizer.add_tokens([AddedToken("united states", normalized=True)])
    return tokenizer


def google():
    return ElectraTokenizerFast(VOCABULARY, compat="google")


@pytest.mark.parametrize("make", [byte_level, blank_in_a_token, google])
def test_other_tokenizers_get_whole_lines(make):
    tokenizer = make()
    encoder = CorpusEncoder(tokenizer)
    assert not splits_at_blanks(encoder._rust)
    lines = [*ENGLISH[:9], "The United States of [MASK] America", "", "two  blanks"]
    assert encoded(encoder, lines) == by_line(tokenizer, lines)


def test_long_lines_are_handed_over_in_parts(monkeypatch):
    tokenizer = shared("rust")
    lines = ["short", " ".join(ENGLISH), "", " ".join(ENGLISH[::-1]), "end"]
    expected = by_line(tokenizer, lines)
    monkeypatch.setattr(encoding, "_MOST_CHARACTERS_AT_ONCE", 997)
    assert encoded(CorpusEncoder(tokenizer), lines) == expected
    # Where there is no blank, a part ends inside the word: more unknown words, and memory that stays small.
    ((*unknown, last),) = [by_line(tokenizer, ["x" * 997, "x" * 997, "x" * 6])]
    assert unknown == [[tokenizer.unk_token_id]] * 2
    assert encoded(CorpusEncoder(tokenizer), ["x" * 2000]) == [[tokenizer.unk_token_id] * 2 + last]


def test_words_are_forgotten_before_they_fill_the_memory(monkeypatch):
    tokenizer = shared("rust")
    monkeypatch.setattr(encoding, "_MOST_WORDS", 50)
    encoder = CorpusEncoder(tokenizer)
    most = 0
    for line in ENGLISH:
        assert encoded(encoder, [line]) == by_line(tokenizer, [line])
        most = max(most, len(encoder._words._numbers))
    assert most < 50 + max(len(line.split(" ")) for line in ENGLISH) + 2


def test_no_lines_at_all():
    ids, ends = CorpusEncoder(shared("rust")).encode([])
    assert (len(ids), len(ends)) == (0, 0)
    assert encoded(CorpusEncoder(shared("rust")), ["", "", "a"]) == [[], [], [1037]]
