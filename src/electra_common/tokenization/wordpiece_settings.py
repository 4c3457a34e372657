"""How a WordPiece tokenizer treats text, and the backends of both tokenizers made from that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.vocabulary import check_special_tokens, read_vocabulary

CONTINUATION: Final = "##"
COMPATIBILITIES: Final = ("transformers", "google")
# Longer words are unknown. BERT's and transformers' limit is 100 characters, that of Google's ELECTRA 200.
MAX_WORD_CHARACTERS: Final = {"transformers": 100, "google": 200}


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
    """
    is_given = isinstance(vocabulary, Mapping)
    pieces = dict(vocabulary) if isinstance(vocabulary, Mapping) else read_vocabulary(vocabulary)
    check_special_tokens(pieces, settings.special_tokens.values(), "the vocabulary" if is_given else str(vocabulary))
    return pieces


def rust_backend(vocabulary: Mapping[str, int], settings: WordPieceSettings, *, clean_up: bool = True) -> Tokenizer:
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
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION, cleanup=clean_up)
    return tokenizer


def set_template(tokenizer: Tokenizer, vocabulary: Mapping[str, int], cls_token: str, sep_token: str) -> None:
    """Put ``[CLS]`` in front and ``[SEP]`` behind each sequence; the second one and its ``[SEP]`` are of type 1."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[f"{cls_token}:0", "$A:0", f"{sep_token}:0"],
        pair=[f"{cls_token}:0", "$A:0", f"{sep_token}:0", "$B:1", f"{sep_token}:1"],
        special_tokens=[(token, vocabulary[token]) for token in (cls_token, sep_token)],
    )


def settings_of(tokenizer: Tokenizer) -> WordPieceSettings | None:
    """Return the rules of a tokenizer of the Rust library; None if it is no BERT-like WordPiece."""
    parts = json.loads(tokenizer.to_str())
    model, normalizer = parts["model"], parts["normalizer"] or {}
    is_bert = (
        model["type"] == "WordPiece"
        and model["continuing_subword_prefix"] == CONTINUATION
        and model["max_input_chars_per_word"] == MAX_WORD_CHARACTERS["transformers"]
        and normalizer.get("type") == "BertNormalizer"
        and normalizer.get("clean_text") is True
        and (parts["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
    )
    if not is_bert:
        return None
    return WordPieceSettings(
        do_lower_case=normalizer["lowercase"],
        strip_accents=normalizer["strip_accents"],
        tokenize_chinese_chars=normalizer["handle_chinese_chars"],
    )


def cleans_up(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer joins punctuation to words when decoding."""
    return isinstance(tokenizer.decoder, decoders.WordPiece) and bool(tokenizer.decoder.cleanup)


def join_wordpieces(tokens: Sequence[str], *, clean_up: bool) -> str:
    """Return the text that pieces make up; with ``clean_up`` without blanks before punctuation and contractions."""
    return str(decoders.WordPiece(prefix=CONTINUATION, cleanup=clean_up).decode(list(tokens)))
