"""Texts for a terminal, which obeys control characters wherever they come from."""

from __future__ import annotations

import re
from typing import Final

# C0 without line end and tab, delete, C1, and halves of a pair that stand alone.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """Return a text with a sign in the place of each control character, which a terminal would obey."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
