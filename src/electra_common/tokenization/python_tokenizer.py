"""``ElectraTokenizer``: WordPiece in pure Python, with offsets and alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack, cast

from tokenizers import AddedToken, Tokenizer, decoders

from electra_common.tokenization.backend import Backend
from electra_common.tokenization.base import TokenizerBase, TokenizerOptions
from electra_common.tokenization.files import TokenizerFolder
from electra_common.tokenization.python.backend import PythonBackend
from electra_common.tokenization.python.decoding import WordPieceDecoder
from electra_common.tokenization.vocabulary import SettledVocabulary
from electra_common.tokenization.wordpiece_settings import (
    BYTE_LEVEL,
    MAX_WORD_CHARACTERS,
    WordPieceSettings,
    check_flags,
    contents,
    guess_special_tokens,
    load_vocabulary,
    rust_backend,
    set_template,
    settings_of,
    unlike_bert,
    without_gaps_in,
)
from electra_common.weights.errors import CheckpointError


class ElectraTokenizer(TokenizerBase):
    """ELECTRA's WordPiece tokenizer in Python: the rules to read, and the same results as ``ElectraTokenizerFast``.

    Args:
        vocab_file: ``vocab.txt``, or ``{piece: id}``.
        do_lower_case: fold case.
        never_split: pieces that are kept whole wherever they stand as words in the text.
        unk_token: stands for words that no pieces make up, and for those of over 100 characters.
        sep_token: ends each sequence.
        pad_token: fills rows.
        cls_token: begins each row.
        mask_token: stands for what a model is to guess.
        tokenize_chinese_chars: make a word of every CJK ideograph.
        strip_accents: take accents off; None means where case is folded, as BERT does.
        clean_up_tokenization_spaces: what :meth:`decode` does where it is not told.
        compat: ``"transformers"``, or ``"google"`` for the rules of Google's ELECTRA code: words of up to 200
            characters, and its own notion of control characters and white space.
        **options: ``model_max_length``, ``padding_side``, ``truncation_side``, ``model_input_names``,
            ``split_special_tokens``, ``additional_special_tokens``, ``name_or_path``.

    Raises:
        CheckpointError: the vocabulary cannot be read or lacks a special token.
        ValueError: an option is wrong.
    """

    rules: WordPieceSettings

    def __init__(
        self,
        vocab_file: str | Path | Mapping[str, int],
        do_lower_case: bool = True,
        never_split: Sequence[str] | None = None,
        unk_token: str | AddedToken = "[UNK]",
        sep_token: str | AddedToken = "[SEP]",
        pad_token: str | AddedToken = "[PAD]",
        cls_token: str | AddedToken = "[CLS]",
        mask_token: str | AddedToken = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = False,
        *,
        compat: str = "transformers",
        **options: Unpack[TokenizerOptions],
    ) -> None:
        tokens = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        check_flags({
            "do_lower_case": do_lower_case, "strip_accents": strip_accents,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        })  # fmt: skip
        rules = WordPieceSettings(do_lower_case, strip_accents, tokenize_chinese_chars, compat, contents(tokens))
        self.rules = rules
        backend = PythonBackend(
            load_vocabulary(vocab_file, rules),
            lowercase=do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            max_input_chars_per_word=MAX_WORD_CHARACTERS[compat],
            compat="google" if compat == "google" else "rust",
            unk_token=rules.special_tokens["unk_token"],
            sep_token=rules.special_tokens["sep_token"],
            pad_token=rules.special_tokens["pad_token"],
            cls_token=rules.special_tokens["cls_token"],
            mask_token=rules.special_tokens["mask_token"],
        )
        super().__init__(
            cast("Backend", backend),  # named arguments where Rust's type says **kwargs
            tokens,
            never_split=never_split,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **options,
        )

    @classmethod
    def _from_folder(cls, folder: TokenizerFolder, settings: dict[str, Any], overrides: dict[str, Any]) -> Self:
        # Settings that were left in a config from another tokenizer; transformers reads over them as well.
        settings = {name: value for name, value in settings.items() if name not in BYTE_LEVEL}
        if folder.tokenizer is None or (folder.vocabulary is not None and "compat" in {**settings, **overrides}):
            return cls._from_vocabulary(folder, {**settings, **overrides})
        rust = without_gaps_in(folder.open_tokenizer())
        rules = settings_of(rust)
        if rules is None:
            raise CheckpointError(
                f"{folder.tokenizer}: by its {', '.join(unlike_bert(rust))} not BERT's WordPiece, "
                "the only one in Python; load it by ElectraTokenizerFast"
            )
        names = {**guess_special_tokens(rust), **rules.special_tokens}
        arguments = {**names, **rules.as_config(), **settings, **overrides}
        added = rust.get_added_tokens_decoder()
        pieces = SettledVocabulary(rust.get_vocab(with_added_tokens=False))
        tokenizer = cls._from_pieces(pieces, folder, arguments, added, rules.special_tokens["unk_token"])
        decoder = cast("decoders.WordPiece", rust.decoder)
        cast("PythonBackend", tokenizer._own_backend()).decoder = WordPieceDecoder(decoder.prefix, decoder.cleanup)
        return tokenizer

    def _set_template(self, cls_token: str, sep_token: str) -> None:
        cast("PythonBackend", self._own_backend()).set_template(cls_token, sep_token)

    def _rule_settings(self) -> dict[str, Any]:
        return self.rules.as_config()

    def _rust_tokenizer(self) -> Tokenizer:
        rust = rust_backend(self._backend.get_vocab(with_added_tokens=False), self.rules)
        decoder = self._backend.decoder
        rust.decoder = decoders.WordPiece(prefix=decoder.prefix, cleanup=decoder.cleanup)
        # In one call: the library works out anew how it finds all of them with each.
        rust.add_tokens([token for _, token in sorted(self.added_tokens_decoder.items())])
        if self.cls_token and self.sep_token:
            ids = {token: self.convert_tokens_to_ids(token) for token in (self.cls_token, self.sep_token)}
            set_template(rust, ids, self.cls_token, self.sep_token)
        return rust
