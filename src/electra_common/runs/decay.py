"""What of ELECTRA's Adam needs no framework: which parameters are decayed, and checks of its options and state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

# Google's patterns; they fit canonical names and Keras paths alike.
_NOT_DECAYED: Final = re.compile("LayerNorm|layer_norm|bias")


def is_decayed(name: str) -> bool:
    """Whether weight decay acts on a parameter: not on LayerNorm and biases; on embeddings it does."""
    return _NOT_DECAYED.search(name) is None


def check_adam_options(lr: Any, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Raise ValueError if a number is out of range; ``lr`` may also be a schedule."""
    for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
        if isinstance(value, int | float) and not value >= 0:
            raise ValueError(f"{name} must be at least 0, found {value!r}")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be from 0 up to but not including 1, found {betas!r}")


def check_adam_state(
    shapes: Mapping[str, tuple[int, ...]], moments: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
) -> None:
    """Raise ValueError unless there are two moments of its shape for each parameter, and no others."""
    problems = [f"none for {name}" for name in sorted(shapes.keys() - moments.keys())]
    problems += [f"{name}, which the model does not have" for name in sorted(moments.keys() - shapes.keys())]
    for name in sorted(shapes.keys() & moments.keys()):
        found = [tuple(array.shape) for array in moments[name]]
        if found != [shapes[name]] * 2:
            problems.append(f"{name} of {found}, expected {shapes[name]}")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(f"Adam's state does not fit the model: {'; '.join(problems[:3])}{more}")
