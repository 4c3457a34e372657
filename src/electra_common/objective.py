"""What a pre-training run optimises: which networks there are, what they share, and how their losses are weighed.

What it is not: the learning rate, the number of steps and the like, which belong to a recipe.
Source: Google's ``configure_pretraining.py``; the names of its options stand in ``docs/fidelity.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from electra_common.config import ElectraConfig

GENERATORS: Final = ("own", "uniform", "tied")
OBJECTIVES: Final = ("electra", "mlm")
# What one embeddings module decides for both networks that use it.
_SHARED_FIELDS: Final = (
    "vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size", "pad_token_id", "layer_norm_eps",
    "hidden_dropout_prob",
)  # fmt: skip


@dataclass(frozen=True)
class PretrainingObjective:
    """What is trained, and on which loss.

    Attributes:
        discriminator_weight: what the discriminator's loss counts; the paper's 50.
        generator_weight: what the generator's loss counts.
        temperature: the generator's logits are divided by it before sampling; its loss is not touched.
        disallow_correct: never sample the true token, so that whatever is masked is replaced.
        generator: ``"own"``, a network of its own; ``"uniform"``, none at all: replacements are drawn from the whole
            vocabulary alike; ``"tied"``, the discriminator's network with another head.
        ties_embeddings: an own generator uses the discriminator's embeddings: word, position, type, LayerNorm.
        objective: ``"electra"``, or ``"mlm"`` for a masked language model of full size and no discriminator.

    Raises:
        ValueError: a value is not one of these, or a number cannot be used.
    """

    discriminator_weight: float = 50.0
    generator_weight: float = 1.0
    temperature: float = 1.0
    disallow_correct: bool = False
    generator: str = "own"
    ties_embeddings: bool = True
    objective: str = "electra"

    def __post_init__(self) -> None:
        for name, choices in (("generator", GENERATORS), ("objective", OBJECTIVES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, found {getattr(self, name)!r}")
        for name in ("discriminator_weight", "generator_weight", "temperature"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a number of at least 0, found {value!r}")
        if self.temperature == 0:
            raise ValueError("temperature must be above 0: logits are divided by it")

    @property
    def has_discriminator(self) -> bool:
        """Whether there is a discriminator."""
        return self.objective == "electra"

    @property
    def has_generator(self) -> bool:
        """Whether a network predicts masked tokens."""
        return self.objective == "mlm" or self.generator != "uniform"

    @property
    def shares_embeddings(self) -> bool:
        """Whether two networks use one set of embeddings, and nothing else in common."""
        return self.objective == "electra" and self.generator == "own" and self.ties_embeddings

    @property
    def shares_encoder(self) -> bool:
        """Whether two networks are one, with two heads."""
        return self.objective == "electra" and self.generator == "tied"


PAPER: Final = PretrainingObjective()


def generator_config_for(
    config: ElectraConfig, generator_config: ElectraConfig | None, objective: PretrainingObjective
) -> ElectraConfig | None:
    """Return the config that the generator is built with, or None where there is none.

    Args:
        config: of the discriminator, or of the masked language model.
        generator_config: of an own generator; in every other case there is nothing to choose, and it is None.
        objective: which networks there are.

    Raises:
        ValueError: a config is missing or superfluous, or the two do not agree in what is shared.
    """
    takes_own = objective.has_discriminator and objective.generator == "own"
    if takes_own != (generator_config is not None):
        kind = f"objective={objective.objective!r}, generator={objective.generator!r}"
        raise ValueError(f"{kind} {'needs a' if takes_own else 'takes no'} generator_config")
    if generator_config is None:
        return config if objective.has_generator else None
    check_pair(config, generator_config, objective)
    return generator_config


def check_pair(config: ElectraConfig, generator_config: ElectraConfig, objective: PretrainingObjective) -> None:
    """Raise ValueError unless the configs of two networks, as they are now, agree in what the objective shares.

    Args:
        config: of the discriminator.
        generator_config: of the generator, of its own or tied.
        objective: what the two share.
    """
    if objective.shares_embeddings or objective.shares_encoder:
        check_shared(config, generator_config)
    elif config.vocab_size != generator_config.vocab_size:
        raise ValueError(
            f"both networks read the same ids, but vocab_size is {config.vocab_size} in the discriminator and "
            f"{generator_config.vocab_size} in the generator"
        )


def check_shared(config: ElectraConfig, generator_config: ElectraConfig) -> None:
    """Raise ValueError unless two configs agree in all that shared embeddings decide."""
    pairs = {name: (getattr(config, name), getattr(generator_config, name)) for name in _SHARED_FIELDS}
    different = [f"{name} {one!r} and {other!r}" for name, (one, other) in pairs.items() if one != other]
    if different:
        raise ValueError(
            f"shared embeddings need the same {', '.join(different)} (discriminator and generator); "
            "change one, or use ties_embeddings=False"
        )
