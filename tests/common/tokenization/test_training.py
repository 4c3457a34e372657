"""New vocabularies: the same from the same text, with everything a tokenizer needs."""

import os
import subprocess
import sys

import pytest

from electra_common.tokenization.training import SPECIAL_TOKENS, train_tokenizer
from support.tokenizers import ENGLISH

TEXT = [*ENGLISH, "Ünïcödé 東京 ünïcödé", "Ünïcödé"] * 3


def train(**options):
    return train_tokenizer(lambda: iter(TEXT), **{"size": 400, **options})


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_special_tokens_come_first(kind):
    tokenizer = train(kind=kind)
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL_TOKENS)
    assert len(tokenizer) == 400
    assert tokenizer("x")["input_ids"][0] == tokenizer.cls_token_id


def test_every_piece_was_seen():
    """Characters that continue words are handed over beforehand; none of them may be made up."""
    tokenizer = train()
    text = " ".join(tokenizer.backend_tokenizer.normalizer.normalize_str(line) for line in TEXT)
    unseen = [piece for piece in tokenizer.get_vocab() if piece not in SPECIAL_TOKENS and piece.lstrip("#") not in text]
    assert unseen == []
    words = [
        word
        for line in TEXT
        for word, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(
            tokenizer.backend_tokenizer.normalizer.normalize_str(line)
        )
    ]
    continuing = {piece[2:] for piece in tokenizer.get_vocab() if piece.startswith("##") and len(piece) == 3}
    assert continuing == {character for word in words for character in word[1:]}


def test_known_text_has_no_unknown_words():
    assert train().unk_token_id not in {index for row in train()(TEXT)["input_ids"] for index in row}


def test_case_is_kept_where_asked():
    assert train(do_lower_case=False).tokenize("Ü") == ["Ü"]
    assert train().tokenize("Ü") == ["u"]
    assert train(strip_accents=False).tokenize("Ü") == ["ü"]


def test_rare_characters_are_left_out():
    few = train(limit_alphabet=20)
    assert sum(len(piece) == 1 for piece in few.get_vocab()) == 20
    assert "京" in train().get_vocab()
    assert "京" not in few.get_vocab()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_a_vocabulary_does_not_depend_on_the_process(kind, tmp_path):
    """The library alone gives ids in the order of a hash table, which is another in every process."""
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(TEXT), encoding="utf-8")
    for run in range(3):
        command = ["vocab", "train", str(file), "--size", "500", "--kind", kind, "--out", str(tmp_path / str(run))]
        subprocess.run([sys.executable, "-m", "electra_common", *command], check=True, capture_output=True,
                       env={**os.environ, "RAYON_NUM_THREADS": str(1 + run % 2)})  # fmt: skip
    for file in (tmp_path / "0").iterdir():
        assert {(tmp_path / str(run) / file.name).read_bytes() for run in range(3)} == {file.read_bytes()}, file.name


def test_a_text_that_is_too_small_says_so():
    with pytest.warns(UserWarning, match="the text gives only .* of 9000 tokens"):
        train(size=9000)


@pytest.mark.parametrize(("options", "message"), [
    ({"size": 20}, "size 20 is below the .* characters and special tokens"),
    ({"size": 200, "kind": "bpe"}, "size 200 is below the 261"),
    ({"size": 10**23}, "size 10{23} is above 10000000, the most that a vocabulary may have"),
    ({"size": 500, "min_frequency": -1}, "min_frequency must be from 0 to 18446744073709551615, found -1"),
    ({"kind": "unigram"}, "kind must be one of 'wordpiece', 'bpe', found 'unigram'"),
], ids=str)  # fmt: skip
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)
