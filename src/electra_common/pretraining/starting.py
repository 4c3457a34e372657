"""Starting a run from weights that are there: what comes with them, and whether they are what the recipe describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.pretraining.optimizer_file import Moments
from electra_common.pretraining.run_folder import STATE_FILE, RunState, list_checkpoints, read_checkpoint
from electra_common.pretraining.settings import RunSettings
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.names import DISCRIMINATOR, GENERATOR
from electra_common.weights.optimizer_state import read_optimizer_state

_SIZES: Final = (
    "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings",
)  # fmt: skip


def state_to_start_from(settings: RunSettings) -> tuple[RunState, Moments | None, str]:
    """Return where a new run stands, Adam's state, and a sentence that says so.

    Step and Adam's state are those of the checkpoint where it holds them: one of a run of ours, or of Google's code
    before it was stripped for release.

    Raises:
        CheckpointError: the checkpoint is damaged.
        ValueError: it has more steps behind it than the recipe has in all.
    """
    source = weights_to_start_from(settings)
    found = None
    if not settings.fresh_optimizer and settings.start_generator_from is None:
        found = _stored_state(source)
    if found is None:
        return RunState(), None, f"{source}: the weights alone; Adam starts at zero and the schedule at its beginning"
    state, moments = found
    if state.step >= settings.recipe.steps:
        raise ValueError(
            f"{source}: was trained for {state.step} steps, and the recipe has {settings.recipe.steps} in all: "
            "set more steps, or start the schedule anew with --fresh-optimizer"
        )
    return state, moments, f"{source}: goes on from its step {state.step:,} with its state of Adam"


def weights_to_start_from(settings: RunSettings) -> str:
    """Return the path or name of the weights: of a run's folder, its newest checkpoint."""
    assert settings.start_from is not None
    checkpoints = list_checkpoints(Path(settings.start_from))
    return str(checkpoints[-1]) if checkpoints else settings.start_from


def _stored_state(source: str) -> tuple[RunState, Moments] | None:
    if (Path(source) / STATE_FILE).is_file():
        return read_checkpoint(Path(source))
    google = read_optimizer_state(source)
    return None if google is None else (RunState(google[0]), google[1])


def config_overrides(settings: RunSettings) -> dict[str, Any]:
    """Return the config fields that the recipe decides: dropout, and heads where no config beside the weights does."""
    recipe = settings.recipe
    result: dict[str, Any] = {
        "hidden_dropout_prob": recipe.dropout,
        "attention_probs_dropout_prob": recipe.dropout,
    }
    checkpoint = open_checkpoint(weights_to_start_from(settings))
    if all(checkpoint.stored_config(item) is None for item in checkpoint.components.values()):
        heads = {DISCRIMINATOR: recipe.num_attention_heads, GENERATOR: recipe.generator_num_attention_heads}
        result["num_attention_heads"] = {name: heads[name] for name in checkpoint.components}
    return result


def check_configs(found: Mapping[str, ElectraConfig], expected: Mapping[str, ElectraConfig | None]) -> None:
    """Raise ValueError, naming every difference, unless the networks have the sizes that the recipe describes."""
    different = [
        f"{name} {size} {getattr(config, size)} (recipe and data: {getattr(wanted, size)})"
        for name, config in found.items()
        if (wanted := expected.get(name)) is not None
        for size in _SIZES
        if getattr(config, size) != getattr(wanted, size)
    ]
    if different:
        raise ValueError(
            f"the weights to start from are not those of the recipe: {', '.join(different)}; "
            "choose another recipe or change it with --set"
        )
