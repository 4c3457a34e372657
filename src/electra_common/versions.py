"""Which versions of programs a result came from, for files and cards that others read later."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_NUMBERS: Final = ("electra-dual", "torch", "tensorflow", "tensorflow-cpu", "keras", "numpy", "tokenizers")
_MEASURES: Final = ("scikit-learn", "scipy", "seqeval")
_PROGRAMS: Final = (*_NUMBERS, *_MEASURES)


def installed_versions() -> dict[str, str]:
    """Return the versions of what decides the numbers, where it is installed; nothing is imported for it."""
    found = {"Python": platform.python_version()}
    for name in _PROGRAMS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
