"""Layer-wise decay of the learning rate: the nearer to the input, the less a layer moves (paper, appendix B)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from electra_common.weights.names import BODY_PREFIX

STYLES: Final = ("paper", "google")
_LAYER: Final = re.compile(r"^electra\.encoder\.layer\.(\d+)\.")


def layer_decay_factors(names: Iterable[str], layers: int, decay: float, style: str = "paper") -> dict[str, float]:
    """Return what the learning rate of each parameter is multiplied by.

    The head has 1, the topmost layer ``decay``, each one below once more, and the embeddings, with the projection that
    makes them as wide as the layers, come last. Google's code counts one layer more, a pooler that was removed: from
    the topmost layer down everything is multiplied by ``decay`` once again (#51 and #64 of its issues).

    Args:
        names: canonical names of parameters.
        layers: of the encoder.
        decay: from each layer to the one below.
        style: ``paper`` or ``google``.

    Raises:
        ValueError: the style is unknown, or a layer is beyond the encoder's.
    """
    if style not in STYLES:
        raise ValueError(f"layer decay: style must be one of {', '.join(STYLES)}, found {style!r}")
    return {name: decay ** _exponent(_depth(name, layers), layers, style) for name in names}


def _exponent(depth: int, layers: int, style: str) -> int:
    below_the_head = layers + 1 - depth
    return below_the_head + 1 if style == "google" and below_the_head else below_the_head


def _depth(name: str, layers: int) -> int:
    """Return 0 for embeddings, 1 for the lowest layer, and one more than there are layers for the head."""
    if found := _LAYER.match(name):
        layer = int(found[1])
        if layer >= layers:
            raise ValueError(f"layer decay: {name} is not of an encoder of {layers} layers")
        return layer + 1
    return 0 if name.startswith(BODY_PREFIX) else layers + 1
