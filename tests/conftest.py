"""Which frameworks this run has. A test module that needs one says so with `pytest.importorskip` at its top."""

import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_HIDDEN = _TESTS / "without"
# What is tested here needs no framework, so `make test` runs it in the first of its two suites only.
_WITHOUT_FRAMEWORKS = (
    "architecture",
    "cli/test_commands.py",
    "cli/test_pretrain_plot.py",
    "cli/test_pretrain_prepare.py",
    "cli/test_tokenize.py",
    "common",
    "docs/test_pages.py",
    "reference/test_tokenizers_transformers.py",
)
_ASK = r"\b(importorskip\((?!\"transformers\")|is_installed\()"
_ASKS, _MODULE_ASKS = re.compile(_ASK), re.compile(rf"^\w.*{_ASK}", re.MULTILINE)


def is_installed(name):
    """Whether a package could be imported, without importing it; see tests/without for how one is hidden."""
    spec = importlib.util.find_spec(name)
    return spec is not None and _HIDDEN not in Path(spec.origin or "").parents


@cache
def _needs_no_framework(function, module):
    """Whether a test is about what needs no framework, and neither it nor its module asks which one is installed."""
    if not any(Path(module.__file__).is_relative_to(_TESTS / name) for name in _WITHOUT_FRAMEWORKS):
        return False
    return not (_ASKS.search(inspect.getsource(function)) or _MODULE_ASKS.search(inspect.getsource(module)))


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by marker
def pytest_collection_modifyitems(items):
    """Mark what needs to run in one suite only, and skip what needs both frameworks where one is missing."""
    missing = [name for name in ("torch", "tensorflow") if not is_installed(name)]
    for item in items:
        if missing and item.get_closest_marker("both"):
            item.add_marker(pytest.mark.skip(reason=f"{' and '.join(missing)} not installed"))
        if _needs_no_framework(item.function, item.module):
            item.add_marker(pytest.mark.once)
