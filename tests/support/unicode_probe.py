"""Asks the installed ``tokenizers`` library what it knows of every Unicode character, and writes it down.

What it is for: `python -m support.unicode_probe` (in ``tests/``) rewrites the table that the pure-Python tokenizer
follows; a test compares a fresh probe with the committed file. Nothing here comes from this Python's ``unicodedata``
but the standard numbers of the combining classes, which the library keeps to itself: it shows only their order.
"""

import sys
import unicodedata
from itertools import groupby

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from electra_common.tokenization.python.unicode_tables import TABLE_FILE

CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
ALL_OFF = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}


def bert_normalizer(**settings):
    return normalizers.BertNormalizer(**{**ALL_OFF, **settings})


def ranges(characters):
    """Write ascending characters as ``first-last`` ranges of hexadecimal code points."""
    codes = enumerate(map(ord, characters))
    spans = [list(span) for _, span in groupby(codes, key=lambda pair: pair[1] - pair[0])]
    return " ".join(f"{s[0][1]:X}-{s[-1][1]:X}" if len(s) > 1 else f"{s[0][1]:X}" for s in spans)


def where(condition):
    return ranges(filter(condition, CHARACTERS))


def mapping(function, skip=()):
    """Return the characters that a function changes: {code point: code points}."""
    changed = ((c, function(c)) for c in CHARACTERS if ord(c) not in skip)
    return {f"{ord(c):X}": " ".join(f"{ord(d):X}" for d in image) for c, image in changed if image != c}


def combining_classes():
    """Order every reorderable mark against one reference mark of each class of the standard."""
    nfd = normalizers.NFD().normalize_str

    def swaps(first, second):
        return nfd(first + second) == second + first and first != second

    overlay, iota = "\u0334", "\u0345"  # the lowest class, 1, and the highest, 240
    settled = [c for c in CHARACTERS if nfd(c) == c]
    marks = [c for c in settled if swaps(c, overlay) or swaps(iota, c)]
    references = {unicodedata.combining(c): c for c in reversed(marks) if unicodedata.combining(c)}
    found = {}
    for mark in marks:
        (number,) = [n for n, r in references.items() if not swaps(mark, r) and not swaps(r, mark)]
        found.setdefault(number, []).append(mark)
    return {str(number): ranges(found[number]) for number in sorted(found)}


def added_token_neighbours():
    """Find what keeps a `single_word` token from matching, and what `rstrip` swallows: two sets of ranges."""

    def ends(**settings):
        """Return {character: where a token ends that the character follows}, counted from its start."""
        tokenizer = Tokenizer(models.WordPiece({"?": 0}, unk_token="?"))
        tokenizer.add_tokens([AddedToken("~", normalized=False, **settings)])
        found = {}
        for start in range(0, len(CHARACTERS), 5000):
            part = CHARACTERS[start : start + 5000]
            encoding = tokenizer.encode("".join(f"~{c}|" for c in part))
            tokens = zip(encoding.ids, encoding.offsets, strict=True)
            found |= {part[first // 3]: last - first for number, (first, last) in tokens if number == 1}
        return found

    words, spaces = ends(single_word=True), ends(rstrip=True)
    return where(lambda c: c not in words), where(lambda c: spaces.get(c) == 2)


def probe():
    """Return everything the tokenizer needs to know of characters, as it stands in the table file."""
    clean = bert_normalizer(clean_text=True).normalize_str
    ideographs = bert_normalizer(handle_chinese_chars=True).normalize_str
    strip = bert_normalizer(strip_accents=True).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    nfd = normalizers.NFD().normalize_str
    word_characters, spaces = added_token_neighbours()
    whitespace = where(lambda c: len(split(f"a{c}b")) == 2 and len(split(f"a{c}")) == 1)
    assert whitespace == spaces
    return {
        "dropped": where(lambda c: clean(c) == ""),
        "whitespace": whitespace,
        "punctuation": where(lambda c: len(split(f"a{c}b")) == 3),
        "ideographs": where(lambda c: ideographs(c) == f" {c} "),
        "nonspacing_marks": where(lambda c: nfd(c) == c and strip(f"a{c}") == "a"),
        "word_characters": word_characters,
        "combining_classes": combining_classes(),
        "decompositions": mapping(nfd, skip=HANGUL_SYLLABLES),
        "lowercase": mapping(bert_normalizer(lowercase=True).normalize_str),
    }


def written(table):
    """Return the table as text: one line for a set, one for each entry of a mapping's first column of sixteen."""
    lines = []
    for name, content in table.items():
        lines.append(f"[{name}]")
        entries = {"": content} if isinstance(content, str) else content
        lines.extend(f"{key}: {value}" if key else value for key, value in entries.items())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE_FILE.write_text(written(probe()), encoding="ascii")
