"""What a pre-training run computes: sizes, objective, optimizer, schedule; the published runs as data.

What it is for: every number that decides what comes out, checked when it is made. The values stand in
``recipes.toml``; a file of one's own has the same fields.
What it is not: how a run is carried out (:mod:`electra_common.pretraining.settings`): framework, precision, folders.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

from electra_common.config import ElectraConfig
from electra_common.fields import check_fields, parse_assignment
from electra_common.objective import PretrainingObjective
from electra_common.pretraining.masking import MaskingRules, slots_for
from electra_common.pretraining.positions import STARTS

_BUILT_IN: Final = "recipes.toml"
# What numbers may be; those of the objective and of the networks are checked where those are made.
_RANGES: Final[dict[str, tuple[Callable[[float], bool], tuple[str, ...]]]] = {
    "above 0": (
        lambda value: 0 < value < math.inf,
        ("batch_size", "steps", "max_length", "clip_norm", "learning_rate", "adam_epsilon"),
    ),
    "at least 0": (lambda value: 0 <= value < math.inf, ("decay_power", "weight_decay", "initializer_range")),
    "from 0 to below 1": (lambda value: 0 <= value < 1, ("adam_beta_1", "adam_beta_2", "dropout")),
    "between 0 and 1": (lambda value: 0 < value < 1, ("mask_probability",)),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One pre-training run. Lengths are tokens, batches examples, dropout and masking probabilities.

    Attributes without a default have a value of their own in every published run (paper, table 6); those with one are
    the same in all of them.

    Raises:
        ValueError: a number is out of range.
    """

    summary: str = ""
    embedding_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    generator_hidden_size: int
    generator_num_hidden_layers: int
    generator_num_attention_heads: int
    generator_intermediate_size: int
    max_position_embeddings: int
    max_length: int
    mask_probability: float
    learning_rate: float
    warmup_steps: int
    steps: int
    batch_size: int
    dropout: float
    # Google's masking draws positions with replacement, which masks fewer of them (docs/fidelity).
    masking: str = "without-replacement"
    initializer_range: float = 0.02
    positions: str = "drawn"
    decay_power: float = 1.0
    weight_decay: float = 0.01
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_epsilon: float = 1e-6
    clip_norm: float = 1.0
    discriminator_weight: float = 50.0
    generator_weight: float = 1.0
    temperature: float = 1.0
    disallow_correct: bool = False
    generator: str = "own"
    ties_embeddings: bool = True
    objective: str = "electra"

    def __post_init__(self) -> None:
        for words, (holds, names) in _RANGES.items():
            for name in names:
                if not holds(value := getattr(self, name)):
                    raise ValueError(f"recipe: {name} must be {words}, found {value}")
        if self.max_length > self.max_position_embeddings:
            raise ValueError(
                f"recipe: max_length {self.max_length} is above max_position_embeddings {self.max_position_embeddings}"
            )
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(f"recipe: warmup_steps must be 0 … steps ({self.steps}), found {self.warmup_steps}")
        if self.positions not in STARTS:
            raise ValueError(f"recipe: positions must be one of {', '.join(STARTS)}, found {self.positions!r}")
        self.pretraining_objective()  # checks the rest

    def pretraining_objective(self) -> PretrainingObjective:
        """Return the losses and where replacements come from."""
        return PretrainingObjective(
            discriminator_weight=self.discriminator_weight,
            generator_weight=self.generator_weight,
            temperature=self.temperature,
            disallow_correct=self.disallow_correct,
            generator=self.generator,
            ties_embeddings=self.ties_embeddings,
            objective=self.objective,
        )

    def masking_rules(self, vocab_size: int, special_ids: Mapping[str, int]) -> MaskingRules:
        """Return which tokens are masked, of a vocabulary whose special tokens have these ids."""
        return MaskingRules(
            probability=self.mask_probability,
            slots=slots_for(self.mask_probability, self.max_length),
            mask_id=special_ids["[MASK]"],
            never_masked=frozenset(special_ids[name] for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")),
            vocab_size=vocab_size,
            method=self.masking,
        )

    def configs(self, vocab_size: int, pad_token_id: int = 0) -> tuple[ElectraConfig, ElectraConfig | None]:
        """Return the configs of the discriminator and of the generator, None where it has no network of its own."""
        shared: dict[str, Any] = {
            "vocab_size": vocab_size,
            "pad_token_id": pad_token_id,
            "embedding_size": self.embedding_size,
            "max_position_embeddings": self.max_position_embeddings,
            "initializer_range": self.initializer_range,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.dropout,
        }
        sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        discriminator = ElectraConfig(**shared, **{name: getattr(self, name) for name in sizes})
        if self.objective != "electra" or self.generator != "own":
            return discriminator, None
        own = {name: getattr(self, f"generator_{name}") for name in sizes}
        width = self.embedding_size if self.ties_embeddings else self.generator_hidden_size  # Google's, where untied
        return discriminator, ElectraConfig(**{**shared, **own, "embedding_size": width})

    def with_changes(self, assignments: Sequence[str]) -> Self:
        """Return a copy with fields changed by ``name=value``, the value written as in TOML.

        Raises:
            ValueError: no such field, or a value of another type.
        """
        changes = dict(parse_assignment(text) for text in assignments)
        check_fields(Recipe, changes, "--set", "a recipe")
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return every field by name, as plain JSON values."""
        return dataclasses.asdict(self)


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the library."""
    return tuple(_built_in())


def load_recipe(name_or_file: str) -> Recipe:
    """Return a recipe by its name, or from a TOML file of the same fields.

    Raises:
        ValueError: no such recipe or file, a field is missing, misspelt or has the wrong type.
    """
    recipes = _built_in()
    if name_or_file in recipes:
        return recipe_from(recipes[name_or_file], f"recipe {name_or_file}")
    path = Path(name_or_file)
    if path.suffix != ".toml":
        raise ValueError(f"no recipe {name_or_file!r}; known: {', '.join(recipes)}, or the path of a .toml file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a recipe: {error}") from None
    return recipe_from(values, str(path))


def recipe_from(values: Mapping[str, Any], where: str) -> Recipe:
    """Return a recipe of a mapping's values; raises ValueError, naming ``where``, on anything unusable."""
    check_fields(Recipe, values, where, "a recipe")
    missing = [item.name for item in fields(Recipe) if item.default is dataclasses.MISSING and item.name not in values]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} must be given")
    return Recipe(**values)


def _built_in() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("electra_common.pretraining") / _BUILT_IN).read_text(encoding="utf-8"))
