"""`compat="google"`: by Google's own functions, written down here as their page of code says, and by the library."""

import sys
import unicodedata

import pytest
from tokenizers import models

from electra_common.tokenization.python.backend import PythonBackend
from electra_common.tokenization.python.google_rules import google_normalizer, google_pre_tokenizer
from electra_common.tokenization.python.normalization import Normalizer
from electra_common.tokenization.python.splitting import words
from electra_common.tokenization.python.unicode_tables import character_table
from support.awkward_texts import awkward_text, generator
from support.fixtures import TESTS
from support.thoroughness import sample
from support.tokenizer_comparison import bert_vocabulary, first_difference, rust_tokenizer, texts_below

CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
OPTIONS = ({}, {"lowercase": False}, {"strip_accents": False}, {"lowercase": False, "strip_accents": True})
# Words in which Latin letters stand for Greek ones: a capital sigma at the end of a word becomes another small letter.
SIGMAS = [
    text.replace("S", "\u03a3")
    for text in (
        *("AS", "ASA", "S", "SS", "ASS S", "A\u0301S", "AS\u0301", "AS\u0301A", "A.S.", "\u02b0S", "1S", "AS'A"),
        *("AS\u4e2dAS", "A\xadS", "A\u0345S\u0345", "AS\u0345a", "A SA"),
    )
]
STEP = sample(83, thorough=1)
TEXTS = sample(400, thorough=1000)
LINE = sample(20, thorough=5)


def is_dropped(character):
    return character in "\0\ufffd" or (character not in "\t\n\r" and unicodedata.category(character).startswith("C"))


def is_ideograph(character):
    ranges = (
        *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
        *((0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
    )
    return any(first <= ord(character) <= last for first, last in ranges)


def is_punctuation(character):
    code = ord(character)
    in_ascii = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return in_ascii or unicodedata.category(character).startswith("P")


def expected_words(text, *, lowercase=True, strip_accents=None):
    """Split by Google's rules: facts about the original code, in its order."""
    text = "".join(character for character in text if not is_dropped(character))
    text = "".join(f" {character} " if is_ideograph(character) else character for character in text)
    found = []
    for word in text.split():
        if lowercase:
            word = word.lower()
        if lowercase if strip_accents is None else strip_accents:
            word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
        found += "".join(f" {character} " if is_punctuation(character) else character for character in word).split()
    return found


def split(text, **options):
    normalized = Normalizer(**options, compat="google")(text).text
    return [normalized[start:end] for start, end in words(normalized, character_table("google"))]


def library(vocabulary, **options):
    tokenizer = rust_tokenizer(vocabulary)
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=200)
    tokenizer.normalizer = google_normalizer(**options)
    tokenizer.pre_tokenizer = google_pre_tokenizer()
    return tokenizer


def texts(step):
    chosen = CHARACTERS[::step]
    for start in range(0, len(chosen), 2000):
        yield " ".join(f"{c} a{c}b{c}" for c in chosen[start : start + 2000])
    for start in range(0, len(chosen), 2000):  # what comes before and after a capital sigma decides on its form
        yield " ".join(f"A{c}\u03a3{c} {c}\u03a3{c}A" for c in chosen[start : start + 2000])
    yield from SIGMAS


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_characters_are_split_as_google_splits_them(options):
    for text in texts(STEP if not options else 11 * STEP):
        assert split(text, **options) == expected_words(text, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_library_can_be_made_to_do_the_same(options):
    vocabulary = bert_vocabulary()
    rust, python = library(vocabulary, **options), PythonBackend(vocabulary, **options, compat="google")
    for text in texts(STEP if not options else 11 * STEP):
        assert first_difference(rust.encode(text), python.encode(text)) is None


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts(options):
    vocabulary = bert_vocabulary()
    rust, python = library(vocabulary, **options), PythonBackend(vocabulary, **options, compat="google")
    draw = generator("google", str(options))
    examples = [awkward_text(draw) for _ in range(TEXTS)]
    examples += [line for _, text in texts_below(TESTS / "fixtures/texts") for line in text.split("\n")[::LINE]]
    for text, theirs, ours in zip(examples, rust.encode_batch(examples), python.encode_batch(examples), strict=True):
        assert split(text, **options) == expected_words(text, **options)
        assert first_difference(theirs, ours) is None


def test_words_of_200_characters_are_spelled():
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "x": 5, "##x": 6}
    for rules, longest in (("google", 200), ("rust", 100)):
        python = PythonBackend(vocabulary, compat=rules)
        assert python.encode("x" * longest).ids == [2, 5, *[6] * (longest - 1), 3]
        assert python.encode("x" * (longest + 1)).ids == [2, 1, 3]
