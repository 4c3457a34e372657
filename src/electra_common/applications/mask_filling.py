"""What a generator would put in the place of each mask in a text.

Masks of one text are filled each by itself, given the others as masks: that is what a generator is trained for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from electra_common.applications.batches import Predict, check_logits, check_texts, make_batch

_CONTINUES = "##"  # of WordPiece: goes on with the word before it


@dataclass(frozen=True)
class Candidate:
    """A token for a mask, its id, and its share of all probability over the vocabulary."""

    token: str
    id: int
    probability: float


@dataclass(frozen=True)
class FilledMask:
    """A mask: where it stands in the text, in characters, and its candidates, the likeliest first."""

    start: int
    end: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class FilledText:
    """A text, its masks, and the text with the likeliest candidate in each."""

    text: str
    masks: tuple[FilledMask, ...]
    filled: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the text that :func:`dataclasses.asdict` took apart."""
        masks = (
            FilledMask(mask["start"], mask["end"], tuple(Candidate(**item) for item in mask["candidates"]))
            for mask in data["masks"]
        )
        return cls(data["text"], tuple(masks), data["filled"])


def fill_masks(
    texts: Sequence[str], tokenizer: Any, predict: Predict, *, max_length: int, top: int = 5
) -> list[FilledText]:
    """Return for each text its masks with their likeliest tokens.

    Args:
        texts: with one mask or more each, such as ``"The capital of France is [MASK]."``.
        tokenizer: the model's.
        predict: gives logits [rows, length, vocabulary].
        max_length: most tokens of a row, special ones included.
        top: how many candidates a mask gets.

    Raises:
        ValueError: a text has no mask or does not fit, or there are not so many tokens.
    """
    if not 1 <= top <= len(tokenizer):
        raise ValueError(f"top must be 1 to {len(tokenizer)}, the size of the vocabulary; found {top}")
    if tokenizer.mask_token is None:
        raise ValueError("the tokenizer has no mask token; set tokenizer.mask_token")
    return [
        _fill(number, text, tokenizer, predict, max_length, top) for number, text in enumerate(check_texts(texts), 1)
    ]


def _fill(number: int, text: str, tokenizer: Any, predict: Predict, max_length: int, top: int) -> FilledText:
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = encoding["input_ids"]
    tokens = [token for token, index in enumerate(ids) if index == tokenizer.mask_token_id]
    if not tokens:
        raise ValueError(f"text {number} holds no {tokenizer.mask_token}: put one where a word is to be filled in")
    length = len(ids) + tokenizer.num_special_tokens_to_add(pair=False)
    if length > max_length:
        raise ValueError(f"text {number} has {length} tokens, the model takes {max_length}: leave out what is far away")
    # One text at a time: its logits over the whole vocabulary are large enough.
    logits = check_logits(predict(make_batch(tokenizer, [ids])), axes=3, of="a generator")[0]  # [length, vocabulary]
    of_text = np.array(tokenizer.get_special_tokens_mask(ids)) == 0
    masks = []
    for token, scores in zip(tokens, logits[of_text][tokens], strict=True):
        start, end = encoding["offset_mapping"][token]
        start += len(text[start:end]) - len(text[start:end].lstrip())  # a mask token may take in the blank before it
        masks.append(FilledMask(start, end, _candidates(scores, tokenizer, top)))
    return FilledText(text, tuple(masks), _put_in(text, masks, tokenizer))


def _candidates(scores: NDArray[Any], tokenizer: Any, top: int) -> tuple[Candidate, ...]:
    """Return the likeliest tokens of scores [vocabulary]; ids past the tokenizer's last are skipped."""
    scores = scores.astype(np.float64)
    probabilities = np.exp(scores - np.logaddexp.reduce(scores))
    best = np.argsort(-probabilities[: len(tokenizer)], kind="stable")[:top]
    tokens = tokenizer.convert_ids_to_tokens(best.tolist())
    return tuple(
        Candidate(token, int(index), float(probabilities[index])) for token, index in zip(tokens, best, strict=True)
    )


def _put_in(text: str, masks: Sequence[FilledMask], tokenizer: Any) -> str:
    for mask in reversed(masks):
        token, before = mask.candidates[0].token, text[: mask.start]
        if token.startswith(_CONTINUES):
            word, before = token.removeprefix(_CONTINUES), before.rstrip()
        else:
            word = tokenizer.convert_tokens_to_string([token]).strip()
        text = before + word + text[mask.end :]
    return text
