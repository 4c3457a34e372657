"""transformers' TensorFlow variable names <-> canonical names.

Whole names stand in :mod:`names`; here is only how transformers decorates them: a model's name in front (which the
readers drop), ``:0`` behind, and ``layer_._3`` for the fourth of a list of layers.

Source: transformers 4.57 ``modeling_tf_pytorch_utils.convert_tf_weight_name_to_pt_weight_name``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import BODY, DISCRIMINATOR, GENERATOR, Row, find_row, layer_of, rows
from electra_common.weights.tensors import StoredTensor

_LAYER: Final = re.compile(r"/layer_\._(0|[1-9][0-9]{0,5})/")
# TensorFlow lists variables in the order in which a class makes them, which is not always the table's.
_MADE_EARLIER: Final = {
    "electra/embeddings/token_type_embeddings": "electra/embeddings/position_embeddings",
    "generator_predictions/LayerNorm": "generator_predictions/dense",
    "sequence_summary/summary": "classifier",
}


# What tells the two networks apart, and what they may share.
_HEADS: Final = {
    DISCRIMINATOR: "discriminator_predictions/dense/kernel",
    GENERATOR: "generator_predictions/dense/kernel",
}
_EMBEDDINGS: Final = "electra/embeddings/"
_MAX_SCOPES: Final = 4  # of a name that are tried as the beginning of a variable's own; an honest one has two


@cache
def _rows_by_name() -> dict[str, Row]:
    return {row.hf_tf: row for row in rows()}


@cache
def _first_parts() -> frozenset[str]:
    return frozenset(name.partition("/")[0] for name in _rows_by_name())


def transformers_tf_name(canonical: str) -> str:
    """Return the TensorFlow name of a canonical one, without model name and ``:0``; KeyError if the table has none."""
    row = find_row(canonical)
    if row is None:
        raise KeyError(canonical)
    return row.hf_tf.format(layer=layer_of(canonical))


def canonical_from_transformers_tf(name: str) -> tuple[str, Row] | None:
    """Return canonical name and row of a TensorFlow name, with or without ``:0``; None if the table has none."""
    if "{" in name:  # a file could spell out the table's own placeholder
        return None
    plain = _without_reused_scopes(name.removesuffix(":0"))
    layer = _LAYER.search(plain)
    row = _rows_by_name().get(_LAYER.sub("/layer_._{layer}/", plain, count=1))
    if row is None or ("{layer}" in row.canonical) != (layer is not None):
        return None
    return row.canonical.format(layer=layer[1] if layer else None), row


def _without_reused_scopes(name: str) -> str:
    """Some versions of TensorFlow wrote the scope of a reused layer in front of its name: /first___second/ is /second/.

    Not by a regular expression: on a name made for it, that would take time by the square of its length.
    """
    first, *inner = name.split("/")
    return "/".join([first, *(part.rpartition("___")[2] for part in inner[:-1]), *inner[-1:]])


def transformers_tf_tensors(tensors: Mapping[str, StoredTensor]) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Return tensors under canonical names and in canonical orientation, and the names that the table does not have.

    Args:
        tensors: by TensorFlow name without the model's name, as ``tf_model.h5`` or TensorFlow's safetensors form give
            them; the base model's have the level ``electra/`` too, so canonical names always start with it.

    Raises:
        CheckpointError: two names stand for one tensor.
    """
    result: dict[str, StoredTensor] = {}
    unexpected: list[str] = []
    for name, tensor in tensors.items():
        found = canonical_from_transformers_tf(name)
        if found is None:
            unexpected.append(name)
            continue
        canonical, row = found
        if canonical in result:
            raise CheckpointError(f"{canonical} stands twice, once as {name[:200]}")
        result[canonical] = (tensor.transposed() if row.transpose else tensor).renamed(canonical)
    return result, tuple(unexpected)


def two_networks(tensors: Mapping[str, StoredTensor]) -> dict[str, dict[str, StoredTensor]]:
    """Return the variables of a discriminator and a generator that are parts of one model; empty if they are not.

    NVIDIA's pre-training is such a model: ``…/tf_electra_for_pre_training/electra/…`` and
    ``…/tf_electra_for_masked_lm/electra/…``. Embeddings that both share bear the name of either, each tensor as it was
    made; they are given to both. Names without a place in either network go to both.
    """
    models: dict[str, dict[str, StoredTensor]] = {}
    strange: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        model, plain = _split_model(name)
        (strange if plain is None else models.setdefault(model, {}))[plain or name] = tensor
    found = {network: part for part in models.values() for network, head in _HEADS.items() if head in part}
    if len(models) != len(_HEADS) or len(found) != len(_HEADS):
        return {}
    tables = [{name for name in part if name.startswith(_EMBEDDINGS)} for part in found.values()]
    if not set.intersection(*tables):
        shared = {name: part[name] for part in found.values() for name in part if name.startswith(_EMBEDDINGS)}
        found = {network: {**shared, **part} for network, part in found.items()}
    return {network: {**part, **strange} for network, part in found.items()}


def _split_model(name: str) -> tuple[str, str | None]:
    """Return the name of the model, and the variable's without it; None if the table has none that ends so."""
    parts = name.split("/")
    starts = [index for index, part in enumerate(parts) if part in _first_parts()]
    for start in starts[:_MAX_SCOPES]:
        plain = "/".join(parts[start:])
        if canonical_from_transformers_tf(plain) is not None:
            return "/".join(parts[:start]), plain
    return "", None


def in_transformers_tf_order(canonical: Iterable[str]) -> list[str]:
    """Return canonical names in the order in which transformers' TensorFlow classes list their variables."""
    order = _order()
    return sorted(canonical, key=lambda name: _sort_key(name, order))


def _sort_key(canonical: str, order: Mapping[str, int]) -> tuple[bool, int, int]:
    """The body comes first, then the heads; in the body, what lies outside the layers, then layer by layer."""
    row = find_row(canonical)
    if row is None:
        raise KeyError(canonical)
    layer = layer_of(canonical)
    return row.part != BODY, -1 if layer is None else layer, order[row.hf_tf]


@cache
def _order() -> dict[str, int]:
    names = [row.hf_tf for row in rows()]
    for earlier, later in _MADE_EARLIER.items():
        moved = [name for name in names if name.startswith(f"{earlier}/")]
        names = [name for name in names if name not in moved]
        place = next(index for index, name in enumerate(names) if name.startswith(f"{later}/"))
        names[place:place] = moved
    return {name: index for index, name in enumerate(names)}
