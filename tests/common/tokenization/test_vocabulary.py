"""Vocabularies as people have them: with Windows' line ends, without special tokens, repeated, in another encoding."""

import json

import pytest
from tokenizers import Tokenizer, models

from electra_common import CheckpointError, ElectraTokenizerFast
from support.tokenizers import KINDS

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##s", "\u2028"]


@pytest.fixture(params=KINDS)
def load(request, tmp_path):
    def load(content, **options):
        file = tmp_path / "vocab.txt"
        file.write_bytes(content)
        return KINDS[request.param](file, **options)

    return load


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_piece(load, end, mark, last):
    tokenizer = load((mark + end.join(PIECES) + (end if last else "")).encode())
    assert tokenizer.get_vocab() == {piece: index for index, piece in enumerate(PIECES)}
    assert tokenizer("hellos")["input_ids"] == [2, 5, 6, 3]


def test_missing_special_tokens_are_named(load):
    with pytest.raises(CheckpointError, match=r"lacks \[SEP\], \[MASK\]; not a vocabulary of ELECTRA's"):
        load("\n".join(["[PAD]", "[UNK]", "[CLS]", "hello"]).encode())


def test_special_tokens_may_go_by_other_names(load):
    names = {"unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<m>"}
    tokenizer = load("\n".join(["<pad>", "<unk>", "<s>", "</s>", "<m>", "hello"]).encode(), **names)
    assert tokenizer("hello <m> x")["input_ids"] == [2, 5, 4, 1, 3]
    assert (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.mask_token) == (2, 0, "<m>")


def test_of_repeated_pieces_the_last_counts_as_in_transformers(load):
    with pytest.warns(
        UserWarning, match=r"1 pieces are repeated, such as 'hello' in lines 6 and 9; the last one counts"
    ):
        tokenizer = load("\n".join([*PIECES, "hello"]).encode())
    assert tokenizer("hello")["input_ids"] == [2, 8, 3]


REPEATED = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\r\na\n\nb\na\n\n"


@pytest.mark.parametrize("other", KINDS.values())
@pytest.mark.filterwarnings("ignore:.*pieces are repeated")
def test_repeated_lines_keep_their_ids_and_are_saved_again(load, other, tmp_path):
    tokenizer = load(REPEATED)
    assert (len(tokenizer), tokenizer.vocab_size) == (11, 11)
    tokenizer.save_vocabulary(tmp_path)
    assert (tmp_path / "vocab.txt").read_bytes() == REPEATED.replace(b"\r", b"")
    assert tokenizer.add_tokens(["[E1]"]) == 1
    assert (tokenizer.convert_tokens_to_ids("[E1]"), len(tokenizer)) == (11, 12)
    ids = tokenizer("a [E1] b\n5 a\n5")["input_ids"]
    assert ids == [2, 9, 11, 8, 1, 9, 1, 3]
    tokenizer.save_pretrained(tmp_path)
    for file in (tmp_path, tmp_path / "tokenizer.json", tmp_path / "vocab.txt"):
        loaded = other.from_pretrained(file)
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded("a [E1] b\n5 a\n5")["input_ids"] == ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_token_gets_no_id_that_is_taken(kind, tmp_path):
    """transformers saves a vocabulary with repeated lines as a tokenizer.json in which ids are left out."""
    vocabulary = {**{piece: index for index, piece in enumerate(PIECES[:6])}, "b": 7, "c": 9}
    parts = json.loads(ElectraTokenizerFast({**vocabulary, "b": 6, "c": 7}).backend_tokenizer.to_str())
    parts["model"]["vocab"] = vocabulary
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts))
    for tokenizer in (KINDS[kind](vocabulary), KINDS[kind].from_pretrained(tmp_path)):
        assert len(tokenizer) == 10
        assert tokenizer.add_tokens(["new", "b"]) == 2
        assert (tokenizer.convert_tokens_to_ids("new"), len(tokenizer)) == (10, 11)
        assert tokenizer.decode(tokenizer("b new c")["input_ids"]) == "[CLS] b new c [SEP]"
        tokenizer.save_pretrained(tmp_path / "saved")
        assert KINDS[kind].from_pretrained(tmp_path / "saved").get_vocab() == tokenizer.get_vocab()
    with pytest.raises(CheckpointError, match="7 pieces have ids up to 2000000; too many are left out"):
        KINDS[kind]({**dict(list(vocabulary.items())[:6]), "far": 2_000_000})


def test_of_other_kinds_a_new_token_is_refused_where_its_id_is_taken():
    model = models.BPE({"a": 0, "b": 2, "c": 3}, [])
    tokenizer = ElectraTokenizerFast(tokenizer_file=Tokenizer(model))
    assert len(tokenizer) == 4
    with pytest.raises(ValueError, match="a new token would get the id 3, which 'c' has"):
        tokenizer.add_tokens(["new"])


def test_of_other_kinds_new_tokens_get_the_ids_that_are_free():
    rust = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 6}, [("a", "b")]))
    tokenizer = ElectraTokenizerFast(tokenizer_file=rust, pad_token="<pad>")
    assert (tokenizer.pad_token_id, len(tokenizer)) == (3, 7)
    with pytest.raises(ValueError, match="a new token would get the id 6, which 'ab' has"):
        tokenizer.add_tokens(["x", "y", "z"])
    assert tokenizer.add_tokens(["x", "", "a", "x", "y"]) == 3
    assert tokenizer.get_vocab() == {"a": 0, "b": 1, "<pad>": 3, "x": 4, "y": 5, "ab": 6}
    assert tokenizer("xabya")["input_ids"] == [4, 0, 1, 5, 0]  # for "a" is a token of its own now
    with pytest.raises(ValueError, match="a new token would get the id 6, which 'ab' has"):
        tokenizer.add_tokens(["z"])


def test_what_would_be_read_with_other_ids_is_not_saved(tmp_path):
    """The library counts on from the highest added token, and once more from the pieces when it reads a file."""
    tokenizer = ElectraTokenizerFast(tokenizer_file=Tokenizer(models.BPE({"a": 0, "<pad>": 6}, [])))
    tokenizer.add_tokens(["new"])
    with pytest.raises(CheckpointError, match="'new' has id 7 and would be read with 2, for ids are left out"):
        tokenizer.save_pretrained(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_added_tokens_may_have_the_ids_that_pieces_leave_out(kind, tmp_path):
    """transformers gives them out where it loaded repeated lines: it counts the pieces."""
    rust = ElectraTokenizerFast({piece: index for index, piece in enumerate([*PIECES[:6], "c"])}).backend_tokenizer
    parts = json.loads(rust.to_str())
    parts["model"]["vocab"]["c"] = 10
    rust = Tokenizer.from_str(json.dumps(parts))
    rust.add_tokens(["foo", "bar"])
    rust.save(str(tmp_path / "tokenizer.json"))
    tokenizer = KINDS[kind].from_pretrained(tmp_path)
    assert tokenizer("foo c bar")["input_ids"] == rust.encode("foo c bar").ids == [2, 7, 10, 8, 3]
    assert (len(tokenizer), tokenizer.convert_ids_to_tokens(6)) == (11, None)
    with pytest.raises(ValueError, match="a new token would get the id 10, which 'c' has"):
        tokenizer.add_tokens(["new", "newer"])
    assert tokenizer.add_tokens(["new"]) == 1
    assert tokenizer.convert_tokens_to_ids(["foo", "bar", "new", "c"]) == [7, 8, 9, 10]
    tokenizer.save_pretrained(tmp_path / "saved")
    for other in KINDS.values():
        assert other.from_pretrained(tmp_path / "saved").get_vocab() == tokenizer.get_vocab()
    with pytest.raises(CheckpointError, match=r"only WordPiece that leaves no ids out has a vocab\.txt"):
        tokenizer.save_vocabulary(tmp_path)


def test_another_encoding_is_refused_with_its_line(load):
    with pytest.raises(CheckpointError, match="line 6 is not UTF-8"):
        load("\n".join([*PIECES[:5], "häßlich"]).encode("latin-1"))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(load, content):
    with pytest.raises(CheckpointError, match="is empty"):
        load(content)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_refused(kind, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read as a vocabulary: No such file"):
        KINDS[kind](tmp_path / "vocab.txt")
    with pytest.raises(CheckpointError, match="cannot be read as a vocabulary"):
        KINDS[kind](tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapping_is_a_vocabulary(kind):
    vocabulary = {piece: index for index, piece in enumerate(PIECES)}
    assert KINDS[kind](vocabulary)("hello")["input_ids"] == [2, 5, 3]
    for index in ("x", -1, 1.5, None):
        with pytest.raises(ValueError, match=f"ids of a vocabulary are whole numbers from 0, found {index!r} for 'a'"):
            KINDS[kind]({**vocabulary, "a": index})
    with pytest.raises(ValueError, match="texts as pieces, found 5"):
        KINDS[kind]({5: "a"})
    del vocabulary["[CLS]"]
    with pytest.raises(CheckpointError, match=r"the vocabulary: lacks \[CLS\]"):
        KINDS[kind](vocabulary)
