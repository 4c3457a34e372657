"""How a WordPiece tokenizer treats text, and the backends of both tokenizers made from that."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.vocabulary import check_ids, check_special_tokens, read_vocabulary, without_gaps

CONTINUATION: Final = "##"
COMPATIBILITIES: Final = ("transformers", "google")
# Longer words are unknown. BERT's and transformers' limit is 100 characters, that of Google's ELECTRA 200.
MAX_WORD_CHARACTERS: Final = {"transformers": 100, "google": 200}

# Options of byte-level BPE, which have no meaning for WordPiece.
BYTE_LEVEL: Final = ("add_prefix_space", "trim_offsets")


@dataclass(frozen=True)
class WordPieceSettings:
    """Options of the rules, by transformers' names; see ``ElectraTokenizer``."""

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    compat: str = "transformers"
    special_tokens: Mapping[str, str] = field(default_factory=lambda: dict(special.ELECTRA))

    def __post_init__(self) -> None:
        if self.compat not in COMPATIBILITIES:
            raise ValueError(f"compat must be one of {', '.join(map(repr, COMPATIBILITIES))}, found {self.compat!r}")

    def as_config(self) -> dict[str, Any]:
        """Return them as ``tokenizer_config.json`` has them."""
        config = {
            "do_lower_case": self.do_lower_case,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
        }
        return config if self.compat == "transformers" else {**config, "compat": self.compat}


def contents(tokens: Mapping[str, str | AddedToken]) -> dict[str, str]:
    """Return the texts of special tokens."""
    return {name: token.content if isinstance(token, AddedToken) else token for name, token in tokens.items()}


def load_vocabulary(vocabulary: str | Path | Mapping[str, int], settings: WordPieceSettings) -> dict[str, int]:
    """Return ``{piece: id}`` of a file, or of what is one already.

    Raises:
        CheckpointError: the file cannot be read, or lacks a special token.
        ValueError: what is no file is no ``{piece: id}``.
    """
    if isinstance(vocabulary, Mapping):
        check_ids(vocabulary)
        pieces, source = without_gaps(vocabulary), "the vocabulary"
    else:
        pieces, source = read_vocabulary(vocabulary), str(vocabulary)
    check_special_tokens(pieces, settings.special_tokens.values(), source)
    return pieces


def rust_backend(vocabulary: Mapping[str, int], settings: WordPieceSettings) -> Tokenizer:
    """Return the Rust library's tokenizer with these rules."""
    names = settings.special_tokens
    tokenizer = Tokenizer(
        models.WordPiece(
            dict(vocabulary),
            unk_token=names["unk_token"],
            max_input_chars_per_word=MAX_WORD_CHARACTERS[settings.compat],
            continuing_subword_prefix=CONTINUATION,
        )
    )
    if settings.compat == "google":
        from electra_common.tokenization.python.google_rules import google_normalizer, google_pre_tokenizer

        tokenizer.normalizer = google_normalizer(
            lowercase=settings.do_lower_case,
            strip_accents=settings.strip_accents,
            tokenize_chinese_chars=settings.tokenize_chinese_chars,
        )
        tokenizer.pre_tokenizer = google_pre_tokenizer(tokenize_chinese_chars=settings.tokenize_chinese_chars)
    else:
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=settings.tokenize_chinese_chars,
            strip_accents=settings.strip_accents,
            lowercase=settings.do_lower_case,
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    set_template(tokenizer, vocabulary, names["cls_token"], names["sep_token"])
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION)
    return tokenizer


def set_template(tokenizer: Tokenizer, vocabulary: Mapping[str, int], cls_token: str, sep_token: str) -> None:
    """Put ``[CLS]`` in front and ``[SEP]`` behind each sequence; the second one and its ``[SEP]`` are of type 1."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[f"{cls_token}:0", "$A:0", f"{sep_token}:0"],
        pair=[f"{cls_token}:0", "$A:0", f"{sep_token}:0", "$B:1", f"{sep_token}:1"],
        special_tokens=[(token, vocabulary[token]) for token in (cls_token, sep_token)],
    )


def settings_of(tokenizer: Tokenizer) -> WordPieceSettings | None:
    """Return the rules of a tokenizer of the Rust library; None if it is no BERT-like WordPiece.

    Its unknown token and those around texts are among them; nothing is said of ``pad_token`` and ``mask_token``.
    """
    parts = json.loads(tokenizer.to_str())
    if _unlike_bert(tokenizer, parts):
        return None
    normalizer = parts["normalizer"]
    return WordPieceSettings(
        do_lower_case=normalizer["lowercase"],
        strip_accents=normalizer["strip_accents"],
        tokenize_chinese_chars=normalizer["handle_chinese_chars"],
        special_tokens={
            "unk_token": parts["model"]["unk_token"],
            **(_tokens_around(tokenizer, parts["post_processor"]) or {}),
        },
    )


def unlike_bert(tokenizer: Tokenizer) -> list[str]:
    """Return the names of the parts by which a tokenizer of the Rust library is no BERT-like WordPiece."""
    return _unlike_bert(tokenizer, json.loads(tokenizer.to_str()))


def _unlike_bert(tokenizer: Tokenizer, parts: Mapping[str, Any]) -> list[str]:
    model, normalizer, decoder = parts["model"], parts["normalizer"] or {}, parts["decoder"] or {}
    is_bert = {
        "model": model["type"] == "WordPiece"
        and model["continuing_subword_prefix"] == CONTINUATION
        and model["max_input_chars_per_word"] == MAX_WORD_CHARACTERS["transformers"],
        "normalizer": normalizer.get("type") == "BertNormalizer" and normalizer["clean_text"] is True,
        "pre_tokenizer": (parts["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer",
        "post_processor": _tokens_around(tokenizer, parts["post_processor"]) is not None,
        "decoder": decoder.get("type") == "WordPiece" and decoder["prefix"] == CONTINUATION,
    }
    return [name for name, found in is_bert.items() if not found]


def _tokens_around(tokenizer: Tokenizer, post_processor: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the tokens that stand around texts; None if they do not stand where :func:`set_template` puts them."""
    if post_processor is None:
        return None
    if post_processor["type"] == "BertProcessing":
        given = [post_processor[name] for name in ("cls", "sep")]
        is_bert = all(tokenizer.token_to_id(token) == index for token, index in given)
        return {"cls_token": given[0][0], "sep_token": given[1][0]} if is_bert else None
    ends = [item["SpecialToken"]["id"] for item in post_processor.get("single", ()) if "SpecialToken" in item]
    if len(ends) != 2 or any(tokenizer.token_to_id(token) is None for token in ends):
        return None
    model = Tokenizer(models.WordPiece())
    set_template(model, {token: cast("int", tokenizer.token_to_id(token)) for token in ends}, *ends)
    is_bert = json.loads(model.to_str())["post_processor"] == post_processor
    return dict(zip(("cls_token", "sep_token"), ends, strict=True)) if is_bert else None


def without_gaps_in(tokenizer: Tokenizer) -> Tokenizer:
    """Return a WordPiece tokenizer with :func:`.vocabulary.without_gaps`, unless its added tokens lie in them."""
    if not isinstance(tokenizer.model, models.WordPiece):
        return tokenizer
    pieces = tokenizer.get_vocab(with_added_tokens=False)
    filled = without_gaps(pieces)
    if len(filled) == len(pieces):
        return tokenizer
    parts = json.loads(tokenizer.to_str())
    parts["model"]["vocab"] = filled
    result = Tokenizer.from_str(json.dumps(parts))
    keeps_ids = set(result.get_added_tokens_decoder()) == set(tokenizer.get_added_tokens_decoder())
    return result if keeps_ids else tokenizer


def guess_special_tokens(tokenizer: Tokenizer) -> dict[str, str | AddedToken]:
    """Return the special tokens that go by one of the usual names."""
    return {
        name: token
        for names in (special.ROBERTA, special.ELECTRA)  # the latter win
        for name, token in names.items()
        if tokenizer.token_to_id(token) is not None
    }


def pieces_for(
    names: Mapping[str, str | AddedToken], pieces: Mapping[str, int], added: Container[str], source: str
) -> dict[str, str | AddedToken]:
    """Return special tokens that are pieces; the unknown token stands for those that are to be added to the pieces.

    Raises:
        CheckpointError: one is neither.
    """
    texts = contents({**special.ELECTRA, **names})
    unknown = texts["unk_token"] if texts["unk_token"] in pieces else special.ELECTRA["unk_token"]
    stands_in = {name for name, text in texts.items() if text not in pieces and text in added}
    check_special_tokens(pieces, [unknown if name in stands_in else texts[name] for name in texts], source)
    return {**special.ELECTRA, **names, **dict.fromkeys(stands_in, unknown)}


def check_flags(flags: Mapping[str, Any]) -> None:
    """Raise ValueError unless each is true, false or None."""
    for name, value in flags.items():
        if not isinstance(value, bool | None):
            raise ValueError(f"{name} must be true or false, found {value!r:.80}")
