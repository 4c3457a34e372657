"""Vocabularies as people have them: with Windows' line ends, without special tokens, repeated, in another encoding."""

import pytest

from electra_common import CheckpointError
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
    del vocabulary["[CLS]"]
    with pytest.raises(CheckpointError, match=r"the vocabulary: lacks \[CLS\]"):
        KINDS[kind](vocabulary)
