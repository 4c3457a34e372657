"""Calls of a decoder and greedy generation: what can be checked and decided before a framework computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from electra_common.adjustments import check_length
from electra_common.config import ElectraConfig

MASK_RANK: Final = 2  # [batch, tokens]


@dataclass(frozen=True)
class GenerationPlan:
    """How a generation ends.

    Attributes:
        max_new_tokens: tokens to generate at most.
        end_ids: the tokens that end a row; none: no row ends early.
        pad_id: what fills up a row that has ended.
        infers_mask: whether, without a mask, a prompt's padding is told by its id.
    """

    max_new_tokens: int
    end_ids: tuple[int, ...]
    pad_id: int
    infers_mask: bool


def plan_generation(
    config: ElectraConfig,
    shape: Sequence[Any],
    max_new_tokens: int,
    eos_token_id: int | Sequence[int] | None,
    pad_token_id: int | None,
) -> GenerationPlan:
    """Check the arguments of a generation; the rules are those of transformers' ``generate``.

    Args:
        config: gives the tokens where the arguments are None, and the number of positions.
        shape: of the prompts.
        max_new_tokens: tokens to generate at most.
        eos_token_id: what ends a row: one id, several, or an empty sequence for none.
        pad_token_id: what fills up a row that has ended.

    Raises:
        ValueError: an argument is wrong, or the model has too few positions.
    """
    if len(shape) != MASK_RANK or shape[1] in (0, None):
        raise ValueError(f"input_ids must be [batch, length] with a token to go on from, found {list(shape)}")
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be an integer of at least 1, found {max_new_tokens!r}")
    check_length(int(shape[1]) + max_new_tokens - 1, config.max_position_embeddings)  # the last one is not read
    ends = config.eos_token_id if eos_token_id is None else eos_token_id
    end_ids = () if ends is None else tuple(ends) if isinstance(ends, Sequence) else (ends,)
    padding = config.pad_token_id if pad_token_id is None else pad_token_id
    for name, ids in (("eos_token_id", end_ids), ("pad_token_id", () if padding is None else (padding,))):
        if any(type(token) is not int or not 0 <= token < config.vocab_size for token in ids):
            raise ValueError(f"{name} must be from 0 to {config.vocab_size - 1}, found {ids}")
    infers_mask = padding is not None and padding not in end_ids
    pad_id = padding if padding is not None else (*end_ids, 0)[0]
    return GenerationPlan(max_new_tokens, end_ids, pad_id, infers_mask)


def keeps_cache(config: ElectraConfig, use_cache: bool | None, *, by_default: bool) -> bool:
    """Return whether a call returns its keys and values: as asked for, else as the config says.

    Args:
        config: gives ``use_cache``.
        use_cache: what was asked for, or None.
        by_default: whether a call that says nothing may return them.
    """
    return config.use_cache and by_default if use_cache is None else use_cache


def check_decoder_call(
    config: ElectraConfig,
    past_key_values: Sequence[Sequence[Any]] | None,
    attention_mask: Any,
    length: Any,
    encoder_hidden_states: Any,
    encoder_attention_mask: Any,
) -> None:
    """Check what a decoder is called with.

    Args:
        config: the decoder's config.
        past_key_values: for each layer, keys and values of earlier tokens, or None.
        attention_mask: of all tokens, or None.
        length: of the new tokens.
        encoder_hidden_states: what cross-attention attends to, or None.
        encoder_attention_mask: its mask, or None.

    Raises:
        ValueError: the arguments do not go together, or do not go with the config.
    """
    if past_key_values is not None and len(past_key_values) != config.num_hidden_layers:
        raise ValueError(f"past_key_values has {len(past_key_values)} layers, the model {config.num_hidden_layers}")
    knows_encoder = encoder_hidden_states is not None or bool(past_key_values and past_key_values[0][2:])
    if knows_encoder and not config.add_cross_attention:
        raise ValueError("encoder_hidden_states need layers to attend to them: make the model with add_cross_attention")
    if encoder_attention_mask is not None and not knows_encoder:
        raise ValueError("encoder_attention_mask is of encoder_hidden_states: give both")
    past = past_length(past_key_values)
    if not isinstance(length, int) or not isinstance(past, int):  # in a graph of TensorFlow
        return
    check_length(past + length, config.max_position_embeddings)
    shape = None if attention_mask is None else attention_mask.shape
    if shape is not None and (len(shape) != MASK_RANK or shape[1] not in (past + length, None)):
        raise ValueError(f"attention_mask must be [batch, {past + length}], earlier tokens too; found {list(shape)}")


def past_length(past_key_values: Sequence[Sequence[Any]] | None) -> Any:
    """Return how many tokens a cache knows; None where a graph does not know it."""
    return past_key_values[0][0].shape[1] if past_key_values else 0
