"""Texts in 388 languages, emoji, code and naughty strings: the same as the library, and offsets that are right."""

from itertools import groupby

import pytest

from electra_common.tokenization.python.normalization import Normalizer
from support.fixtures import DEMO_DATA, TESTS
from support.thoroughness import sample
from support.tokenizer_comparison import bert_vocabulary, both, first_difference, texts_below

LINE = sample(3, thorough=1)
TEXTS = dict(texts_below(TESTS / "fixtures/texts"))
TEXTS["english.txt"] = (DEMO_DATA / "english.txt").read_text(encoding="utf-8")
OPTIONS = ({}, {"lowercase": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False, "clean_text": False})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", TEXTS)
def test_whole_texts_and_their_lines(name, options):
    rust, python = both(bert_vocabulary(), **options)
    texts = [TEXTS[name], *TEXTS[name].split("\n")[OPTIONS.index(options) % LINE :: LINE]]
    assert len(texts) > 10
    for theirs, ours in zip(rust.encode_batch(texts), python.encode_batch(texts), strict=True):
        assert first_difference(theirs, ours) is None


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", TEXTS)
def test_each_span_of_the_text_normalizes_to_its_pieces(name, options):
    lines = TEXTS[name].split("\n")[OPTIONS.index(options) % LINE :: LINE]
    text, normalizer = "\n".join(lines), Normalizer(**options)
    _, python = both(bert_vocabulary(), **options)
    encoding = python.encode(text, add_special_tokens=False)
    spelled = 0
    tokens = zip(encoding.word_ids, encoding.tokens, encoding.offsets, strict=True)
    for _, word in groupby(tokens, key=lambda token: token[0]):
        _, pieces, offsets = zip(*word, strict=True)
        if pieces == ("[UNK]",):
            continue
        for piece, (start, end) in zip(pieces, offsets, strict=True):
            assert piece.removeprefix("##") in normalizer(text[start:end]).text
        whole = normalizer(text[offsets[0][0] : offsets[-1][1]]).text
        assert whole.strip(" ") == pieces[0] + "".join(piece.removeprefix("##") for piece in pieces[1:])
        spelled += 1
    assert spelled > 1000 / LINE
