"""The networks of a pre-training run as one model: how they are made, what they share, how they are loaded and saved.

What it is not: what is computed with them, which is :mod:`electra_tf.joint_pretraining`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras

from electra_common import ElectraConfig
from electra_common.objective import PAPER, PretrainingObjective, check_pair, generator_config_for
from electra_common.weights.joint_loading import plan_joint_loading
from electra_common.weights.names import DISCRIMINATOR, GENERATOR
from electra_common.weights.saving import save_two_networks
from electra_tf.initialization import replaced_layer
from electra_tf.modeling import TFElectraForMaskedLM, TFElectraForPreTraining
from electra_tf.pretrained import build_planned, canonical_state, stored_network
from electra_tf.programs import TFTracedModel, replica_share

Tensor = Any


def _check_unweighed(sample_weight: Any) -> None:
    """Refuse sample weights: without targets Keras drops them silently."""
    if sample_weight is not None:
        raise ValueError("the joint loss takes no sample_weight: leave it out, and weigh tokens with masked_weights")


class TFElectraJointNetworks(TFTracedModel):
    """A discriminator, a generator or both, with what they share held once: made, loaded and saved."""

    def __init__(
        self,
        config: ElectraConfig,
        generator_config: ElectraConfig | None = None,
        objective: PretrainingObjective = PAPER,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        generator_config = generator_config_for(config, generator_config, objective)
        policy = self.dtype_policy
        discriminator, generator = None, None
        if objective.has_discriminator:
            discriminator = TFElectraForPreTraining(config, name=DISCRIMINATOR, dtype=policy)
        if generator_config is not None:
            generator = TFElectraForMaskedLM(generator_config, name=GENERATOR, dtype=policy)
        self._join(discriminator, generator, objective)

    def _join(
        self,
        discriminator: TFElectraForPreTraining | None,
        generator: TFElectraForMaskedLM | None,
        objective: PretrainingObjective,
    ) -> None:
        """Take two networks and make them share what the objective says; what the generator had of it is dropped."""
        if discriminator is not None and generator is not None:
            if objective.shares_encoder:
                replaced_layer(generator, "electra", discriminator.electra)
            elif objective.shares_embeddings:
                replaced_layer(generator.electra, "embeddings", discriminator.electra.embeddings)
        self.discriminator, self.generator = discriminator, generator
        self.objective = objective
        self.built = True  # both networks have made their variables

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

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: both networks made their variables when they were made."""

    def get_config(self) -> dict[str, Any]:
        """Return what :meth:`from_config` needs, as plain JSON values: configs, objective, name and dtype policy.

        Raises:
            ValueError: the networks no longer agree in what they share, so that it could not make them again.
        """
        self._check_pair()
        has_own = self.objective.has_discriminator and self.objective.generator == "own"
        own = self.generator.config if has_own and self.generator is not None else None
        return {
            **super().get_config(),
            "config": json.loads(self.config.to_json()),
            "generator_config": None if own is None else json.loads(own.to_json()),
            "objective": dataclasses.asdict(self.objective),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Build a model with new weights again from :meth:`get_config`; raises ValueError on unusable values.

        Args:
            config: as :meth:`get_config` returns it.
            custom_objects: Keras's argument; nothing here would need it.
        """
        options = dict(config)
        main, own = options.pop("config"), options.pop("generator_config")
        objective = PretrainingObjective(**options.pop("objective"))
        generator_config = None if own is None else ElectraConfig.from_dict(own)
        return cls(ElectraConfig.from_dict(main), generator_config, objective, **options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the model; a dictionary of inputs, which is what ``fit`` passes, is spread out first."""
        if arguments and isinstance(arguments[0], Mapping):
            return super().__call__(*arguments[1:], **arguments[0], **named)
        return super().__call__(*arguments, **named)

    def fit(self, *arguments: Any, **named: Any) -> Any:
        """Train as Keras does; raises ValueError on ``sample_weight``."""
        _check_unweighed(named.get("sample_weight"))
        return super().fit(*arguments, **named)

    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        """Evaluate as Keras does; raises ValueError on ``sample_weight``."""
        _check_unweighed(named.get("sample_weight"))
        return super().evaluate(*arguments, **named)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss that the call computed, and what regularizers add to it.

        Raises:
            ValueError: ``compile`` was given a loss, or ``fit`` sample weights: the networks' losses have no use for
                either.
        """
        if self._compile_loss is not None:
            raise ValueError("the joint model computes its own loss: leave loss out of compile")
        _check_unweighed(sample_weight)
        loss = y_pred[0] if isinstance(y_pred, tuple) else y_pred["loss"]  # a tuple where configs say return_dict=False
        return replica_share(loss, self.losses)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        generator: str | Path | None = None,
        objective: PretrainingObjective = PAPER,
        config: ElectraConfig | None = None,
        generator_config: ElectraConfig | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **config_overrides: Any,
    ) -> Self:
        """Load the networks of an objective.

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
            dtype=dtype,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        networks = (
            None if plan.discriminator is None else build_planned(TFElectraForPreTraining, plan.discriminator),
            None if plan.generator is None else build_planned(TFElectraForMaskedLM, plan.generator),
        )
        model = cls.__new__(cls)
        # The networks' own, for Keras's files tell one dtype of the model and of all that is in it.
        keras.Model.__init__(model, dtype=next(network.dtype_policy for network in networks if network is not None))
        model._join(*networks, objective)
        return model

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

    def networks(self) -> dict[str, TFElectraForPreTraining | TFElectraForMaskedLM]:
        """Return the networks that there are, by the names ``discriminator`` and ``generator``."""
        pairs = ((DISCRIMINATOR, self.discriminator), (GENERATOR, self.generator))
        return {name: network for name, network in pairs if network is not None}


def joint_state(model: TFElectraJointNetworks) -> dict[str, keras.Variable]:
    """Return ``{joint name: variable}``: ``discriminator.…`` and ``generator.…``, what both use once."""
    state: dict[str, keras.Variable] = {}
    known: set[int] = set()
    for network_name, network in model.networks().items():
        for name, variable in canonical_state(network).items():
            if id(variable) not in known:
                state[f"{network_name}.{name}"] = variable
            known.add(id(variable))
    return state
