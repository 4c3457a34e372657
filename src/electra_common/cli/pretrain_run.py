"""``electra pretrain run``: carries a run out in one framework, in this process."""

from __future__ import annotations

import sys
from typing import Any

from electra_common.cli.console import fail, print_json
from electra_common.cli.loops import STOPPED, load_module
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.settings import RunSettings
from electra_common.runs.processes import AnotherProcessFailedError
from electra_common.runs.run import TrainingDivergedError
from electra_common.runs.run_folder import RunState


def run(*, framework: str | None, recipe: str, changes: list[str], as_json: bool, **options: Any) -> int:
    """Run; 0 if it came to its last step or to ``--stop-at``, 1 if it diverged, 143 if it was stopped before."""
    settings = RunSettings(recipe=load_recipe(recipe).with_changes(changes), **options)
    family, loop = load_module(framework, "pretraining")

    def tell(state: RunState) -> None:
        if as_json:
            print_json({"out": str(settings.out), "framework": family, "step": state.step, "tokens": state.tokens})
        if state.step < settings.recipe.steps:
            which = "the same command" if state.step < settings.last_step else "the same command without --stop-at"
            print(f"stopped at step {state.step}; {which} goes on from there", file=sys.stderr)

    try:
        state = loop.pretrain(settings, at_end=tell)
    except TrainingDivergedError as error:
        fail(error)
        return 1
    except AnotherProcessFailedError:
        return 1  # the first process has printed why
    return 0 if state.step >= settings.last_step else STOPPED
