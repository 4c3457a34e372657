"""Options that several commands have, and reading the values of those that are more than one word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from electra_common.weights.names import COMPONENTS

Heads = int | Mapping[str, int] | None
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def parse_heads(text: str | None) -> Heads:
    """Read ``4`` or ``discriminator=4,generator=1``; raises ValueError on anything else."""
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    result: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name in result:
            raise ValueError(f"--num-attention-heads: {name} stands there twice: {text!r}")
        if name not in COMPONENTS or not number.isdecimal():
            raise ValueError(
                f"--num-attention-heads: expected a number, or discriminator=4,generator=1; found {text!r}"
            )
        result[name] = int(number)
    return result


def check_sources(texts: Sequence[str], files: Sequence[str]) -> None:
    """Raise ValueError where texts and ``--file`` are both given."""
    if texts and files:
        raise ValueError("give either texts or --file, and not both")
