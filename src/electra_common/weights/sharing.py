"""What two networks have in common: Google's code, and most who follow it, train both on one set of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from electra_common.weights.names import BODY, EMBEDDINGS_PREFIX, find_row
from electra_common.weights.tensors import StoredTensor

_CHUNK: Final = 1 << 22  # bytes compared at a time

Tensors = Mapping[str, StoredTensor]


def embeddings_of(tensors: Tensors) -> dict[str, StoredTensor]:
    """Return the embedding tables of a network and their LayerNorm."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(EMBEDDINGS_PREFIX)}


def body_of(tensors: Tensors) -> dict[str, StoredTensor]:
    """Return a network without its head."""
    return {**embeddings_of(tensors), **body_without_embeddings(tensors)}


def body_without_embeddings(tensors: Tensors) -> dict[str, StoredTensor]:
    """Return what lies between the embeddings and the head."""
    rows = {name: find_row(name) for name in tensors if not name.startswith(EMBEDDINGS_PREFIX)}
    return {name: tensors[name] for name, row in rows.items() if row is not None and row.part == BODY}


def are_same(first: Tensors, second: Tensors) -> bool:
    """Whether two sets of tensors agree in names, shapes, dtypes and bytes; reads only what agrees in the rest."""
    if first.keys() != second.keys():
        return False
    pairs = [(first[name], second[name]) for name in sorted(first)]
    if any((one.shape, one.dtype) != (other.shape, other.dtype) for one, other in pairs):
        return False
    return all(have_same_bytes(one, other) for one, other in pairs)


def have_same_bytes(first: StoredTensor, second: StoredTensor) -> bool:
    """Whether two tensors of one shape and dtype agree in every byte."""
    # Bytes, not values: a NaN equals itself here, and 0 is not -0.
    one, other = (np.ascontiguousarray(tensor.read()).reshape(-1).view(np.uint8) for tensor in (first, second))
    return all(
        np.array_equal(one[start : start + _CHUNK], other[start : start + _CHUNK])
        for start in range(0, first.nbytes, _CHUNK)
    )
