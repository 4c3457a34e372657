"""What can be decided about changing a model after it is made, before a framework touches a weight."""

from __future__ import annotations

from collections.abc import Sequence

from electra_common.config import ElectraConfig


def resized_config(config: ElectraConfig, new_num_tokens: int, pad_to_multiple_of: int | None) -> ElectraConfig:
    """Return the config of a model with another vocabulary.

    Args:
        config: the model's config.
        new_num_tokens: how many pieces the vocabulary is to have.
        pad_to_multiple_of: round that up to a multiple, which some hardware multiplies faster.

    Raises:
        ValueError: a number is below 1, or the padding token would be cut off.
    """
    for name, number in (("new_num_tokens", new_num_tokens), ("pad_to_multiple_of", pad_to_multiple_of)):
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"{name} must be an integer of at least 1, found {number!r}")
    multiple = pad_to_multiple_of or 1
    return config.replace(vocab_size=-(-new_num_tokens // multiple) * multiple)


def check_layer_count(layers: int | None, config: ElectraConfig) -> int:
    """Return how many layers are meant, all of them for None; raises ValueError if the encoder has fewer."""
    if layers is None:
        return config.num_hidden_layers
    if not 0 <= layers <= config.num_hidden_layers:
        raise ValueError(f"layers must be from 0 to {config.num_hidden_layers}, found {layers}")
    return layers


def describe_ids(name: str, limit: int) -> str:
    """Return the message for ids that a table does not have."""
    advice = {
        "input_ids": "vocab_size; resize_token_embeddings makes room for new tokens",
        "token_type_ids": "type_vocab_size",
        "position_ids": "max_position_embeddings",
    }[name]
    return f"{name} must be from 0 to {limit - 1}: the model has {limit} ({advice})"


def check_embedding_width(shape: Sequence[int | None], width: int) -> None:
    """Raise ValueError unless ``inputs_embeds`` end in embedding width, which may differ from ``hidden_size``."""
    if shape[-1] != width:
        raise ValueError(f"inputs_embeds must be {width} wide, the width of the embeddings; found {list(shape)}")


def check_length(length: object, positions: int) -> None:
    """Raise ValueError if a sequence has more tokens than there are positions; a length still unknown passes."""
    if isinstance(length, int) and length > positions:
        raise ValueError(f"{length} tokens in a sequence, but the model has {positions} positions")
