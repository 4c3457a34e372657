"""Whether a file of a folder that came from somewhere else is really one of its own."""

from __future__ import annotations

import os
from pathlib import Path


def is_own_file(file: Path) -> bool:
    """Return whether a file is no link that leads out of its folder, which could make us read or copy anything.

    The Hub's cache is made of links to its own blobs; those are fine.
    """
    real, folder = Path(os.path.realpath(file)), Path(os.path.realpath(file.parent))  # a link may lead to itself
    return real.is_relative_to(folder) or real.is_relative_to(folder.parent.parent / "blobs")
