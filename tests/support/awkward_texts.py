"""Makes texts, vocabularies and settings that tokenizers get wrong, from a seed; the same everywhere."""

import random
import unicodedata

from tokenizers import AddedToken

ALPHABETS = {
    "letters": "abcABCzZ",
    "accents": "éÉàÀñÅșǖÜß",
    # Marks of many combining classes, spacing ones, enclosing ones, and those that decompose into marks.
    "marks": "\u0301\u0300\u0323\u0327\u0345\u0334\u0315\u031b\u035c\u05b0\u0591\u064b\u0e38\u0f71\u0f72\u0f73\u0f75"
    "\u0344\u0343\u093c\u094d\u0903\u302e\u302f\u3099\u20d2\u20dd\u1dcd\U0001d165\U0001d16d\U0001e94a\u0488\u180b",
    "composed": "\u1e69\u1e9b\u0958\u09cb\u0b94\u0f43\ufb1d\ufb2c\u2adc\u212b\u2126\u0340\u0374\u037e\u1fef\U0001d15e",
    "case": "\u0130\u0131\u03a3\u03c3\u03c2\u1e9e\u01c5\u0345\u1f88\u2160\u24b6\u10a0\u13a0\ua64a\U00010400\U0001e900",
    "hangul": "\u1100\u1161\u11a8\uac00\uac01\ud7a3\u3131\uffa1",
    "ideographs": "\u4e2d\u3400\u4dbf\u9fff\uf900\ufa0e\U00020000\U0002b820\U0002b91f\U0002b920\U0002f800\u3007\u30ab",
    "emoji": "\U0001f468\u200d\U0001f469\U0001f3fd\ufe0f\U0001f1e9\U0001f1ea\u2764\U000e0067",
    "controls": "\x00\x01\x0b\x0c\x1c\x1f\x7f\x85\xad\u200b\u200e\u2028\u2029\u2060\ufeff\ufffd\ue000\U000f0000\u0378",
    "blanks": "  \t\n\r\xa0\u1680\u2003\u202f\u205f\u3000",
    "punctuation": "!.,'#-[]_^`~$+\u00bf\u2014\u2019\u3002\uff01\u061d\u2e55\u0f3a",
}
# fmt: off
SNIPPETS = (
    "[MASK]", "[CLS]", "[SEP]", "[mask]", "[MASK", " [MASK] ", "##", "##a", "don't", "do not", "a" * 101, "<new>",
    "<NEW>", "newer", "new", "new", "x y", "é~", "É~", "tail", "head", " head ", "tail  ", "中n", "ab", "abc",
)
ADDED = (
    "new", "newer", "New", "NEWER", "x y", "é~", "É~", "e\u0301~", "tail", "head", "中n", "ab", "abc", "<new>", "##a",
    "a", " ", "~", "[X]", "\u0323a", "i\u0307", "İ", "ß", "x  ", "  head", "각",
)
# fmt: on


def awkward_text(draw, most=12):
    """Return a text of up to ``most`` runs, each from one alphabet or a snippet."""
    runs = []
    for _ in range(draw.randint(0, most)):
        if draw.random() < 0.3:
            runs.append(draw.choice(SNIPPETS))
        else:
            alphabet = draw.choice(tuple(ALPHABETS.values()))
            runs.append("".join(draw.choice(alphabet) for _ in range(draw.randint(1, 5))))
        if draw.random() < 0.5:
            runs.append(" ")
    return "".join(runs)


def awkward_vocabulary(draw):
    """Return a vocabulary that spells most of what ``awkward_text`` makes, with gaps and with longer pieces."""
    characters = sorted({c for text in (*ALPHABETS.values(), *SNIPPETS) for c in text + text.lower()} - set(" \t\n\r"))
    parts = [character for character in characters if draw.random() < 0.9]
    parts += ["".join(draw.choice(characters) for _ in range(draw.randint(2, 3))) for _ in range(300)]
    parts += ["ne", "new", "er", "ab", "abc", "don", "tail", "hea"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [prefix + part for part in dict.fromkeys(parts) for prefix in ("", "##") if draw.random() < 0.9]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def awkward_options(draw):
    """Return options of the normalizer."""
    return {
        "lowercase": draw.random() < 0.6,
        "strip_accents": draw.choice((None, True, False)),
        "tokenize_chinese_chars": draw.random() < 0.7,
        "clean_text": draw.random() < 0.7,
        "cleanup": draw.random() < 0.5,
    }


def folded(text):
    """Return a form that is one for all texts which some normalizer makes equal."""
    parts = unicodedata.normalize("NFD", text.lower())
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


def awkward_tokens(draw):
    """Return calls that add tokens: [(name of the method, arguments of each AddedToken)]."""
    flags = ("single_word", "lstrip", "rstrip", "normalized")

    # Of two tokens with one normalized form, the library takes either, by chance; so only one of them is drawn.
    contents = {folded(content): content for content in draw.sample(ADDED, len(ADDED))}

    def token():
        token = {"content": draw.choice(list(contents.values()))} | {flag: draw.random() < 0.4 for flag in flags}
        # The library panics where a blank that strips to its left was swallowed by the token before.
        return token | ({"lstrip": False} if token["content"] == " " else {})

    methods = [draw.choice(("add_tokens", "add_special_tokens")) for _ in range(draw.choice((0, 0, 1, 2, 4)))]
    return [(method, [token() for _ in range(draw.randint(1, 3))]) for method in methods]


def add(tokenizer, calls):
    """Make the calls; return what they returned."""
    return [getattr(tokenizer, name)([AddedToken(**token) for token in tokens]) for name, tokens in calls]


def awkward_settings(draw):
    """Return arguments of (enable_truncation or None, enable_padding or None)."""
    truncation = padding = None
    if draw.random() < 0.5:
        truncation = {
            "max_length": draw.choice((0, 1, 2, 3, 4, 5, 6, 8, 12, 20)),
            "stride": draw.choice((0, 0, 1, 2, 3)),
            "strategy": draw.choice(("longest_first", "longest_first", "only_first", "only_second")),
            "direction": draw.choice(("right", "left")),
        }
    if draw.random() < 0.4:
        padding = {
            "direction": draw.choice(("right", "left")),
            "pad_id": draw.choice((0, 7)),
            "pad_type_id": draw.choice((0, 1)),
            "pad_token": draw.choice(("[PAD]", "<pad>")),
            "length": draw.choice((None, 0, 5, 17)),
            "pad_to_multiple_of": draw.choice((None, 0, 1, 8)),
        }
    return truncation, padding


def awkward_input(draw, is_pretokenized):
    """Return a text or a pair, as `encode_batch` takes them."""
    texts = [
        [awkward_text(draw, 3) for _ in range(draw.randint(0, 5))] if is_pretokenized else awkward_text(draw)
        for _ in range(draw.choice((1, 1, 2)))
    ]
    return texts[0] if len(texts) == 1 else tuple(texts)


def generator(*seed):
    """Return a source of choices that depends on nothing but the seed."""
    return random.Random(repr(seed))
