"""``electra pretrain run``: carries a run out in one framework, in this process."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any, Final

from electra_common.cli.console import fail, print_json
from electra_common.cli.frameworks import FRAMEWORKS, FrameworkMissingError
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.run import TrainingDivergedError
from electra_common.pretraining.settings import RunSettings

_NEEDED: Final = {"pt": "torch", "tf": "tensorflow"}
_STOPPED: Final = 143  # as a shell reports a program that SIGTERM ended


def run(*, framework: str | None, recipe: str, changes: list[str], as_json: bool, **options: Any) -> int:
    """Run; 0 if it reached its end, 1 if it diverged, 143 if it was asked to stop before."""
    settings = RunSettings(recipe=load_recipe(recipe).with_changes(changes), **options)
    family = choose_framework(framework)
    loop = importlib.import_module(f"electra_{family}.pretraining")
    try:
        state = loop.pretrain(settings)
    except TrainingDivergedError as error:
        fail(error)
        return 1
    if as_json:
        print_json({"out": str(settings.out), "framework": family, "step": state.step, "tokens": state.tokens})
    if state.step < settings.last_step:
        print(f"stopped at step {state.step}; the same command goes on from there", file=sys.stderr)
        return _STOPPED
    return 0


def choose_framework(name: str | None) -> str:
    """Return the framework asked for, or the first that is installed.

    Raises:
        ValueError: no such framework.
        FrameworkMissingError: it is not installed.
    """
    if name is not None and name not in FRAMEWORKS:
        raise ValueError(f"framework must be one of {', '.join(FRAMEWORKS)}, found {name!r}")
    for family in [name] if name else FRAMEWORKS:
        if find_spec(_NEEDED[family]) is not None:
            return family
    wanted = FRAMEWORKS[name] if name else "neither PyTorch nor TensorFlow"
    raise FrameworkMissingError(f"{wanted} is not installed; pip install 'electra-dual[{name or 'pt'}]'")
