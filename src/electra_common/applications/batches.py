"""Rows of ids for a model, and what the applications ask of a model and a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# From input_ids, attention_mask and token_type_ids, [rows, length] each, to logits, [rows, length, ...].
Predict = Callable[[Mapping[str, NDArray[np.int64]]], NDArray[Any]]


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list; raises ValueError for one text alone, which is a sequence of characters."""
    if isinstance(texts, str):
        raise ValueError("expected a list of texts, found one text; put it into a list")
    return list(texts)


def check_vocabulary(tokenizer: Any, vocab_size: int) -> None:
    """Raise ValueError where a tokenizer has ids that a model does not have."""
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {vocab_size}: not the tokenizer it was trained with"
        )


def check_logits(logits: NDArray[Any], *, axes: int, of: str) -> NDArray[Any]:
    """Return logits as they are; raises ValueError where a model with another head has made them."""
    if logits.ndim != axes:
        raise ValueError(f"expected {of}, whose logits have {axes} axes; found logits of shape {list(logits.shape)}")
    return logits


def longest_row(tokenizer: Any, max_positions: int) -> int:
    """Return the most tokens of a row, special ones included."""
    return int(min(max_positions, tokenizer.model_max_length))


def make_batch(tokenizer: Any, rows: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Return ids of texts as a batch, special tokens around each, filled up on the right.

    Args:
        tokenizer: adds the special tokens.
        rows: the ids of each text, without special tokens.
    """
    ids = [tokenizer.build_inputs_with_special_tokens(list(row)) for row in rows]
    type_ids = [tokenizer.create_token_type_ids_from_sequences(list(row)) for row in rows]
    lengths = np.array([len(row) for row in ids])
    real = np.arange(lengths.max()) < lengths[:, None]  # [rows, longest]
    batch = {
        "input_ids": np.full(real.shape, tokenizer.pad_token_id or 0, np.int64),
        "attention_mask": real.astype(np.int64),
        "token_type_ids": np.zeros(real.shape, np.int64),
    }
    batch["input_ids"][real] = np.concatenate(ids)
    batch["token_type_ids"][real] = np.concatenate(type_ids)
    return batch
