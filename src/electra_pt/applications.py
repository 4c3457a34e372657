"""Finding replaced words with a discriminator, and filling in masked ones with a generator: text in, answers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from electra_common.applications import mask_filling, replaced_words
from electra_common.applications.batches import check_vocabulary, longest_row
from electra_pt.modeling import ElectraForMaskedLM, ElectraForPreTraining


def detect_replaced_words(
    model: ElectraForPreTraining,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    stride: int | None = None,
    batch_size: int = replaced_words.DEFAULT_BATCH_SIZE,
) -> list[replaced_words.Detection]:
    """Return for each text its words with the probability of being replaced.

    What is computed is said at :func:`electra_common.applications.replaced_words.detect_replaced_words`.

    Args:
        model: a discriminator, in evaluation mode.
        tokenizer: the one it was trained with.
        texts: of any length, but not empty.
        stride: tokens that two windows over a long text share; by default a quarter of a window.
        batch_size: windows computed at once.

    Raises:
        ValueError: a text is empty, the tokenizer is another model's, or a number is out of its range.
    """
    check_vocabulary(tokenizer, model.config.vocab_size)
    return replaced_words.detect_replaced_words(
        texts,
        tokenizer,
        lambda batch: _logits(model, batch),
        max_length=longest_row(tokenizer, model.config.max_position_embeddings),
        stride=stride,
        batch_size=batch_size,
    )


def fill_masks(
    model: ElectraForMaskedLM, tokenizer: Any, texts: Sequence[str], *, top: int = 5
) -> list[mask_filling.FilledText]:
    """Return for each text its masks with their likeliest tokens.

    What is computed is said at :func:`electra_common.applications.mask_filling.fill_masks`.

    Args:
        model: a generator, in evaluation mode.
        tokenizer: the one it was trained with.
        texts: with one mask or more each.
        top: how many candidates a mask gets.

    Raises:
        ValueError: a text has no mask or does not fit, the tokenizer is another model's, or ``top`` is too large.
    """
    check_vocabulary(tokenizer, model.config.vocab_size)
    max_length = longest_row(tokenizer, model.config.max_position_embeddings)
    return mask_filling.fill_masks(
        texts, tokenizer, lambda batch: _logits(model, batch), max_length=max_length, top=top
    )


@torch.inference_mode()
def _logits(
    model: ElectraForPreTraining | ElectraForMaskedLM, batch: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.float32]:
    device = next(model.parameters()).device
    output = model(**{name: torch.from_numpy(array).to(device) for name, array in batch.items()}, return_dict=True)
    logits: NDArray[np.float32] = output.logits.float().cpu().numpy()
    return logits
