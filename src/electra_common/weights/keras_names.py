"""Variables of our own Keras models -> canonical names.

Paths stand in :mod:`names`. A variable is known by its path (``electra/…/query/kernel``), as Keras and TensorFlow name
it, or by its layer's path and its number (``electra/…/query/vars/0``), as Keras's files do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Final

from electra_common.weights.names import Row, rows
from electra_common.weights.tensors import StoredTensor

_LAYER: Final = re.compile(r"^(electra/encoder/layer_)(0|[1-9][0-9]{0,5})(/.+)$")
_VARIABLES: Final = "/vars/"


def keras_tensors(tensors: Mapping[str, StoredTensor]) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Bring variables known by their paths to canonical names; those that nobody knows come second."""
    known = {row.keras: row for row in rows()}
    found: dict[str, StoredTensor] = {}
    unexpected: list[str] = []
    for key, tensor in tensors.items():
        row = known.get(_template(key))
        if row is None:
            unexpected.append(key)
            continue
        match = _LAYER.match(key)
        canonical = row.canonical.format(layer=match[2] if match else None)
        found[canonical] = (tensor.transposed() if row.transpose else tensor).renamed(canonical)
    return found, tuple(unexpected)


def keras_file_tensors(tensors: Mapping[str, StoredTensor]) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Bring variables known by layer and number to canonical names; those that nobody knows come second."""
    counts: dict[str, int] = defaultdict(int)
    for key in tensors:
        counts[key.rpartition(_VARIABLES)[0]] += 1
    return keras_tensors({_variable_path(key, counts): tensor for key, tensor in tensors.items()})


def _variable_path(key: str, counts: Mapping[str, int]) -> str:
    """Return the path of a numbered variable, or the key itself if the table has no such layer or variable."""
    layer, _, number = key.rpartition(_VARIABLES)
    # A layer that has less than the table knows lacks the first: a vocabulary head that is tied has only its bias.
    variables = _variables_by_layer().get(_template(layer), ())[-counts[layer] :]
    return next((f"{layer}/{name}" for index, name in enumerate(variables) if number == str(index)), key)


def _template(path: str) -> str:
    """Return the path as the table has it, with ``{layer}`` for the layer's index."""
    # A file could spell out the placeholder itself; that is nobody's name.
    return "" if "{" in path else _LAYER.sub(r"\g<1>{layer}\3", path)


@cache
def _variables_by_layer() -> dict[str, tuple[str, ...]]:
    """Return the variables of each layer in the order in which Keras makes, and so numbers them: the bias last."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows():
        found[row.keras.rpartition("/")[0]].append(row)
    return {
        layer: tuple(row.keras.rpartition("/")[2] for row in sorted(its_rows, key=_is_bias))
        for layer, its_rows in found.items()
    }


def _is_bias(row: Row) -> bool:
    return row.canonical.endswith(".bias")
