"""Which frameworks this run has. A test module that needs one says so with `pytest.importorskip` at its top."""

import importlib.util
from pathlib import Path

import pytest

_HIDDEN = Path(__file__).parent / "without"


def is_installed(name):
    """Whether a package could be imported, without importing it; see tests/without for how one is hidden."""
    spec = importlib.util.find_spec(name)
    return spec is not None and _HIDDEN not in Path(spec.origin or "").parents


def pytest_collection_modifyitems(items):
    """Skip what needs both frameworks where one is missing."""
    missing = [name for name in ("torch", "tensorflow") if not is_installed(name)]
    for item in items:
        if missing and item.get_closest_marker("both"):
            item.add_marker(pytest.mark.skip(reason=f"{' and '.join(missing)} not installed"))
