"""Text to ids against transformers' tokenizer, over real English with the real vocabulary."""

import pytest

from electra_common import CheckpointError
from electra_common.tokenization.wordpiece import encode_texts, load_wordpiece
from support.fixtures import DEMO_DATA

VOCABULARY = DEMO_DATA / "vocab.txt"
TEXTS = (DEMO_DATA / "english.txt").read_text().splitlines()
AWKWARD = ["", "naïve CAFÉ, 東京 [MASK]!", "x" * 101, "a\u0000b\tc\u00a0d", "don't — “quote” … 3,141.59"]


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("transformers").BertTokenizer(str(VOCABULARY))


def test_ids_are_those_of_transformers(theirs):
    ours = encode_texts(load_wordpiece(VOCABULARY), TEXTS + AWKWARD, max_length=96)
    expected = theirs(TEXTS + AWKWARD, truncation=True, max_length=96, padding=True, return_tensors="np")
    assert set(ours) == set(expected)
    for name, array in ours.items():
        assert array.dtype == "int64"
        assert (array == expected[name]).all(), name
    assert ours["input_ids"].shape == (len(TEXTS) + len(AWKWARD), 96)


def test_case_is_kept_where_the_folder_says_so(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Hello", "hello"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    assert encode_texts(load_wordpiece(tmp_path / "vocab.txt"), ["Hello"], max_length=9)["input_ids"].tolist() == [
        [2, 6, 3]
    ]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert encode_texts(load_wordpiece(tmp_path / "vocab.txt"), ["Hello"], max_length=9)["input_ids"].tolist() == [
        [2, 5, 3]
    ]


def test_a_vocabulary_without_special_pieces_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nhello\n")
    with pytest.raises(CheckpointError, match=r"lacks \[CLS\], \[SEP\], \[MASK\]"):
        load_wordpiece(tmp_path / "vocab.txt")
