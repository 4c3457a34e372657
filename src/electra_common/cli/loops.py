"""The module of a framework that does long work in this process, such as a training loop."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Final

from electra_common.cli.frameworks import FRAMEWORKS, missing_error
from electra_common.cli.worker import NEEDED

STOPPED: Final = 143  # as a shell reports a program that SIGTERM ended


def load_module(framework: str | None, name: str) -> tuple[str, ModuleType]:
    """Return the framework asked for, or the first that is installed, and a module of its family.

    Args:
        framework: ``"pt"``, ``"tf"``, or None.
        name: of the module, which both families have.

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
            return family, importlib.import_module(f"electra_{family}.{name}")
        except ModuleNotFoundError as error:
            if error.name not in NEEDED[family]:
                raise
    raise missing_error(wanted)
