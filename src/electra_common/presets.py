"""The sizes of the six released models, as data.

Source: paper, table 6, and the configurations of Google's release (the released small generator has the full width of
its discriminator; the base generator is a third, the large one a quarter as wide).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SMALL = {"embedding_size": 128, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
_NARROW_GENERATOR = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}

PRESETS: Final[Mapping[str, Mapping[str, int]]] = {
    "small-discriminator": {**_SMALL, "num_hidden_layers": 12},
    "small-generator": {**_SMALL, "num_hidden_layers": 12},
    "base-discriminator": {
        "embedding_size": 768, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12,
    },
    "base-generator": {**_NARROW_GENERATOR, "embedding_size": 768, "num_hidden_layers": 12},
    "large-discriminator": {
        "embedding_size": 1024, "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "num_hidden_layers": 24,
    },
    "large-generator": {**_NARROW_GENERATOR, "embedding_size": 1024, "num_hidden_layers": 24},
}  # fmt: skip


def preset_fields(name: str) -> dict[str, Any]:
    """Return the config fields of a released model, its architecture included; raises ValueError on other names."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    architecture = "ElectraForMaskedLM" if name.endswith("generator") else "ElectraForPreTraining"
    return {**PRESETS[name], "architectures": (architecture,)}
