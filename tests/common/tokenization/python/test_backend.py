"""The rest of the interface: the vocabulary, added tokens, decoding, copies, and what the library refuses."""

import copy
import pickle
import time

import pytest
from tokenizers import AddedToken

from electra_common.tokenization.python.backend import PythonBackend
from support.awkward_texts import add, awkward_options, awkward_tokens, awkward_vocabulary, generator
from support.thoroughness import sample
from support.tokenizer_comparison import bert_vocabulary, both, first_difference, observed


@pytest.fixture(scope="module")
def vocabulary():
    return bert_vocabulary()


@pytest.fixture
def pair(vocabulary):
    return both(vocabulary)


def fields_of(token):
    return {
        name: getattr(token, name) for name in ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    }


@pytest.mark.parametrize("seed", range(40))
def test_vocabulary_added_tokens_and_decoding(seed):
    draw = generator("decoding", seed)
    rust, python = both(awkward_vocabulary(draw), **awkward_options(draw))
    calls = awkward_tokens(draw)
    assert add(rust, calls) == add(python, calls)
    theirs, ours = rust.get_added_tokens_decoder(), python.get_added_tokens_decoder()
    assert {i: fields_of(token) for i, token in theirs.items()} == {i: fields_of(token) for i, token in ours.items()}
    for flag in (True, False):
        assert rust.get_vocab(flag) == python.get_vocab(flag)
        assert rust.get_vocab_size(flag) == python.get_vocab_size(flag)
    size = rust.get_vocab_size() + 3
    assert [rust.id_to_token(i) for i in range(size)] == [python.id_to_token(i) for i in range(size)]
    tokens = [*rust.get_vocab(), "no such token", ""]
    assert [rust.token_to_id(token) for token in tokens] == [python.token_to_id(token) for token in tokens]
    rows = [[draw.randrange(size) for _ in range(draw.randint(0, 9))] for _ in range(50)]
    for skip in (True, False):
        assert rust.decode_batch(rows, skip_special_tokens=skip) == python.decode_batch(rows, skip_special_tokens=skip)


def test_decoding_cleans_up(vocabulary):
    text = "do n't say ' hello ' , it 's me ! i 'm , we 've ? you 're . do not ##x"
    for cleanup in (True, False):
        rust, python = both(vocabulary, cleanup=cleanup)
        ids = rust.encode(text).ids
        assert python.decode(ids) == rust.decode(ids)
        assert python.decode(ids, skip_special_tokens=False) == rust.decode(ids, skip_special_tokens=False)


def test_a_token_can_be_given_other_rules(pair):
    texts = ["a foo b", "a  FOO  b foox", "[CLS] foo"]
    calls = [
        ("add_tokens", [{"content": "foo", "lstrip": True}, {"content": ""}, {"content": "qqz"}]),
        ("add_tokens", [{"content": "foo", "rstrip": True}, {"content": "foo", "rstrip": True}]),
        ("add_special_tokens", [{"content": "foo"}, {"content": "[CLS]", "normalized": False}]),
        ("add_tokens", [{"content": "foo", "single_word": True}]),
    ]
    for call in calls:
        assert len({tuple(add(tokenizer, [call])) for tokenizer in pair}) == 1
        for text in texts:
            assert first_difference(*(tokenizer.encode(text) for tokenizer in pair)) is None
    assert len({tokenizer.add_tokens(["x1", "qqz", "x1"]) for tokenizer in pair}) == 1
    assert len({tokenizer.add_special_tokens(["x2", "x1"]) for tokenizer in pair}) == 1
    assert pair[0].get_vocab() == pair[1].get_vocab()


def test_post_process_of_encodings_that_were_processed_before(pair):
    outcomes = []
    for tokenizer in pair:
        tokenizer.enable_truncation(5, stride=1)
        long, short = tokenizer.encode("a b c d e f g"), tokenizer.encode("h i", add_special_tokens=False)
        before = [observed(encoding) for encoding in (long, short)]
        outcomes.append([
            observed(tokenizer.post_process(short)),
            observed(tokenizer.post_process(short, short, False)),
            observed(tokenizer.post_process(long)),
            observed(tokenizer.post_process(long, add_special_tokens=False)),
        ])  # fmt: skip
        tokenizer.no_truncation()
        outcomes[-1].append(observed(tokenizer.post_process(long, short)))
        outcomes[-1].append(observed(tokenizer.post_process(short, long)))
        assert [observed(encoding) for encoding in (long, short)] == before
    assert outcomes[0] == outcomes[1]


def test_copies_and_pickles_do_the_same(vocabulary):
    python = PythonBackend(vocabulary, lowercase=False)
    python.add_tokens([AddedToken("New Token", lstrip=True), "other"])
    python.enable_truncation(8, stride=2, direction="left")
    python.enable_padding(length=9, direction="left")
    expected = observed(python.encode("one New Token two other three é four five"))
    for copied in (copy.deepcopy(python), pickle.loads(pickle.dumps(python))):
        assert observed(copied.encode("one New Token two other three é four five")) == expected
        copied.add_tokens(["three"])
        copied.no_padding()
        assert python.token_to_id("three") == vocabulary["three"]
        assert 30524 not in python.get_added_tokens_decoder()
        assert python.padding["length"] == 9
    assert observed(pickle.loads(pickle.dumps(python.encode("a b")))) == observed(python.encode("a b"))


def test_tokens_may_be_added_one_by_one(vocabulary):
    """A pattern made anew for each of them would take seconds."""
    python = PythonBackend(vocabulary)
    start = time.process_time()
    for number in range(500):
        python.add_tokens([f"token{number}"])
    assert time.process_time() - start < 1
    assert python.encode("token499").ids[1] == len(vocabulary) + 499
    python.add_tokens(["token499s"])
    assert python.encode("token499s").ids[1] == len(vocabulary) + 500


def test_more_stretches_than_are_remembered(pair, monkeypatch):
    monkeypatch.setattr("electra_common.tokenization.python.pipeline._REMEMBERED_STRETCHES", 3)
    text = "one two three four one five, six one's"
    for _ in range(2):
        assert first_difference(*(tokenizer.encode(text) for tokenizer in pair)) is None


BAD_INPUTS = {
    "encode": [(None,), (3,), (["a"],), (b"a",), ("a", ["b"]), ("a", 1)],
    "encode pretokenized": [("a",), (["a", None],), ([["a"]],), (None,), (["a"], "b"), ({"a"},)],
    "encode_batch": [("ab",), (None,), ([None],), (["a", None],), ([("a", "b", "c")],), ([("a",)],), ([["a", ["b"]]],)],
    "encode_batch pretokenized": [(["ab"],), ([None],), ([[["a"], ["b"], ["c"]]],), ([[["a"], None]],), ([[[["a"]]]],)],
}


@pytest.mark.parametrize("call", BAD_INPUTS)
def test_wrong_types_are_a_type_error_in_both(pair, call):
    name, _, pretokenized = call.partition(" ")
    for arguments in BAD_INPUTS[call]:
        for tokenizer in pair:
            with pytest.raises(TypeError):
                getattr(tokenizer, name)(*arguments, is_pretokenized=bool(pretokenized))


def test_a_wrong_input_is_named(pair):
    python = pair[1]
    with pytest.raises(TypeError, match="input 1 of the batch must be a str, not NoneType"):
        python.encode_batch(["a", None])
    with pytest.raises(TypeError, match="word 1 of the second text of input 0 of the batch must be a str, not int"):
        python.encode_batch([(["a"], ["b", 2])], is_pretokenized=True)


def test_a_lone_surrogate_is_an_error(pair):
    rust, python = pair
    with pytest.raises(TypeError):
        rust.encode("a\ud800")
    with pytest.raises(ValueError, match=r"lone surrogate U\+D800 at character 1, which is no text; decode it with"):
        python.encode("a\ud800")
    with pytest.raises(ValueError, match=r"word 0 of input 1 of the batch has the lone surrogate U\+DFFF"):
        python.encode_batch([["a"], ["\udfff"]], is_pretokenized=True)


@pytest.mark.parametrize("name", ["char_to_token", "char_to_word", "word_to_tokens", "word_to_chars", "token_to_chars"])
def test_indices_that_are_none(pair, name):
    for tokenizer in pair:
        encoding = tokenizer.encode("a b")
        with pytest.raises(OverflowError):
            getattr(encoding, name)(-1)
        with pytest.raises(TypeError):
            getattr(encoding, name)("a")


def test_wrong_settings(pair):
    for tokenizer in pair:
        for arguments in ({"stride": 4}, {"strategy": "first"}, {"direction": "up"}):
            with pytest.raises(ValueError, match=r"stride|strategy|direction"):
                tokenizer.enable_truncation(5, **arguments)
        with pytest.raises(ValueError, match="direction"):
            tokenizer.enable_padding(direction="up")
        with pytest.raises(OverflowError):
            tokenizer.id_to_token(-1)
        with pytest.raises(OverflowError):
            tokenizer.decode([1, -1])
        for method in (tokenizer.add_tokens, tokenizer.add_special_tokens):
            with pytest.raises(TypeError):
                method([1])
        assert tokenizer.truncation is None
        assert tokenizer.padding is None
    python = pair[1]
    with pytest.raises(ValueError, match="max_length=-1: must not be negative"):
        python.enable_truncation(-1)
    with pytest.raises(TypeError, match="max_length must be an int, not float"):
        python.enable_truncation(1.5)


def test_truncation_that_cannot_be(pair):
    python = pair[1]
    python.enable_truncation(4, strategy="only_second")
    with pytest.raises(ValueError, match="'only_second' needs a second text, and there is none"):
        python.encode("a b c d")
    with pytest.raises(ValueError, match="3 tokens must go to reach max_length=4, but that text is too short"):
        python.encode("a b", "c d")
    python.enable_truncation(4, stride=2)
    with pytest.raises(ValueError, match="stride=2 must be less than the 2 tokens that each window has room for"):
        python.encode("a b c d")


def test_vocabularies_that_cannot_be(vocabulary):
    with pytest.raises(ValueError, match=r"the vocabulary lacks \[CLS\], \[SEP\]"):
        PythonBackend({"[UNK]": 0, "a": 1})
    with pytest.raises(ValueError, match="compat='bert': must be one of 'rust', 'google'"):
        PythonBackend(vocabulary, compat="bert")


def test_a_word_of_many_megabytes_takes_bounded_time(pair):
    longest = sample(5_000_000, thorough=50_000_000)
    for tokenizer, length in ((pair[0], 10_000), (pair[1], 10_000), (pair[1], longest)):
        encoding = tokenizer.encode(f"a {'x' * length} b")
        assert encoding.tokens == ["[CLS]", "a", "[UNK]", "b", "[SEP]"]
        assert encoding.offsets[2] == (2, length + 2)


class TestExceptionsToEquality:
    """What the library leaves to chance or panics at; docs/tokenization-rules.md lists it."""

    def both_with(self, *tokens, **options):
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "é", "tail"]
        pair = both({piece: number for number, piece in enumerate(pieces)}, **options)
        for tokenizer in pair:
            tokenizer.add_tokens(list(tokens))
        return pair

    def test_a_token_that_normalizes_to_nothing_is_found_nowhere(self):
        rust, python = self.both_with("\u200d", strip_accents=False)
        assert python.encode("é").tokens == ["[CLS]", "é", "[SEP]"]
        with pytest.raises(BaseException, match="bad split"):  # it finds one within the bytes of the letter
            rust.encode("é")

    def test_of_two_tokens_with_one_normalized_form_that_of_the_lower_id_is_found(self):
        rust, python = self.both_with("Fo", "fO")
        assert python.encode("fo").ids == [2, 7, 3]
        assert rust.encode("fo").ids in ([2, 7, 3], [2, 8, 3])

    def test_a_blank_that_the_token_before_swallowed_is_not_found_again(self):
        tail = AddedToken("tail", rstrip=True, normalized=False)
        rust, python = self.both_with(tail, AddedToken(" ", lstrip=True, normalized=False))
        assert python.encode("tail  ").tokens == ["[CLS]", "tail  ", "[SEP]"]
        with pytest.raises(BaseException, match="bad split"):
            rust.encode("tail  ")
