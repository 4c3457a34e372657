"""Stands in front of the real package on PYTHONPATH, so that a process behaves as if it were not installed."""

raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
