"""Deciding what both networks of a pre-training run are built from: one checkpoint that holds them, or one for each.

Each network is planned by :mod:`electra_common.weights.loading`, with its strictness. What is added here: that what the
objective shares is the same in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from electra_common.config import ElectraConfig
from electra_common.objective import PretrainingObjective, check_pair
from electra_common.weights.errors import CheckpointError
from electra_common.weights.loading import LoadPlan, plan_loading
from electra_common.weights.names import COMPONENTS, DISCRIMINATOR, GENERATOR
from electra_common.weights.sharing import body_of, embeddings_of, have_same_bytes
from electra_common.weights.tensors import StoredTensor


@dataclass(frozen=True)
class JointPlan:
    """What a framework needs to build the networks of an objective; None where there is no such network."""

    discriminator: LoadPlan | None
    generator: LoadPlan | None


def plan_joint_loading(
    name_or_path: str | Path,
    *,
    generator: str | Path | None,
    objective: PretrainingObjective,
    configs: Mapping[str, ElectraConfig | None],
    config_overrides: Mapping[str, Any],
    **options: Any,
) -> JointPlan:
    """Open one checkpoint or two and match each network with its class.

    Args:
        name_or_path: a checkpoint of both networks, or of the discriminator.
        generator: a checkpoint of the generator, where the first one is not to give it.
        objective: which networks there are and what they share.
        configs: by network, used in place of the checkpoint's own.
        config_overrides: fields of the configs to change; a dictionary by network changes them apart.
        **options: of :func:`electra_common.weights.loading.plan_loading`.

    Raises:
        CheckpointError: a checkpoint is unusable, holds no such network, or differs in what is to be shared.
        ValueError: an argument is wrong.
    """
    if generator is not None and not objective.has_generator:
        raise ValueError("a uniform generator has no weights: leave generator out")

    def plan(component: str, architecture: str, path: str | Path, chosen: str | None) -> LoadPlan:
        overrides = _overrides_of(component, config_overrides)
        config = configs.get(component)
        return plan_loading(path, architecture, component=chosen, config=config, config_overrides=overrides, **options)

    planned: dict[str, LoadPlan] = {}
    if objective.has_discriminator:
        planned[DISCRIMINATOR] = plan(DISCRIMINATOR, "ElectraForPreTraining", name_or_path, None)
    if objective.has_generator:
        # A masked language model may start from any network; a pair is two networks, and never one taken twice.
        is_second = objective.has_discriminator and generator is None
        path = name_or_path if generator is None else generator
        planned[GENERATOR] = plan(GENERATOR, "ElectraForMaskedLM", path, GENERATOR if is_second else None)
    result = JointPlan(planned.get(DISCRIMINATOR), planned.get(GENERATOR))
    _check_sharing(result, objective)
    return result


def _overrides_of(component: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields to change in one network's config."""
    result = {}
    for name, value in overrides.items():
        if isinstance(value, Mapping) and value and set(value) <= set(COMPONENTS):
            result.update({name: value[component]} if component in value else {})
        else:
            result[name] = value
    return result


def _check_sharing(plan: JointPlan, objective: PretrainingObjective) -> None:
    """Raise CheckpointError where networks that are to share weights come with different ones."""
    if plan.discriminator is None or plan.generator is None:
        return
    try:
        check_pair(plan.discriminator.config, plan.generator.config, objective)
    except ValueError as error:
        raise CheckpointError(f"{_sources(plan)}: {error}") from None
    if not objective.shares_embeddings and not objective.shares_encoder:
        return
    part = body_of if objective.shares_encoder else embeddings_of
    ours, theirs = (part(network.tensors) for network in (plan.discriminator, plan.generator))
    names = ours.keys() | theirs.keys()
    different = sorted(name for name in names if not _is_same(ours.get(name), theirs.get(name)))
    if different:
        option = "generator='own'" if objective.shares_encoder else "ties_embeddings=False"
        some = ", ".join(different[:3])
        raise CheckpointError(
            f"{_sources(plan)}: discriminator and generator are to share {len(names)} tensors, but {len(different)} "
            f"differ, such as {some}; {option} in the objective trains them apart"
        )


def _sources(plan: JointPlan) -> str:
    plans = (plan.discriminator, plan.generator)
    return " and ".join(dict.fromkeys(network.report.source for network in plans if network is not None))


def _is_same(first: StoredTensor | None, second: StoredTensor | None) -> bool:
    if first is None or second is None or (first.shape, first.dtype) != (second.shape, second.dtype):
        return False
    return have_same_bytes(first, second)
