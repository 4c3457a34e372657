"""The small model that comes with the package, for commands that are given no other.

``embedded/discriminator`` and ``embedded/generator`` hold ``config.json``, ``model.safetensors`` (float16), a
tokenizer and a model card each; the card names the commands, the text and its licences.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import COMPONENTS

_FOLDER: Final = "embedded"
_NEEDED: Final = ("config.json", "model.safetensors")


def embedded_folder(component: str) -> Path:
    """Return the folder of one network of the embedded model.

    Args:
        component: ``"discriminator"`` or ``"generator"``.

    Raises:
        ValueError: not the name of a network.
        CheckpointError: this installation has no embedded model, or not all of its files.
    """
    if component not in COMPONENTS:
        raise ValueError(f"component must be one of {', '.join(COMPONENTS)}, found {component!r}")
    folder = Path(str(files("electra_common"))) / _FOLDER / component
    if not all((folder / name).is_file() for name in _NEEDED):
        raise CheckpointError(f"this installation has no {component} of its own: name a model with --model")
    return folder
