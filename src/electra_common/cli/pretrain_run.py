"""``electra pretrain run``: carries a run out in one framework, in this process."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final

from electra_common.cli.console import fail, print_json
from electra_common.cli.frameworks import FRAMEWORKS, missing_error
from electra_common.cli.worker import NEEDED
from electra_common.pretraining.processes import AnotherProcessFailedError
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.run import TrainingDivergedError
from electra_common.pretraining.run_folder import RunState
from electra_common.pretraining.settings import RunSettings

_STOPPED: Final = 143  # as a shell reports a program that SIGTERM ended


def run(*, framework: str | None, recipe: str, changes: list[str], as_json: bool, **options: Any) -> int:
    """Run; 0 if it reached its end, 1 if it diverged, 143 if it was stopped before."""
    settings = RunSettings(recipe=load_recipe(recipe).with_changes(changes), **options)
    family, loop = load_loop(framework)

    def tell(state: RunState) -> None:
        if as_json:
            print_json({"out": str(settings.out), "framework": family, "step": state.step, "tokens": state.tokens})
        if state.step < settings.recipe.steps:
            print(f"stopped at step {state.step}; the same command goes on from there", file=sys.stderr)

    try:
        state = loop.pretrain(settings, at_end=tell)
    except TrainingDivergedError as error:
        fail(error)
        return 1
    except AnotherProcessFailedError:
        return 1  # the other one has told why
    return 0 if state.step in (settings.recipe.steps, settings.stop_at) else _STOPPED


def load_loop(framework: str | None) -> tuple[str, ModuleType]:
    """Return the framework asked for, or the first that is installed, and the module of its loop.

    Raises:
        ValueError: no such framework.
        FrameworkMissingError: it is not installed.
    """
    if framework is not None and framework not in FRAMEWORKS:
        raise ValueError(f"--framework must be one of {', '.join(FRAMEWORKS)}, found {framework!r}")
    # TensorFlow talks about the processor and itself when it is imported, and about errors later.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    wanted = (framework,) if framework else tuple(FRAMEWORKS)
    for family in wanted:
        try:
            return family, importlib.import_module(f"electra_{family}.pretraining")
        except ModuleNotFoundError as error:
            if error.name not in NEEDED[family]:
                raise
    raise missing_error(wanted)
