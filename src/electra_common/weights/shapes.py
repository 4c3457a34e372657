"""From a config to the shape of every tensor, and from tensor shapes back to a config.

Both directions read the sizes of the name table, so a model's shapes are known before any framework builds it: a
config that lies about a checkpoint is found out before memory is spent on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.head_options import ANSWER_HIDDEN_SIZE
from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import (
    ARCHITECTURE_PARTS,
    BODY,
    CROSS_ATTENTION,
    GOOGLE_PARTS,
    TIED_VOCABULARY_WEIGHT,
    Row,
    find_row,
    layer_of,
    rows,
)
from electra_common.weights.tensors import StoredTensor

Shape = tuple[int, ...]

GOOGLE_HEAD_SIZE: Final = 64  # Google's code derives the number of heads: hidden_size // 64, at least one
_FIELD_OF_SIZE: Final = {
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "types": "type_vocab_size",
    "embedding": "embedding_size",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "labels": "num_labels",
}


def expected_shapes(config: ElectraConfig, architecture: str) -> dict[str, Shape]:
    """Return ``{canonical name: shape}`` of a model class (named as in ``architectures``) with this config."""
    sizes = _sizes(config, architecture)
    result: dict[str, Shape] = {}
    for row in rows():
        if not _has_row(row, config, architecture):
            continue
        shape = tuple(sizes[size] for size in row.sizes)
        layers = range(config.num_hidden_layers) if "{layer}" in row.canonical else range(1)
        result.update({row.canonical.format(layer=layer): shape for layer in layers})
    return result


def _sizes(config: ElectraConfig, architecture: str) -> dict[str, int]:
    sizes = {size: int(getattr(config, field)) for size, field in _FIELD_OF_SIZE.items()}
    if architecture == "ElectraForMultipleChoice":
        sizes["labels"] = 1  # its classifier gives one score a choice
    # As in transformers; `electra_common.head_options` refuses a width that the classifier behind it does not take.
    summary = config.label_count if config.summary_proj_to_labels and config.label_count else sizes["hidden"]
    return {**sizes, "one": 1, "summary": summary, "answer": ANSWER_HIDDEN_SIZE, "two_states": 2 * sizes["hidden"]}


def _has_row(row: Row, config: ElectraConfig, architecture: str) -> bool:
    if row.canonical.startswith("electra.embeddings_project."):
        return config.has_embeddings_projection
    if row.part == "untied_lm_head" and config.tie_word_embeddings:
        return False
    if row.part == CROSS_ATTENTION and not config.add_cross_attention:
        return False
    if row.part == "multiple_choice" and not config.summary_use_proj:
        return False
    return row.part == BODY or row.part in parts_of(config, architecture)


def parts_of(config: ElectraConfig, architecture: str) -> tuple[str, ...]:
    """Return the heads of a model class with this config, by the names of the table's parts."""
    usual = ARCHITECTURE_PARTS[architecture]
    return GOOGLE_PARTS.get(architecture, usual) if config.head == "google" else usual


def infer_config(
    tensors: Mapping[str, StoredTensor], source: str, *, num_attention_heads: int | None = None
) -> ElectraConfig:
    """Read a config off the shapes of canonical tensors; dropouts and activations get their defaults.

    The number of heads leaves no trace in the shapes: it is Google's ``hidden_size // 64`` unless given.

    Raises:
        CheckpointError: the shapes are not those of an ELECTRA network.
    """
    fields: dict[str, Any] = _sizes_from_shapes(tensors)
    fields["num_hidden_layers"] = count_layers(tensors, source)
    if missing := sorted({"vocab_size", "embedding_size", "max_position_embeddings"} - fields.keys()):
        raise CheckpointError(f"{source}: no embedding tables to read {', '.join(missing)} from: not ELECTRA weights")
    # Only a network without layers and without projection leaves these open.
    fields.setdefault("hidden_size", fields["embedding_size"])
    fields.setdefault("intermediate_size", 4 * fields["hidden_size"])
    if num_attention_heads is None:
        num_attention_heads = max(1, fields["hidden_size"] // GOOGLE_HEAD_SIZE)
    fields["num_attention_heads"] = num_attention_heads
    if any(row is not None and row.part == CROSS_ATTENTION for row in map(find_row, tensors)):
        fields.update(is_decoder=True, add_cross_attention=True)
    fields["tie_word_embeddings"] = TIED_VOCABULARY_WEIGHT not in tensors  # copies of the table have been left aside
    try:
        return ElectraConfig(**fields, pad_token_id=0)
    except ValueError as error:
        raise CheckpointError(f"{source}: no config was given and the shapes give none: {error}") from None


def _sizes_from_shapes(tensors: Mapping[str, StoredTensor]) -> dict[str, int]:
    """Return config fields from the first tensor that shows each; contradictions are found by the strict match."""
    fields: dict[str, int] = {}
    for name in sorted(tensors):
        row = find_row(name)
        # A stray projection (older transformers wrote one even where the widths agree) says nothing false either.
        if row is None or len(row.sizes) != len(tensors[name].shape):
            continue
        for size, found in zip(row.sizes, tensors[name].shape, strict=True):
            if size in _FIELD_OF_SIZE:
                fields.setdefault(_FIELD_OF_SIZE[size], found)
    return fields


def count_layers(tensors: Mapping[str, StoredTensor], source: str) -> int:
    """Return one more than the highest layer index; a file cannot have more layers than tensors."""
    layers = 1 + max((layer for layer in map(layer_of, tensors) if layer is not None), default=-1)
    if layers > len(tensors):
        raise CheckpointError(f"{source}: names layer {layers - 1}, but holds only {len(tensors)} tensors")
    return layers
