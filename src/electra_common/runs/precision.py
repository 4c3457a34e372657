"""What layers may compute in during a run; weights and losses are float32 in all of them."""

from __future__ import annotations

from typing import Final

PRECISIONS: Final = ("float32", "bfloat16")


def check_precision(precision: str) -> None:
    """Raise ValueError unless layers can compute in a precision."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, found {precision!r}")
