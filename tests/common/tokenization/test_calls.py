"""Calling a tokenizer: what it takes, what it refuses, and what it costs."""

import copy
import pickle
import subprocess
import sys
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

from conftest import is_installed
from support.tokenizers import ENGLISH, KINDS, VOCABULARY, as_plain, everything, shared


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def tokenizer(kind):
    return shared(kind)


BAD_TEXTS = [
    (None, "nothing to encode"),
    (3, "expected a text or a list of texts, found a int"),
    (b"bytes", "found a bytes"),
    ([None], "row 0: expected a text, found None"),
    (["a", None, "b"], "row 1: expected a text, found None"),
    (["a", 7], "row 1: expected a text, found a int"),
    ([["a", "b", "c"]], "row 0: expected a text, found a list of str; pass is_split_into_words=True"),
    ([("a", None)], "row 0: expected a text, found None"),
    ([[["a"]]], "row 0: expected a text, found a list of list"),
    ("a\ud800b", r"row 0: holds half a surrogate pair, '\\ud800', at character 1"),
    (["a", "b\udfff"], r"row 1: holds half a surrogate pair"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS, ids=lambda value: ascii(value)[:40])
def test_what_is_no_text_is_refused_by_its_row(tokenizer, text, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(text)


BAD_WORDS = [
    ("a b", "takes lists of words, found one text"),
    ([["a"], None], "row 1: expected a list of words, found None"),
    ([["a", 5]], "row 0: word 1: expected a text, found a int"),
    ([[["a"]]], "row 0: word 0: expected a text, found a list of str"),
    ([["a", "\ud800"]], "row 0: word 1: holds half a surrogate pair"),
]


@pytest.mark.parametrize(("words", "message"), BAD_WORDS, ids=lambda value: ascii(value)[:40])
def test_what_is_no_list_of_words_is_refused_by_its_row(tokenizer, words, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(words, is_split_into_words=True)


def test_rows_may_be_texts_and_pairs_words_lists_and_tuples(tokenizer):
    mixed = tokenizer(["a", ("b", "c"), ["d", "e"]])
    assert mixed["token_type_ids"] == [[0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]
    assert mixed.n_sequences == 1
    assert mixed[2].n_sequences == 2
    words = tokenizer([("a", "b"), ["c", "d"], (["e"], ("f", "g"))], is_split_into_words=True)
    assert [words.tokens(row)[1:-1] for row in range(3)] == [["a", "b"], ["c", "d"], ["e", "[SEP]", "f", "g"]]
    assert tokenizer(("a", "b"), is_split_into_words=True).word_ids() == [None, 0, 1, None]


def test_a_text_may_have_no_words(tokenizer):
    assert dict(tokenizer([], is_split_into_words=True)) == dict(tokenizer(""))
    assert tokenizer.encode([], is_split_into_words=True) == [101, 102]
    assert tokenizer([[], ["a"]], is_split_into_words=True)["input_ids"] == [[101, 102], [101, 1037, 102]]
    assert tokenizer([], ["a"], is_split_into_words=True)["input_ids"] == [101, 102, 1037, 102]


def test_pairs_must_be_as_many_as_texts(tokenizer):
    with pytest.raises(ValueError, match="text has 2 rows, text_pair 1"):
        tokenizer(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="text_pair must be a list as long, found a str"):
        tokenizer(["a", "b"], "c")


BAD_OPTIONS = [
    ({"padding": "longer"}, "padding must be True, False or one of 'do_not_pad', 'longest', 'max_length', found"),
    ({"truncation": "all"}, "truncation must be True, False or one of"),
    ({"max_length": -1}, "max_length must be a whole number of at least 0, found -1"),
    ({"max_length": 2.5}, "max_length must be a whole number"),
    ({"max_length": True}, "max_length must be a whole number"),
    ({"max_length": np.float64(3)}, "max_length must be a whole number"),
    ({"stride": -1}, "stride must be a whole number"),
    ({"pad_to_multiple_of": 0, "padding": True}, "pad_to_multiple_of must be a whole number of at least 1"),
    ({"padding": True, "padding_side": "top"}, "padding_side must be 'right' or 'left', found 'top'"),
    ({"return_tensors": "jax"}, "return_tensors must be None or one of 'np', 'pt', 'tf', found 'jax'"),
    ({"truncation": True, "max_length": 1}, "max_length=1 is below the 2 special tokens"),
    ({"truncation": True, "max_length": 5, "stride": 3}, "stride=3 must be below the 3 tokens of text"),
    ({"truncation": "only_second", "max_length": 3}, "truncation error: strategy 'only_second'"),
    ({"padding": True, "truncation": True, "max_length": 7, "pad_to_multiple_of": 4}, "a max_length that .*=4 divides"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=str)
def test_wrong_options_are_refused(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        tokenizer("a b c d e f g", **options)


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_windows_of_pairs_that_would_not_move_on_are_refused(tokenizer, strategy):
    """The Rust library panics on these, and transformers with it."""
    first, second = "a b c d e f", "g h i j k l"
    with pytest.raises(ValueError, match=r"row 0: max_length=11 and .* leave [24] of 6 tokens .* more than stride=5"):
        tokenizer(first, second, truncation=strategy, max_length=11, stride=5, return_overflowing_tokens=True)
    fitting = tokenizer("a", "b c", truncation=strategy, max_length=11, stride=5, return_overflowing_tokens=True)
    assert fitting["overflow_to_sample_mapping"] == [0]


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_windows_of_pairs_do_not_depend_on_whether_offsets_are_asked_for(tokenizer, strategy):
    pairs = [("a b c d e", "f g h i j k"), ("l m n o p", "q r s"), ("t", "u")]
    call = {"truncation": strategy, "max_length": 10, "return_overflowing_tokens": True}
    found, expected = tokenizer(pairs, **call), tokenizer(pairs, return_offsets_mapping=True, **call)
    expected.pop("offset_mapping")
    assert everything(found) == everything(expected)
    if strategy == "only_second":
        assert found["token_type_ids"][1] == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_max_length_without_an_effect_is_said_once(kind):
    tokenizer = KINDS[kind](VOCABULARY)
    with pytest.warns(UserWarning, match="max_length is ignored"):
        tokenizer("a", padding=True, max_length=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a", padding=True, max_length=5)
        tokenizer("a", padding=True, max_length=6, verbose=False)
        tokenizer.pad(tokenizer("a"), max_length=6, verbose=False)
    with pytest.warns(UserWarning, match="max_length is ignored"):
        tokenizer.pad(tokenizer("a"), max_length=6)


def test_a_row_that_is_too_long_for_the_model_is_said_once(kind):
    tokenizer = KINDS[kind](VOCABULARY, model_max_length=4)
    with pytest.warns(UserWarning, match="a row has 5 tokens, the model takes 4; pass truncation=True"):
        tokenizer("a b c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a b c")


def test_settings_are_looked_at_in_every_call(kind):
    tokenizer = KINDS[kind](VOCABULARY, model_max_length=6)
    assert len(tokenizer("a b c d e f g", truncation=True)["input_ids"]) == 6
    tokenizer.model_max_length = 4
    assert len(tokenizer("a b c d e f g", truncation=True)["input_ids"]) == 4
    tokenizer.padding_side = "left"
    assert tokenizer("a", padding="max_length")["input_ids"] == [0, 101, 1037, 102]
    tokenizer.truncation_side = "left"
    assert tokenizer("a b c", truncation=True)["input_ids"] == tokenizer("b c")["input_ids"]
    tokenizer.pad_token = "[MASK]"
    assert tokenizer("a", padding="max_length")["input_ids"] == [103, 101, 1037, 102]
    tokenizer.pad_token_type_id = 3
    assert tokenizer("a", padding="max_length")["token_type_ids"] == [3, 0, 0, 0]
    tokenizer.model_input_names.remove("attention_mask")
    assert list(tokenizer("a")) == ["input_ids", "token_type_ids"]
    tokenizer.model_input_names = ["input_ids"]
    assert list(tokenizer("a")) == ["input_ids"]
    tokenizer.add_special_tokens({"pad_token": None})
    with pytest.raises(ValueError, match="there is no padding token"):
        tokenizer("a", padding="max_length")


def test_numbers_may_be_numpys(tokenizer):
    numbers = {"max_length": 8, "stride": 1, "pad_to_multiple_of": 4}
    call = {"truncation": True, "padding": True, "return_overflowing_tokens": True}
    of_numpy = {name: np.int64(number) for name, number in numbers.items()}
    for text in ("a b c d e f g h", "i j k"):  # a call as it was before is looked up
        assert everything(tokenizer(text, **call, **of_numpy)) == everything(tokenizer(text, **call, **numbers))


def test_columns_of_other_names_are_filled_only_if_their_blanks_are_known(tokenizer):
    rows = [
        {"input_ids": [5, 6, 7], "labels": [1, 2, 3], "scores": [4, 5, 6], "label": 1},
        {"input_ids": [5], "labels": [1], "scores": [4], "label": 0},
    ]
    filled = tokenizer.pad(rows, padding_side="left")
    assert filled["input_ids"] == [[5, 6, 7], [0, 0, 5]]
    assert filled["labels"] == [[1, 2, 3], [-100, -100, 1]]
    assert filled["scores"] == [[4, 5, 6], [4]]
    assert filled["label"] == [1, 0]
    classes = tokenizer.pad([{"input_ids": [5, 6], "labels": [1, 0, 0]}, {"input_ids": [5], "labels": [0, 1, 0]}])
    assert classes["labels"] == [[1, 0, 0], [0, 1, 0]]
    shares = tokenizer.pad([{"input_ids": [5, 6], "labels": [0.0, 1.0]}, {"input_ids": [5, 6], "labels": [1.0, 1.0]}],
                           padding="max_length", max_length=3)  # fmt: skip
    assert shares["labels"] == [[0.0, 1.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match="scores: rows of different lengths make no tensor; pad fills what a call"):
        tokenizer.pad(rows, return_tensors="np")
    with pytest.raises(ValueError, match="input_ids: rows of different lengths make no tensor; pass padding=True"):
        tokenizer.pad(rows, padding=False, return_tensors="np")


def test_offsets_are_filled_as_in_a_call(tokenizer):
    texts = ["a", "naïve b"]
    encoded = tokenizer(texts, return_offsets_mapping=True)
    for tensors in ({}, {"return_tensors": "np"}):
        expected = tokenizer(texts, padding=True, return_offsets_mapping=True, **tensors)
        found = tokenizer.pad(dict(encoded), **tensors)
        assert {name: as_plain(column) for name, column in found.items()} == {
            name: as_plain(column) for name, column in expected.items()
        }


def test_targets_become_labels(tokenizer):
    assert tokenizer("a", text_target="b")["labels"] == tokenizer("b")["input_ids"]
    assert dict(tokenizer(text_target="b")) == dict(tokenizer("b"))


def test_one_text_by_every_name(tokenizer):
    expected = tokenizer("a b", "c", max_length=5)
    assert dict(tokenizer.encode_plus("a b", "c", max_length=5)) == dict(expected)
    assert tokenizer.encode("a b", "c", max_length=5) == expected["input_ids"]
    assert dict(tokenizer.batch_encode_plus([("a b", "c")], max_length=5)) == {k: [v] for k, v in expected.items()}
    assert tokenizer.tokenize("unaffable") == ["una", "##ffa", "##ble"]
    with pytest.raises(ValueError, match="expected one text"):
        tokenizer.encode(["a", "b"])
    with pytest.raises(ValueError, match="expected a list of texts, found one text"):
        tokenizer.batch_encode_plus("a")


@pytest.mark.parametrize(("name", "package", "dtype"), [("np", "numpy", "int64"), ("pt", "torch", "torch.int64"),
                                                        ("tf", "tensorflow", "<dtype: 'int32'>")])  # fmt: skip
def test_tensors_of_each_framework(tokenizer, name, package, dtype):
    if not is_installed(package):
        pytest.skip(f"{package} is not installed")
    encoded = tokenizer(["a b", "c"], padding=True, return_tensors=name, return_overflowing_tokens=True)
    assert {str(column.dtype) for column in encoded.values()} == {dtype}
    assert np.asarray(encoded["input_ids"]).tolist() == [[101, 1037, 1038, 102], [101, 1039, 102, 0]]


def test_a_framework_is_imported_only_when_it_is_asked_for():
    code = (
        "import sys; from electra_common import *; t = ElectraTokenizerFast(sys.argv[1]);"
        "t(['a'], return_tensors='np'); t.pad([t('a')]); print(*{'torch', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code, str(VOCABULARY)], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == ""


def test_a_call_does_not_depend_on_the_one_before(tokenizer):
    calls = [{}, {"max_length": 4}, {"truncation": True, "max_length": 5, "stride": 1}, {"split_special_tokens": True}]
    alone = [everything(tokenizer("a [MASK] b c d e", **call)) for call in calls]
    for first in range(len(calls)):
        for second in range(len(calls)):
            tokenizer("a b c d e f", **calls[first])
            assert everything(tokenizer("a [MASK] b c d e", **calls[second])) == alone[second]


def test_a_change_that_adds_nothing_leaves_all_calls_right(kind):
    """One backend stays, and with it what it is set to, for the calls before as for those behind."""
    tokenizer = KINDS[kind](VOCABULARY)
    whole, cut, also_cut = tokenizer("a b c"), *(tokenizer("a b c d e f", max_length=4) for _ in range(2))
    tokenizer.bos_token = None
    tokenizer("x")
    assert cut.tokens() == ["[CLS]", "a", "b", "[SEP]"]
    assert whole.tokens() == ["[CLS]", "a", "b", "c", "[SEP]"]
    tokenizer.add_special_tokens({})
    assert also_cut.tokens() == cut.tokens()
    assert len(tokenizer("a b c d e f g")["input_ids"]) == 9


def test_threads_do_not_disturb_each_other(tokenizer):
    texts = ENGLISH[:4]
    expected = {length: everything(tokenizer(texts, truncation=True, max_length=length)) for length in (5, 9, 17)}
    wrong = []

    def work(length):
        for _ in range(20):
            if everything(tokenizer(texts, truncation=True, max_length=length)) != expected[length]:
                wrong.append(length)

    threads = [threading.Thread(target=work, args=(length,)) for length in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_and_pickles_do_the_same(kind):
    tokenizer = KINDS[kind](VOCABULARY, do_lower_case=False, model_max_length=9)
    tokenizer.add_tokens(["newtoken"])
    for other in (copy.copy(tokenizer), copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert everything(other("A newtoken Bé " * 9, truncation=True)) == everything(
            tokenizer("A newtoken Bé " * 9, truncation=True)
        )
        other.add_tokens(["one more token"])
        other.pad_token = "[MASK]"
        assert len(other) == len(tokenizer) + 1
        other("a")
        assert len(tokenizer("A newtoken Bé " * 9, truncation=True)["input_ids"]) == 9
        assert tokenizer.pad_token == "[PAD]"


@pytest.mark.thorough
def test_a_word_of_50_megabytes_is_unknown():
    """As in Python, where it is tested beside the backend; the library takes most of a second for each megabyte."""
    assert shared("rust")("x" * 50_000_000 + " a")["input_ids"] == [101, 100, 1037, 102]


def test_words_longer_than_the_limit_are_unknown(kind):
    assert KINDS[kind](VOCABULARY)("a" * 101)["input_ids"] == [101, 100, 102]
    assert 100 not in KINDS[kind](VOCABULARY)("a" * 100)["input_ids"]
    assert 100 not in KINDS[kind](VOCABULARY, compat="google")("a" * 200)["input_ids"]
    assert KINDS[kind](VOCABULARY, compat="google")("a" * 201)["input_ids"] == [101, 100, 102]


def test_googles_rules_are_the_same_in_both(kind, tmp_path):
    """U+0378 is no character yet: Google drops it, the library keeps it; a word may have 200 characters."""
    texts = ["a\u0378b", "x" * 150, "naïve \u2028 CAFÉ 東京!"]
    tokenizer = KINDS[kind](VOCABULARY, compat="google")
    assert everything(tokenizer(texts)) == everything(shared("python", compat="google")(texts))
    assert tokenizer.tokenize("a\u0378b") == ["ab"] != shared(kind).tokenize("a\u0378b")
    tokenizer.save_pretrained(tmp_path)
    for other in KINDS.values():
        assert everything(other.from_pretrained(tmp_path)(texts)) == everything(tokenizer(texts))
    keeping = KINDS[kind](VOCABULARY, compat="google", never_split=["x"])
    assert keeping.tokenize("x\u00b2") == ["x", "\u00b2"] != tokenizer.tokenize("x\u00b2")
    for text in ("x\u0903", "\u24b6x"):  # a mark, or what counts as a letter, makes another word of it
        assert keeping.tokenize(text) == tokenizer.tokenize(text)
    with pytest.raises(ValueError, match="compat must be one of 'transformers', 'google', found 'bert'"):
        KINDS[kind](VOCABULARY, compat="bert")


def test_never_split_keeps_pieces_whole(kind):
    tokenizer = KINDS[kind](VOCABULARY, never_split=["##s", "hello"])
    assert tokenizer.tokenize("Hello hello, ##s") == ["hello", "hello", ",", "##s"]
    assert tokenizer.tokenize("x##s") == ["x", "#", "#", "s"]  # stands in no word of its own
    with pytest.raises(ValueError, match="never_split: 'no such piece' not in the vocabulary"):
        KINDS[kind](VOCABULARY, never_split=["no such piece"])
    tokenizer = KINDS[kind](VOCABULARY, never_split=["[SEP]"])  # which is whole already, and stays special
    assert tokenizer("a[SEP]b")["input_ids"] == [101, 1037, 102, 1038, 102]
    assert tokenizer.decode([101, 1037, 102], skip_special_tokens=True) == "a"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("option", "value"),
    [("do_lower_case", "false"), ("strip_accents", 1), ("tokenize_chinese_chars", "no"), ("split_special_tokens", 1),
     ("clean_up_tokenization_spaces", "no"), ("never_split", "ab"), ("never_split", [5]), ("model_input_names", 5),
     ("additional_special_tokens", "abc")],
)  # fmt: skip
def test_arguments_of_the_wrong_type_are_refused(kind, option, value):
    with pytest.raises(ValueError, match=f"{option} must be (true or false|a list of texts.*), found"):
        KINDS[kind]({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}, **{option: value})


def test_special_tokens_by_name(kind):
    tokenizer = KINDS[kind](VOCABULARY)
    assert tokenizer.special_tokens_map == {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    }  # fmt: skip
    assert tokenizer.all_special_ids == [100, 102, 0, 101, 103]
    assert tokenizer.bos_token is None
    assert tokenizer.bos_token_id is None
    assert tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": ["<a>", "<b>"]}) == 3
    assert tokenizer.bos_token_id == 30522
    assert tokenizer.additional_special_tokens == ["<a>", "<b>"]
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<c>"]}, False) == 1
    assert tokenizer.additional_special_tokens == ["<a>", "<b>", "<c>"]
    assert tokenizer.tokenize("x<c>Y") == ["x", "<c>", "y"]
    assert tokenizer.tokenize("x<c>", split_special_tokens=True) == ["x", "<", "c", ">"]
    assert tokenizer.decode(tokenizer("x<c>")["input_ids"], skip_special_tokens=True) == "x"
    with pytest.raises(ValueError, match="no special token is called 'end_token'"):
        tokenizer.add_special_tokens({"end_token": "x"})
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match=r"there is no padding token; set tokenizer\.pad_token"):
        tokenizer(["a"], padding=True)


def test_what_is_no_special_token_changes_nothing(kind):
    tokenizer = KINDS[kind](VOCABULARY)
    wrong = [
        ({"pad_token": 5}, "pad_token must be a text, an AddedToken or None, found 5"),
        ({"pad_token": "<p>", "end_token": "x"}, "no special token is called 'end_token'"),
        ({"additional_special_tokens": "[E9]"}, r"must be a list of texts or AddedTokens, found '\[E9\]'"),
        ({"pad_token": "<p>", "additional_special_tokens": ["<a>", None]}, "must be a list of texts or AddedTokens"),
    ]
    for tokens, message in wrong:
        with pytest.raises(ValueError, match=message):
            tokenizer.add_special_tokens(tokens)
    with pytest.raises(ValueError, match="pad_token must be a text"):
        tokenizer.pad_token = 5
    assert (tokenizer.pad_token, tokenizer.pad_token_id, tokenizer.additional_special_tokens) == ("[PAD]", 0, [])
    assert len(tokenizer) == 30522


def test_changing_cls_and_sep_changes_the_rows(kind):
    tokenizer = KINDS[kind](VOCABULARY)
    tokenizer.cls_token = "[MASK]"
    tokenizer.sep_token = "<end>"
    assert tokenizer("a", "b")["input_ids"] == [103, 1037, 30522, 1038, 30522]
    assert tokenizer.build_inputs_with_special_tokens([5]) == [103, 5, 30522]


def test_decoding(tokenizer):
    ids = tokenizer("Hello, world! So  unaffable.")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "hello, world! so unaffable."
    contracted = tokenizer("It's so, isn't it?", add_special_tokens=False)["input_ids"]
    assert tokenizer.clean_up_tokenization_spaces is False
    for asked in (None, False):
        assert tokenizer.decode(contracted, clean_up_tokenization_spaces=asked) == "it ' s so, isn ' t it?"
    assert tokenizer.decode(contracted, clean_up_tokenization_spaces=True) == "it's so, isn't it?"
    assert tokenizer.decode(np.array([ids, ids])) == [tokenizer.decode(ids)] * 2
    assert tokenizer.decode(101) == "[CLS]"
    assert tokenizer.decode([]) == ""
    with pytest.raises(ValueError, match="ids are whole numbers from 0, found -1"):
        tokenizer.decode([1, -1])
    assert tokenizer.convert_ids_to_tokens([101, 99999, 2**32, 2**40]) == ["[CLS]", None, None, None]
    assert tokenizer.convert_ids_to_tokens(2**32) is None
    assert tokenizer.decode([101, 2**32 - 1, 2**32, 2**40]) == "[CLS]"


class Counted:
    """A backend, and how often it was asked for its added tokens."""

    def __init__(self, backend):
        self.backend, self.calls = backend, 0

    def __getattr__(self, name):
        self.calls += name == "get_added_tokens_decoder"
        return getattr(self.backend, name)


def test_decoding_of_many_rows_asks_once_what_is_special(kind):
    tokenizer = KINDS[kind](VOCABULARY)
    tokenizer.add_tokens(["<x>"])
    tokenizer._backend = counted = Counted(tokenizer.backend_tokenizer)
    rows = [[101, 1037, 30522, 102]] * 7
    assert tokenizer.batch_decode(rows, skip_special_tokens=True) == ["a <x>"] * 7
    assert counted.calls == 1
    tokenizer.add_special_tokens({"bos_token": "<x>"})
    assert tokenizer.batch_decode(rows, skip_special_tokens=True) == ["a"] * 7


def test_alignment_is_not_computed_until_it_is_asked_for(kind):
    """A batch keeps its texts by reference and its columns; offsets of a row appear with the first question."""
    tokenizer = KINDS[kind](VOCABULARY)
    texts = ENGLISH * 20
    tokenizer(texts)  # fills the cache of the one in Python
    tracemalloc.start()
    encoded = tokenizer(texts, return_tensors="np", padding=True)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    columns = sum(column.nbytes for column in encoded.values())
    assert kept < 1.1 * columns
    assert encoded.word_ids(3)[:2] == [None, 0]


def test_alignment_is_of_the_tokenizer_as_it_was(kind):
    tokenizer = KINDS[kind](VOCABULARY)
    before = tokenizer("a foobar b")
    tokenizer.add_tokens(["foobar"])
    assert before.tokens() == ["[CLS]", "a", "foo", "##bar", "b", "[SEP]"]
    assert tokenizer("a foobar b").tokens() == ["[CLS]", "a", "foobar", "b", "[SEP]"]
