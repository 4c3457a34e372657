"""Every output field against transformers' tokenizer of the same vocabulary, over a grid of call options."""

import itertools
import json
import warnings

import pytest
from tokenizers import Tokenizer, decoders, models

from electra_common import ElectraTokenizerFast
from support.fixtures import TESTS
from support.thoroughness import sample
from support.tokenizer_comparison import texts_below
from support.tokenizers import AWKWARD, ENGLISH, KINDS, VOCABULARY, as_plain, everything, shared
from support.transformers_comparison import difference

LIMIT = 24
LONG = "The quick brown fox jumps over the lazy dog. " * 3
TEXTS = ["Hello, world! naïve café [MASK] unaffable", "", "東京 is big; x" * 3, LONG]
PAIRS = ["short", "What is this? It is long enough to be cut, I think so.", "b", "c d e f g"]
INPUTS = {
    "one text": {"text": TEXTS[0]},
    "a batch": {"text": TEXTS},
    "a pair": {"text": LONG, "text_pair": PAIRS[1]},
    "a batch of pairs": {"text": TEXTS, "text_pair": PAIRS},
    "pairs as tuples": {"text": list(zip(TEXTS, PAIRS, strict=True))},
    "words": {"text": [text.split() for text in TEXTS], "is_split_into_words": True},
    "one text in words": {"text": TEXTS[0].split(), "is_split_into_words": True},
    "pairs of words": {
        "text": [text.split() for text in TEXTS],
        "text_pair": [text.split() for text in PAIRS],
        "is_split_into_words": True,
    },
}
LENGTHS = [
    {"padding": padding, "truncation": truncation, "max_length": length}
    for padding, truncation, length in itertools.product(
        (False, True, "max_length"), (None, True, False, "only_first", "only_second"), (None, 9, 16)
    )
]
WANTS = {
    "defaults": {},
    "windows": {"return_overflowing_tokens": True, "stride": 2, "return_offsets_mapping": True},
    "masks, filled on the left": {
        "return_special_tokens_mask": True,
        "return_length": True,
        "padding_side": "left",
        "return_attention_mask": False,
    },
    "no special tokens": {"pad_to_multiple_of": 8, "add_special_tokens": False},
    "special tokens as text": {"split_special_tokens": True, "return_token_type_ids": True},
    "arrays": {
        "return_tensors": "np",
        "return_token_type_ids": False,
        "return_offsets_mapping": True,
        "return_overflowing_tokens": True,
    },
}


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("transformers").BertTokenizer(str(VOCABULARY), model_max_length=LIMIT)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(`max_length`|max_length) is ignored|a row has")
        yield


def is_ragged(encoded):
    """Whether rows of different lengths came back as an array of arrays, or a list of them."""
    ids = encoded["input_ids"]
    return str(getattr(ids, "dtype", "")) == "object" or (isinstance(ids, list) and hasattr(ids[0], "dtype"))


def outcome(tokenizer, call):
    try:
        return tokenizer(**call)
    except BaseException as error:  # the Rust library raises plain Exception, and panics are no Exception at all
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return "refused"


@pytest.mark.parametrize("wants", WANTS)
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_that_of_transformers(theirs, kind, given, wants):
    ours = shared(kind, model_max_length=LIMIT)
    compared = 0
    for lengths in LENGTHS:
        call = {**INPUTS[given], **lengths, **WANTS[wants]}
        expected, found = outcome(theirs, call), outcome(ours, call)
        if expected != "refused" and is_ragged(expected):
            assert found == "refused", call  # see test_rows_of_different_lengths_make_no_array
            continue
        if "refused" in (expected, found):
            assert expected == found, call
            continue
        assert everything(found) == everything(expected), call
        compared += 1
    assert compared > 0 or wants == "arrays"


@pytest.mark.parametrize("kind", KINDS)
def test_all_texts_give_the_fields_of_transformers(theirs, kind):
    ours = shared(kind, model_max_length=LIMIT)
    for call in ({"padding": True}, {"truncation": True, "stride": 5, "return_overflowing_tokens": True}):
        texts = ENGLISH + AWKWARD
        assert everything(ours(texts, **call)) == everything(theirs(texts, **call))


TEXT_FILES = dict(texts_below(TESTS / "fixtures" / "texts"))


@pytest.mark.parametrize("file", TEXT_FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_texts_in_all_languages_give_the_fields_of_transformers(theirs, kind, file):
    """`python -m support.transformers_comparison FOLDER` does so over all the text below a folder."""
    lines = TEXT_FILES[file].split("\n")[:: sample(4, thorough=1)]
    assert len(lines) > 30
    for first in range(0, len(lines), 500):
        assert difference(shared(kind), theirs, lines[first : first + 500]) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"do_lower_case": False}, {"strip_accents": False}, {"strip_accents": True},
                                     {"tokenize_chinese_chars": False}], ids=str)  # fmt: skip
def test_rules_are_those_of_transformers(theirs, kind, options):
    expected = type(theirs)(str(VOCABULARY), **options)
    texts = ENGLISH + AWKWARD
    assert everything(shared(kind, **options)(texts)) == everything(expected(texts))


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_that_of_transformers(theirs, kind):
    ours = shared(kind)
    rows = theirs(ENGLISH + AWKWARD)["input_ids"]
    for skip in (False, True):
        assert ours.batch_decode(rows, skip_special_tokens=skip) == theirs.batch_decode(rows, skip_special_tokens=skip)
    assert ours.decode(rows[0]) == theirs.decode(rows[0])
    assert ours.convert_ids_to_tokens(rows[0]) == theirs.convert_ids_to_tokens(rows[0])
    assert ours.convert_tokens_to_ids(["hello", "no such token"]) == theirs.convert_tokens_to_ids(
        ["hello", "no such token"]
    )
    assert ours.convert_tokens_to_string(["a", "##b", "."]) == theirs.convert_tokens_to_string(["a", "##b", "."])


CLEANING = (None, True, False)
CONTRACTIONS = ["Don't stop, it's ok. We do not 've.", "I ' m here . x", "n't 're 'M ' ! ' ? do not isn't"]


def cleaned(tokenizer, rows):
    """Return what decoding makes of rows however it is told to clean up, by argument and by setting."""
    found = [tokenizer.clean_up_tokenization_spaces, tokenizer.convert_tokens_to_string(ROW)]
    found += [tokenizer.batch_decode(rows, clean_up_tokenization_spaces=asked) for asked in CLEANING]
    before = tokenizer.clean_up_tokenization_spaces
    tokenizer.clean_up_tokenization_spaces = not before
    found += [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    tokenizer.clean_up_tokenization_spaces = before
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"clean_up_tokenization_spaces": True}], ids=str)
def test_cleaning_up_is_that_of_transformers(theirs, kind, options):
    rows = theirs(CONTRACTIONS)["input_ids"]
    expected = type(theirs)(str(VOCABULARY), **options)
    assert cleaned(KINDS[kind](VOCABULARY, **options), rows) == cleaned(expected, rows)


# transformers makes tokenizers of these classes anew from the vocabulary; others are what tokenizer.json says.
CLASSES = ("ElectraTokenizer", "BertTokenizer", "PreTrainedTokenizerFast", None, "a config.json says it")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROW = ["a", ".", "don", "'", "t", "##s", "do", "not", "i", "'", "m", " 's", " .", "▁.", "Ġ.", "n't"]
PIECES = {token: index for index, token in enumerate(dict.fromkeys([*SPECIAL, *ROW]))}
ROWS = [[PIECES[token] for token in ("[CLS]", *ROW, "[SEP]")]]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("cleanup", [True, False])
def test_a_folder_is_cleaned_up_as_by_transformers(name, cleanup, tmp_path):
    pytest.importorskip("torch")  # without which transformers chooses no class
    automatic = pytest.importorskip("transformers").AutoTokenizer
    first, again = tmp_path / "first", tmp_path / "again"
    ElectraTokenizerFast(PIECES).save_pretrained(first)
    rust = Tokenizer.from_file(str(first / "tokenizer.json"))
    rust.decoder = decoders.WordPiece(cleanup=cleanup)
    rust.save(str(first / "tokenizer.json"))
    if name == CLASSES[-1]:
        (first / "config.json").write_text('{"model_type": "electra", "max_position_embeddings": 512}')
    for setting in CLEANING:
        config = {"clean_up_tokenization_spaces": setting, "tokenizer_class": None if name == CLASSES[-1] else name}
        given = {key: value for key, value in config.items() if value is not None}
        (first / "tokenizer_config.json").write_text(json.dumps(given))
        expected = cleaned(automatic.from_pretrained(first), ROWS)
        for kind in KINDS.values():
            ours = kind.from_pretrained(first)
            assert cleaned(ours, ROWS) == expected, (kind, setting)
            ours.save_pretrained(again)
            for other in (automatic, *KINDS.values()):
                assert cleaned(other.from_pretrained(again), ROWS) == expected, (kind, other, setting)


MODELS = {
    "BPE": lambda: models.BPE(PIECES, [], unk_token="[UNK]"),
    "Unigram": lambda: models.Unigram([(token, -1.0) for token in PIECES], 1),
    "words": lambda: models.WordLevel(PIECES, unk_token="[UNK]"),
    "WordPiece": lambda: models.WordPiece(PIECES, unk_token="[UNK]"),
}
DECODERS = [
    None, decoders.WordPiece(cleanup=True), decoders.WordPiece(cleanup=False, prefix="@"), decoders.ByteLevel(),
    decoders.Metaspace(), decoders.Fuse(),
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_any_decoder_is_cleaned_up_after_as_by_transformers(model, tmp_path):
    kind = pytest.importorskip("transformers").PreTrainedTokenizerFast
    for decoder in DECODERS:
        rust = Tokenizer(MODELS[model]())
        if decoder is not None:
            rust.decoder = decoder
        rust.add_special_tokens(list(SPECIAL))
        for options in ({}, {"clean_up_tokenization_spaces": True}):
            ours = ElectraTokenizerFast(tokenizer_file=rust, **options)
            expected = cleaned(kind(tokenizer_object=rust, **options), ROWS)
            assert cleaned(ours, ROWS) == expected, decoder
            ours.save_pretrained(tmp_path)
            assert cleaned(kind.from_pretrained(tmp_path), ROWS) == expected, decoder
            assert cleaned(ElectraTokenizerFast.from_pretrained(tmp_path), ROWS) == expected, decoder


@pytest.mark.parametrize("kind", KINDS)
def test_added_tokens_are_found_as_by_transformers(theirs, kind):
    from tokenizers import AddedToken

    tokens = [
        "newtoken",
        AddedToken("LEFT", lstrip=True),
        AddedToken("Right", rstrip=True, normalized=False),
        AddedToken("whole", single_word=True),
        AddedToken("Été", normalized=True),
    ]
    text = "a newtoken b  LEFT c Right  d wholesale whole, étéx Newtoken [X] y"
    ours, expected = KINDS[kind](VOCABULARY), type(theirs)(str(VOCABULARY))
    for tokenizer in (ours, expected):
        assert tokenizer.add_tokens(tokens) == len(tokens)
        assert tokenizer.add_special_tokens({"additional_special_tokens": ["[X]"]}) == 1
    assert everything(ours(text)) == everything(expected(text))
    assert ours.get_added_vocab() == expected.get_added_vocab()
    assert len(ours) == len(expected)
    ids = ours(text)["input_ids"]
    assert ours.decode(ids, skip_special_tokens=True) == expected.decode(ids, skip_special_tokens=True)


# Where this library differs on purpose; docs/fidelity.md says why -----------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_different_lengths_make_no_array(theirs, kind):
    assert is_ragged(theirs(["a", "b c"], return_tensors="np"))
    with pytest.raises(ValueError, match="rows of 3 to 4 tokens make no array: pass padding=True"):
        shared(kind)(["a", "b c"], return_tensors="np")


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_below_the_special_tokens_is_refused(theirs, kind):
    assert len(theirs("a b c", truncation=True, max_length=1)["input_ids"]) == 5  # nothing is cut
    with pytest.raises(ValueError, match="max_length=1 is below the 2 special tokens"):
        shared(kind)("a b c", truncation=True, max_length=1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_pair_is_a_pair(theirs, kind):
    assert theirs("a", "")["input_ids"] == [101, 1037, 102]
    assert theirs(["a"], [""])["input_ids"] == [[101, 1037, 102, 102]]
    ours = shared(kind)
    assert ours("a", "")["input_ids"] == [101, 1037, 102, 102] == ours(["a"], [""])["input_ids"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_argument_is_an_error(theirs, kind):
    assert theirs("a", max_lenght=1)["input_ids"] == [101, 1037, 102]  # read over
    with pytest.raises(TypeError, match="max_lenght"):
        shared(kind)("a", max_lenght=1)
    with pytest.raises(TypeError, match="do_lowercase"):
        KINDS[kind](VOCABULARY, do_lowercase=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_by_name_is_read(theirs, kind):
    silent = type(theirs)(vocab_file=str(VOCABULARY))
    assert len(silent) == 5  # the file is not looked at
    assert len(KINDS[kind](vocab_file=VOCABULARY)) == 30522


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*pieces are repeated")
def test_a_new_token_beside_repeated_lines_gets_an_id_of_its_own(theirs, kind, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\nb\n")
    expected, ours = type(theirs)(str(tmp_path / "vocab.txt")), KINDS[kind](tmp_path / "vocab.txt")
    assert ours("a b")["input_ids"] == expected("a b")["input_ids"] == [2, 6, 7, 3]
    assert (len(ours), len(expected)) == (8, 7)
    assert ours.add_tokens(["new"]) == expected.add_tokens(["new"]) == 1
    assert ours("b new")["input_ids"] == [2, 7, 8, 3]
    assert expected("b new")["input_ids"] == [2, 7, 7, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_gives_empty_columns(theirs, kind):
    with pytest.raises(IndexError):
        theirs([])
    assert dict(shared(kind)([])) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


# Rows of ids, against transformers' tokenizer in Python ---------------------------------------------------------------


@pytest.fixture(scope="module")
def legacy():
    return pytest.importorskip("transformers").BertTokenizerLegacy(str(VOCABULARY), model_max_length=LIMIT)


FIRST, SECOND = list(range(2000, 2015)), list(range(3000, 3007))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_sequences_are_truncated_as_by_transformers(legacy, kind, side, caplog):
    ours = KINDS[kind](VOCABULARY, truncation_side=side)
    legacy.truncation_side = side
    for strategy, pair, remove, stride in itertools.product(
        ("longest_first", "only_first", "only_second"), (None, SECOND), range(0, 7), (0, 2)
    ):
        if strategy == "only_second" and pair is None:
            continue
        expected = legacy.truncate_sequences(FIRST, pair, remove, strategy, stride)
        assert ours.truncate_sequences(FIRST, pair, remove, strategy, stride) == expected, (strategy, remove, stride)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pair", [None, SECOND])
def test_rows_of_ids_are_prepared_as_by_transformers(legacy, kind, pair, caplog):
    ours = shared(kind, model_max_length=LIMIT)
    legacy.truncation_side = "right"
    for special, padding, truncation, overflow in itertools.product(
        (True, False), (False, True, "max_length"), (False, True, "only_first"), (False, True)
    ):
        if truncation is True and overflow and pair is not None:
            continue
        call = {
            "add_special_tokens": special,
            "padding": padding,
            "truncation": truncation,
            "max_length": 14,
            "stride": 3,
            "return_overflowing_tokens": overflow,
            "return_special_tokens_mask": True,
            "return_length": True,
        }
        expected = dict(legacy.prepare_for_model(FIRST, pair, **call))
        if not special and pair is not None:  # Rust's types are those of the sequences, with or without [SEP]
            expected.pop("token_type_ids", None)
        found = dict(ours.prepare_for_model(FIRST, pair, **call))
        assert {name: found[name] for name in expected} == expected, call
    for method in ("build_inputs_with_special_tokens", "create_token_type_ids_from_sequences",
                   "get_special_tokens_mask"):  # fmt: skip
        assert getattr(ours, method)(FIRST, pair) == getattr(legacy, method)(FIRST, pair)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_filled_as_by_transformers(theirs, kind):
    ours = shared(kind, model_max_length=LIMIT)
    texts = ["a", "b c d e", "f g"]
    for call in (
        {},
        {"padding": "max_length", "max_length": 9},
        {"pad_to_multiple_of": 8, "padding_side": "left"},
        {"return_tensors": "np"},
    ):
        expected = theirs.pad(theirs(texts, return_special_tokens_mask=True), **call)
        found = ours.pad(ours(texts, return_special_tokens_mask=True), **call)
        assert {name: as_plain(column) for name, column in found.items()} == {
            name: as_plain(column) for name, column in expected.items()
        }, call
    rows = [dict(ours(text)) for text in texts]
    assert dict(ours.pad(rows)) == dict(theirs.pad(rows))
