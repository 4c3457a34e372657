"""Starting a run from weights that are there: what comes with them, and whether they are what the recipe describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from electra_common.config import SIZES, ElectraConfig
from electra_common.pretraining.settings import RunSettings
from electra_common.runs.optimizer_file import Moments
from electra_common.runs.run_folder import STATE_FILE, RunState, list_checkpoints, read_checkpoint
from electra_common.weights.checkpoint import Checkpoint, open_checkpoint
from electra_common.weights.names import DISCRIMINATOR, GENERATOR
from electra_common.weights.optimizer_state import read_optimizer_state


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


def config_overrides(settings: RunSettings, configs: tuple[ElectraConfig, ElectraConfig | None]) -> dict[str, Any]:
    """Return the config fields that the recipe decides: dropout, and heads of networks whose checkpoint tells none.

    Args:
        settings: of a run that starts from weights.
        configs: of the run: the discriminator's or masked language model's, and that of a generator of its own.

    Raises:
        CheckpointError: a checkpoint is unusable.
    """
    dropout = settings.recipe.dropout
    result: dict[str, Any] = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    main, own = configs
    heads = {DISCRIMINATOR: main.num_attention_heads, GENERATOR: (own or main).num_attention_heads}
    sources = _sources(settings)
    checkpoints = {source: open_checkpoint(source) for source in set(sources.values())}
    unknown = {name: heads[name] for name, source in sources.items() if not _tells_heads(checkpoints[source], name)}
    return {**result, "num_attention_heads": unknown} if unknown else result


def _sources(settings: RunSettings) -> dict[str, str]:
    """Return which checkpoint each network of the objective starts from."""
    objective = settings.recipe.pretraining_objective()
    first = weights_to_start_from(settings)
    sources = {DISCRIMINATOR: first} if objective.has_discriminator else {}
    return {**sources, GENERATOR: settings.start_generator_from or first} if objective.has_generator else sources


def _tells_heads(checkpoint: Checkpoint, network: str) -> bool:
    """Whether a checkpoint says how many heads a network has that is made of it: of its own name, or the only one."""
    component = checkpoint.components.get(network) or checkpoint.component()
    return checkpoint.stored_config(component) is not None or "num_attention_heads" in component.config_fields


@contextmanager
def fresh_optimizer_named(settings: RunSettings, resume_from: Path | None) -> Iterator[None]:
    """Within this block, a ValueError on Adam's state that does not fit says whose it is and how to start without it.

    Args:
        settings: of a run.
        resume_from: the run's own checkpoint, whose state has to fit; None where others' weights are started from.
    """
    try:
        yield
    except ValueError as error:
        if resume_from is not None:
            raise
        source = weights_to_start_from(settings)
        raise ValueError(f"{source}: {error}; start Adam and the schedule anew with --fresh-optimizer") from None


def check_configs(found: Mapping[str, ElectraConfig], expected: Mapping[str, ElectraConfig | None]) -> None:
    """Raise ValueError, naming every difference, unless the networks have the sizes that the recipe describes."""
    different = [
        f"{name} {size} {getattr(config, size)} (recipe and data: {getattr(wanted, size)})"
        for name, config in found.items()
        if (wanted := expected.get(name)) is not None
        for size in SIZES
        if getattr(config, size) != getattr(wanted, size)
    ]
    if different:
        raise ValueError(
            f"the weights to start from are not those of the recipe: {', '.join(different)}; "
            "choose another recipe or change it with --set"
        )
