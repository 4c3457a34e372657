"""The tokenizers under test, over the vocabulary of the released models, and texts that are hard on them."""

from functools import cache

from electra_common import ElectraTokenizer, ElectraTokenizerFast
from support.fixtures import DEMO_DATA

VOCABULARY = DEMO_DATA / "vocab.txt"
KINDS = {"python": ElectraTokenizer, "rust": ElectraTokenizerFast}
ENGLISH = (DEMO_DATA / "english.txt").read_text(encoding="utf-8").splitlines()
AWKWARD = [
    "",
    " ",
    "naïve CAFÉ, 東京 [MASK]!",
    "x" * 101,
    "a\u0000b\tc\u00a0d\u200be",
    "don't — “quote” … 3,141.59",
    "[CLS] inside [SEP] [UNK][PAD]",
    "e\u0301\u0323 \u1112\u1161\u11ab \u00e4\u0323",
    "👩\u200d👩\u200d👧 🇫🇷 ﬁ İ ẞ Ω",
]


@cache
def shared(kind, **options):
    """Return a tokenizer that no test may change."""
    return KINDS[kind](VOCABULARY, **options)


def as_plain(value):
    """Return tensors and arrays within a result as lists."""
    return value.tolist() if hasattr(value, "tolist") else value


def everything(encoded):
    """Return all that a result says: its columns, and the alignment of each of its rows."""
    columns = {name: as_plain(column) for name, column in encoded.items()}
    ids = columns["input_ids"]
    rows = len(ids) if ids and isinstance(ids[0], list) else 1 if ids else 0
    alignment = [
        (encoded.tokens(row), encoded.word_ids(row), encoded.sequence_ids(row), encoded.encodings[row].offsets)
        for row in range(rows)
    ]
    return {"columns": columns, "alignment": alignment}
