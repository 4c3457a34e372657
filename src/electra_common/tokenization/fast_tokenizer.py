"""``ElectraTokenizerFast``: the Rust library behind the same calls, for WordPiece and for any ``tokenizer.json``."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, Unpack, cast

from tokenizers import AddedToken, Tokenizer, models, normalizers

from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.base import TokenizerBase, TokenizerOptions
from electra_common.tokenization.files import TokenizerFolder, open_rust_tokenizer
from electra_common.tokenization.wordpiece_settings import (
    BYTE_LEVEL,
    WordPieceSettings,
    check_flags,
    contents,
    guess_special_tokens,
    load_vocabulary,
    rust_backend,
    set_template,
    settings_of,
    without_gaps_in,
)

# The names of BertNormalizer's options in transformers' settings.
_BERT_RULES: Final = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}


class ElectraTokenizerFast(TokenizerBase):
    """ELECTRA's tokenizer on the ``tokenizers`` library, from a WordPiece vocabulary or from any ``tokenizer.json``.

    With a vocabulary the arguments, rules and results are those of ``ElectraTokenizer``. A ``tokenizer.json``
    (byte-level BPE, Unigram, …) brings its own rules; arguments that are left out change nothing of them.

    Args:
        vocab_file: ``vocab.txt``, or ``{piece: id}``.
        tokenizer_file: ``tokenizer.json``, or a ``tokenizers.Tokenizer``, in place of a vocabulary.
        do_lower_case: fold case; True for a vocabulary, for a ``tokenizer.json`` what it says.
        never_split: pieces that are kept whole wherever they stand as words in the text.
        unk_token: by default ``[UNK]``; for a ``tokenizer.json`` also ``<unk>`` if it has that, and so on.
        sep_token: ``[SEP]``, or ``</s>``.
        pad_token: ``[PAD]``, or ``<pad>``.
        cls_token: ``[CLS]``, or ``<s>``.
        mask_token: ``[MASK]``, or ``<mask>``.
        tokenize_chinese_chars: make a word of every CJK ideograph.
        strip_accents: take accents off; None means where case is folded.
        clean_up_tokenization_spaces: what :meth:`decode` does where it is not told.
        compat: ``"transformers"``, or ``"google"`` for the rules of Google's ELECTRA code.
        add_prefix_space: of byte-level BPE: treat the first word as if a blank stood before it.
        trim_offsets: of byte-level BPE: leave blanks out of offsets.
        **options: as for ``ElectraTokenizer``.

    Raises:
        CheckpointError: a file cannot be read or lacks a special token.
        ValueError: an option is wrong, or has no meaning for the file's kind.
    """

    is_fast = True

    def __init__(
        self,
        vocab_file: str | Path | Mapping[str, int] | None = None,
        tokenizer_file: str | Path | Tokenizer | None = None,
        do_lower_case: bool | None = None,
        never_split: Sequence[str] | None = None,
        unk_token: str | AddedToken | None = None,
        sep_token: str | AddedToken | None = None,
        pad_token: str | AddedToken | None = None,
        cls_token: str | AddedToken | None = None,
        mask_token: str | AddedToken | None = None,
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = False,
        *,
        bos_token: str | AddedToken | None = None,
        eos_token: str | AddedToken | None = None,
        compat: str = "transformers",
        add_prefix_space: bool | None = None,
        trim_offsets: bool | None = None,
        **options: Unpack[TokenizerOptions],
    ) -> None:
        if (vocab_file is None) == (tokenizer_file is None):
            raise ValueError("expected either vocab_file or tokenizer_file")
        given = {
            "bos_token": bos_token, "eos_token": eos_token, "unk_token": unk_token, "sep_token": sep_token,
            "pad_token": pad_token, "cls_token": cls_token, "mask_token": mask_token,
        }  # fmt: skip
        tokens = {name: token for name, token in given.items() if token is not None}
        rules = dict(zip(_BERT_RULES, (do_lower_case, strip_accents, tokenize_chinese_chars), strict=True))
        byte_level = dict(zip(BYTE_LEVEL, (add_prefix_space, trim_offsets), strict=True))
        check_flags({
            "do_lower_case": do_lower_case, "strip_accents": strip_accents, **byte_level,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        })  # fmt: skip
        if tokenizer_file is not None and compat != "transformers":
            raise ValueError("compat has no meaning for a tokenizer.json, which has its own rules; give vocab_file")
        self.rules: WordPieceSettings | None = None
        if vocab_file is not None:
            _refuse(byte_level, "a WordPiece vocabulary")
            tokens = {**special.ELECTRA, **tokens}
            self.rules = WordPieceSettings(
                True if do_lower_case is None else do_lower_case, strip_accents,
                True if tokenize_chinese_chars is None else tokenize_chinese_chars, compat, contents(tokens),
            )  # fmt: skip
            backend = rust_backend(load_vocabulary(vocab_file, self.rules), self.rules)
        else:
            assert tokenizer_file is not None
            if isinstance(tokenizer_file, Tokenizer):
                rust = copy.deepcopy(tokenizer_file)
            else:
                rust = open_rust_tokenizer(Path(tokenizer_file))
            backend = _adapted(without_gaps_in(rust), rules, byte_level)
            self.rules = settings_of(backend)
            own = self.rules.special_tokens if self.rules else {}
            tokens = {**guess_special_tokens(backend), **own, **tokens}
        super().__init__(
            backend,
            tokens,
            never_split=never_split,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **options,
        )

    @classmethod
    def _from_folder(cls, folder: TokenizerFolder, settings: dict[str, Any], overrides: dict[str, Any]) -> Self:
        compat = overrides.get("compat", settings.get("compat"))
        if folder.tokenizer is None or (folder.vocabulary is not None and compat is not None):
            without = {name: value for name, value in settings.items() if name not in BYTE_LEVEL}
            return cls._from_vocabulary(folder, {**without, **overrides})
        rust = folder.open_tokenizer()
        # Settings that were left in a config from another tokenizer; transformers reads over them as well.
        left: set[str] = set()
        if byte_level := set(BYTE_LEVEL) & set(settings):
            left |= byte_level - _byte_level_options(rust)
        if isinstance(rust.normalizer, normalizers.BertNormalizer):
            if overrides.get("strip_accents", False) is None:
                rust.normalizer.strip_accents = None
        else:
            left |= {*_BERT_RULES.values(), "compat"}
        kept = {name: value for name, value in settings.items() if name not in left}
        tokenizer = cls(tokenizer_file=rust, **{**kept, **overrides})
        folder.add_tokens_to(tokenizer)
        return tokenizer

    def _set_template(self, cls_token: str, sep_token: str) -> None:
        if self.rules is not None:
            ids = {token: self.convert_tokens_to_ids(token) for token in (cls_token, sep_token)}
            set_template(cast("Tokenizer", self._own_backend()), ids, cls_token, sep_token)

    def _clean_up(self, text: str) -> str:
        is_bpe = isinstance(cast("Tokenizer", self._backend).model, models.BPE)  # a blank of its text is one that was
        return text if is_bpe else super()._clean_up(text)

    def _rule_settings(self) -> dict[str, Any]:
        return {} if self.rules is None else self.rules.as_config()

    def _rust_tokenizer(self) -> Tokenizer:
        rust = copy.deepcopy(self._backend)
        rust.no_truncation()
        rust.encode_special_tokens = False
        assert isinstance(rust, Tokenizer)
        return rust


def _adapted(tokenizer: Tokenizer, rules: Mapping[str, Any], byte_level: Mapping[str, Any]) -> Tokenizer:
    """Return a tokenizer with some of its rules set anew; None leaves a rule as it is."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    wanted = {name: value for name, value in rules.items() if value is not None}
    normalizer = tokenizer.normalizer
    if wanted and not isinstance(normalizer, normalizers.BertNormalizer):
        kind = type(normalizer).__name__ if normalizer else "no"
        given = {_BERT_RULES[name]: value for name, value in wanted.items()}
        _refuse(given, f"a tokenizer.json with {kind} normalizer")
    elif wanted:
        kept = {name: getattr(normalizer, name) for name in ("clean_text", *rules)}
        tokenizer.normalizer = normalizers.BertNormalizer(**{**kept, **wanted})
    if any(value is not None for value in byte_level.values()):
        return _with_byte_level(tokenizer, {name: value for name, value in byte_level.items() if value is not None})
    return tokenizer


def _with_byte_level(tokenizer: Tokenizer, options: Mapping[str, bool]) -> Tokenizer:
    """Set options wherever the tokenizer's rules have a byte-level step."""
    found = _byte_level_options(tokenizer)
    _refuse({name: value for name, value in options.items() if name not in found}, "this tokenizer.json")
    parts = json.loads(tokenizer.to_str())
    for step in _byte_level_steps(parts):
        step.update({name: value for name, value in options.items() if name in step})
    return Tokenizer.from_str(json.dumps(parts))


def _byte_level_options(tokenizer: Tokenizer) -> set[str]:
    """Return which of the options of byte-level BPE have a meaning."""
    return {name for step in _byte_level_steps(json.loads(tokenizer.to_str())) for name in BYTE_LEVEL if name in step}


def _byte_level_steps(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [step for name in ("pre_tokenizer", "post_processor") for step in _steps(parts[name])]


def _steps(part: Any) -> list[dict[str, Any]]:
    """Return a step and, if it is a sequence, those within it."""
    if not isinstance(part, dict):
        return []
    inner = [*part.get("pretokenizers", ()), *part.get("processors", ())]
    return [part, *(found for step in inner for found in _steps(step))]


def _refuse(options: Mapping[str, Any], what: str) -> None:
    meant = [name for name, value in options.items() if value is not None]
    if meant:
        raise ValueError(f"{', '.join(meant)} has no meaning for {what}")
