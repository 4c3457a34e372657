"""The networks of a pre-training run as one model: how they are made, what they share, how they are loaded and saved.

What it is not: what is computed with them, which is :mod:`electra_pt.joint_pretraining`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from electra_common import ElectraConfig
from electra_common.objective import PAPER, PretrainingObjective, check_pair, generator_config_for
from electra_common.weights.joint_loading import plan_joint_loading
from electra_common.weights.names import DISCRIMINATOR, GENERATOR
from electra_common.weights.saving import save_two_networks
from electra_pt.modeling import ElectraForMaskedLM, ElectraForPreTraining
from electra_pt.pretrained import build_planned, stored_network


class ElectraJointNetworks(nn.Module):
    """A discriminator, a generator or both, with what they share held once: made, loaded and saved."""

    def __init__(
        self,
        config: ElectraConfig,
        generator_config: ElectraConfig | None = None,
        objective: PretrainingObjective = PAPER,
    ) -> None:
        super().__init__()
        generator_config = generator_config_for(config, generator_config, objective)
        discriminator = ElectraForPreTraining(config) if objective.has_discriminator else None
        self._join(discriminator, ElectraForMaskedLM(generator_config) if generator_config else None, objective)

    def _join(
        self,
        discriminator: ElectraForPreTraining | None,
        generator: ElectraForMaskedLM | None,
        objective: PretrainingObjective,
    ) -> None:
        """Take two networks and make them share what the objective says; what the generator had of it is dropped."""
        if discriminator is not None and generator is not None:
            if objective.shares_encoder:
                generator.electra = discriminator.electra
            elif objective.shares_embeddings:
                generator.electra.embeddings = discriminator.electra.embeddings
        # In this order parameters that both use are named after the discriminator.
        self.discriminator, self.generator = discriminator, generator
        self.objective = objective

    @property
    def config(self) -> ElectraConfig:
        """The config of the discriminator or masked language model as it is now: a vocabulary may be resized."""
        main = self.generator if self.discriminator is None else self.discriminator
        assert main is not None  # an objective has one of the two
        return main.config

    def _check_pair(self) -> None:
        """Raise ValueError where the two networks no longer go together: what is written then is never read again."""
        if self.discriminator is not None and self.generator is not None:
            check_pair(self.discriminator.config, self.generator.config, self.objective)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        generator: str | Path | None = None,
        objective: PretrainingObjective = PAPER,
        config: ElectraConfig | None = None,
        generator_config: ElectraConfig | None = None,
        dtype: str | torch.dtype | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **config_overrides: Any,
    ) -> Self:
        """Load the networks of an objective, in evaluation mode.

        Args:
            name_or_path: a checkpoint of both networks (of a run of ours, or of Google's code), or of the
                discriminator; as in the other models.
            generator: a checkpoint of the generator, where the first one is of the discriminator alone.
            objective: which networks there are and what they share.
            config: of the discriminator or masked language model, used in place of the checkpoint's own.
            generator_config: of the generator, likewise.
            dtype: of the weights; as in the other models.
            revision: branch, tag or commit on the Hub.
            cache_dir: where downloads are kept.
            local_files_only: never ask the network.
            **config_overrides: fields to change in both configs, such as ``hidden_dropout_prob=0.0``, or by network:
                ``num_attention_heads={"discriminator": 4, "generator": 1}``.

        Raises:
            CheckpointError: a checkpoint is unusable, lacks a network, or the two differ in what they are to share.
            ValueError: an argument is wrong.
        """
        first = DISCRIMINATOR if objective.has_discriminator else GENERATOR
        plan = plan_joint_loading(
            name_or_path,
            generator=generator,
            objective=objective,
            configs={GENERATOR: generator_config, first: config},
            config_overrides=config_overrides,
            dtype=str(dtype).removeprefix("torch.") if dtype is not None else None,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._join(
            None if plan.discriminator is None else build_planned(ElectraForPreTraining, plan.discriminator),
            None if plan.generator is None else build_planned(ElectraForMaskedLM, plan.generator),
            objective,
        )
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, format: str = "joint") -> None:
        """Write both networks and their configs into one folder, what they share once.

        Args:
            folder: made if it does not exist.
            format: ``"joint"`` (ours) or ``"tf1"`` (Google's).

        Raises:
            CheckpointError: the folder cannot be written, or the format has no place for a tensor.
            ValueError: the format does not hold two networks, or they no longer agree in what they share, as where
                one vocabulary was resized and the other was not.
        """
        self._check_pair()
        stored = {name: stored_network(network) for name, network in self.networks().items()}
        save_two_networks(folder, stored.get(DISCRIMINATOR), stored.get(GENERATOR), format=format)

    def save_halves(self, folder: str | Path) -> None:
        """Write each network into a folder of its own, ``discriminator`` and ``generator``, which any class opens.

        Args:
            folder: where the two are made.

        Raises:
            CheckpointError: the folder cannot be written.
            ValueError: the networks no longer agree in what they share.
        """
        self._check_pair()
        for name, network in self.networks().items():
            network.save_pretrained(Path(folder) / name)

    def networks(self) -> dict[str, ElectraForPreTraining | ElectraForMaskedLM]:
        """Return the networks that there are, by the names ``discriminator`` and ``generator``."""
        pairs = ((DISCRIMINATOR, self.discriminator), (GENERATOR, self.generator))
        return {name: network for name, network in pairs if network is not None}


def joint_state(model: ElectraJointNetworks) -> dict[str, nn.Parameter]:
    """Return ``{joint name: parameter}``: ``discriminator.…`` and ``generator.…``, what both use once."""
    return dict(model.named_parameters())  # the attributes are named so, and the discriminator comes first
