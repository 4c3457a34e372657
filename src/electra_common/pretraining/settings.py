"""How a pre-training run is carried out; what it computes is its recipe (:mod:`electra_common.pretraining.recipes`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from electra_common.pretraining.recipes import Recipe
from electra_common.runs.precision import check_precision


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One call of ``electra pretrain run``.

    Attributes:
        data: a folder that ``electra pretrain prepare`` wrote.
        out: the run's folder. Where it holds checkpoints of the same run, the run goes on from the last one.
        recipe: sizes, objective, optimizer, schedule.
        seed: of everything that is drawn: weights, order of examples, masks, replacements, dropout.
        start_from: weights to start from: a run or a checkpoint of one, a Google checkpoint, or a discriminator.
        start_generator_from: the generator, where ``start_from`` holds a discriminator alone.
        fresh_optimizer: start Adam at zero and the schedule at its beginning, even where ``start_from``, a checkpoint
            of a run or of Google's code, holds Adam's state and a step to go on from.
        accumulation: micro-batches for each step and process, to save memory; the result is that of one.
        precision: ``"float32"``, or ``"bfloat16"`` for the arithmetic of layers; weights and losses stay float32.
        compile: ``torch.compile``, or XLA in TensorFlow.
        shard: divide parameters, gradients and Adam's state among the processes (FSDP2), for networks that one device
            has no room for; PyTorch's alone.
        log_every: steps between lines of the log, each the mean since the last one.
        evaluate_every: steps between evaluations on the held-out examples; 0 for none.
        evaluation_examples: how many of them are used, the same every time.
        save_every: steps between checkpoints; the last step always has one.
        keep: how many checkpoints stay.
        tensorboard: also write event files.
        stop_at: end after this step, as if interrupted; None for the recipe's last.

    Raises:
        ValueError: a number is out of range.
    """

    data: Path
    out: Path
    recipe: Recipe
    seed: int = 0
    start_from: str | None = None
    start_generator_from: str | None = None
    fresh_optimizer: bool = False
    accumulation: int = 1
    precision: str = "float32"
    compile: bool = False
    shard: bool = False
    log_every: int = 50
    evaluate_every: int = 500
    evaluation_examples: int = 512
    save_every: int = 500
    keep: int = 3
    tensorboard: bool = True
    stop_at: int | None = None

    def __post_init__(self) -> None:
        for name in ("accumulation", "log_every", "evaluation_examples", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.evaluate_every < 0:
            raise ValueError(f"evaluate_every must be at least 0, found {self.evaluate_every}")
        check_precision(self.precision)
        if self.start_generator_from is not None and self.start_from is None:
            raise ValueError("start_generator_from (--generator-from) needs start_from (--from), the discriminator")
        if self.fresh_optimizer and self.start_from is None:
            raise ValueError("fresh_optimizer needs start_from (--from): it leaves aside what comes with those weights")

    @property
    def last_step(self) -> int:
        """How many steps are done when this call ends."""
        return self.recipe.steps if self.stop_at is None else min(self.stop_at, self.recipe.steps)

    def identity(self, data_identity: str) -> dict[str, Any]:
        """Return what must be the same for a run to go on: everything that decides its weights."""
        return {
            "recipe": self.recipe.as_dict(),
            "seed": self.seed,
            "data": data_identity,
            **self._starting_point(),
        }

    def shared(self, data_identity: str) -> dict[str, Any]:
        """Return what must be the same in all processes of a run: what decides its weights, and when they meet."""
        names = ("accumulation", "precision", "compile", "shard", "log_every", "evaluate_every", "evaluation_examples",
                 "save_every", "stop_at")  # fmt: skip
        return {**self.identity(data_identity), **{name: getattr(self, name) for name in names}}

    def restate(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the record of a run with a checkpoint says, for comparing it with :meth:`identity`.

        Fields that recipes had not got when it was written have their defaults, words about the recipe decide nothing,
        and where the run once started may be left unsaid, for its weights are its own now.
        """
        recipe = record.get("recipe")
        known = {**_recipe_defaults(), **recipe, "summary": self.recipe.summary} if isinstance(recipe, dict) else recipe
        return {**record, "recipe": known, **(self._starting_point() if self.start_from is None else {})}

    def _starting_point(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("start_from", "start_generator_from", "fresh_optimizer")}


def _recipe_defaults() -> dict[str, Any]:
    return {item.name: item.default for item in fields(Recipe) if item.default is not MISSING}
