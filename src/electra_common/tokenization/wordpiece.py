"""BERT's WordPiece on the ``tokenizers`` library: lines of text to a padded numpy batch.

What it is for: feeding real text to a model from a ``vocab.txt``. What it is not: the tokenizer classes with
transformers' whole call surface.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from electra_common.weights.errors import CheckpointError

SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
Batch = dict[str, NDArray[np.int64]]


def load_wordpiece(vocab_file: Path, *, lowercase: bool | None = None) -> Tokenizer:
    """Build a tokenizer from a vocabulary with one piece a line.

    Args:
        vocab_file: the line number, from 0, is the id.
        lowercase: fold case and strip accents; None asks ``tokenizer_config.json`` beside the file, and folds if
            that is silent, which is right for all six released models.

    Raises:
        CheckpointError: the file cannot be read or lacks a special token.
    """
    try:
        pieces = vocab_file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{vocab_file}: cannot be read as a vocabulary: {error}") from None
    if pieces[-1] == "":
        pieces.pop()  # the final newline
    vocabulary = {piece.rstrip("\r"): index for index, piece in enumerate(pieces)}
    if missing := [token for token in SPECIAL_TOKENS if token not in vocabulary]:
        raise CheckpointError(f"{vocab_file}: lacks {', '.join(missing)}; not a vocabulary of ELECTRA's")
    lowercase = _folds_case(vocab_file) if lowercase is None else lowercase
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _folds_case(vocab_file: Path) -> bool:
    try:
        settings = json.loads((vocab_file.parent / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return bool(settings.get("do_lower_case", True)) if isinstance(settings, dict) else True


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], *, max_length: int) -> Batch:
    """Return ``input_ids``, ``attention_mask`` and ``token_type_ids``, each [texts, longest], padded with zeros."""
    tokenizer.enable_truncation(max_length)
    encoded = tokenizer.encode_batch(list(texts))
    return pad_rows([item.ids for item in encoded], pad_token_id=tokenizer.token_to_id("[PAD]") or 0)


def pad_rows(rows: Sequence[Sequence[int]], *, pad_token_id: int) -> Batch:
    """Fill rows of ids up to the longest: [rows, longest]."""
    shape = len(rows), max(map(len, rows), default=0)
    input_ids = np.full(shape, pad_token_id, np.int64)
    attention_mask = np.zeros(shape, np.int64)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row
        attention_mask[index, : len(row)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": np.zeros(shape, np.int64)}
