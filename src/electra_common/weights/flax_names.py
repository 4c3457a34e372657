"""From the names in transformers' Flax checkpoints to canonical names.

No name is spelled here: Flax's modules are called as PyTorch's, with ``/`` for ``.``, and only the parameters have
other names. Dense kernels are [input, output], as in TensorFlow.

Source: transformers 4.57 ``models/electra/modeling_flax_electra.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from electra_common.weights.names import Row, rows
from electra_common.weights.tensors import StoredTensor

# What Keras calls a parameter, and what Flax does.
_PARAMETERS: Final = {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias", "embeddings": "embedding"}
_LAYER: Final = re.compile(r"^(electra/encoder/layer/)(0|[1-9][0-9]{0,5})(/.+)$")
_PREFIX: Final = "electra/"


@cache
def _rows_by_flax_path() -> dict[str, Row]:
    return {_flax_path(row): row for row in rows()}


def _flax_path(row: Row) -> str:
    module = row.canonical.rpartition(".")[0].replace(".", "/")
    return f"{module}/{_PARAMETERS[row.keras.rpartition('/')[2]]}"


def flax_tensors(tensors: Mapping[str, StoredTensor]) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Return the tensors under canonical names, kernels transposed, and the names that nobody knows.

    ``FlaxElectraModel`` is stored without the prefix ``electra/``.
    """
    headless = not any(name.startswith(_PREFIX) for name in tensors)
    found: dict[str, StoredTensor] = {}
    unexpected: list[str] = []
    for name, tensor in tensors.items():
        path = _PREFIX + name if headless and _is_body(name) else name
        match = _LAYER.match(path)
        # A file could spell out the table's own placeholder.
        row = None if "{" in path else _rows_by_flax_path().get(_LAYER.sub(r"\g<1>{layer}\3", path))
        if row is None:
            unexpected.append(name)
            continue
        canonical = row.canonical.format(layer=match[2] if match else None)
        found[canonical] = (tensor.transposed() if row.transpose else tensor).renamed(canonical)
    return found, tuple(unexpected)


def _is_body(name: str) -> bool:
    return f"{_PREFIX}{name.partition('/')[0]}/" in _body_prefixes()


@cache
def _body_prefixes() -> frozenset[str]:
    """The modules right under ``electra/``, each with both slashes."""
    paths = (path for path in _rows_by_flax_path() if path.startswith(_PREFIX))
    return frozenset("/".join(path.split("/")[:2]) + "/" for path in paths)
