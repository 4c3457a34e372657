"""Pieces of Markdown for model cards: headings, tables and code in which nothing that was given becomes markup.

What it is for: whatever a label, a file name or a command holds, a card reads as it was meant.
What it is not: the words of a card (:mod:`electra_common.pretraining.model_card`, :mod:`electra_common.tasks.card`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

# What means something wherever it stands; an underscore between letters means nothing.
_MARKUP: Final = re.compile(r"[\\`*{}\[\]<>|#$~&!]|(?<![^\W_])_|_(?![^\W_])")
# What begins a list or a rule at the start of a paragraph.
_BLOCK_START: Final = re.compile(r"^([-+](?=[\s-]|$)|=+(?=$)|\d{1,9}(?=[.)](?:\s|$)))")
_NOT_TEXT: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_UNICODE: Final = re.compile(r"[\ud800-\udfff\ufffe\uffff]")
# YAML knows more ends of lines than JSON, and takes no other control characters.
_NOT_YAML: Final = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff]")


def front_matter(fields: Mapping[str, Any]) -> str:
    """Return what the Hub reads at the top of a card, as YAML; fields that are empty or None are left out."""
    lines = [f"{name}: {_yaml(value)}" for name, value in fields.items() if value]
    return "\n".join(["---", *lines, "---"])


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table; an empty text where it would have no rows.

    Args:
        columns: the names of the columns.
        rows: the cells: texts as they are, whole numbers with commas, everything else as JSON.
    """
    if not rows or not columns:
        return ""
    lines = [map(one_line, columns), ["---"] * len(columns), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def one_line(text: str) -> str:
    """Return a text as one line in which nothing is taken for Markdown or HTML."""
    plain = _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    escaped = _MARKUP.sub(r"\\\g<0>", plain)
    found = _BLOCK_START.match(escaped)
    if found is None:
        return escaped
    place = found.end() if found[0].isdigit() else 0  # "1." begins a list; of it only the point can be escaped
    return f"{escaped[:place]}\\{escaped[place:]}"


def fenced(text: str, language: str) -> str:
    """Return a block of code, an empty text where there is none; its fence is longer than any in the text."""
    if not text:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return ``(name, value)`` of nested mappings, names joined by dots."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        rows += flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return rows


def check_picture(name: str | None) -> None:
    """Raise ValueError unless a picture's name is that of a file beside the card, or None."""
    if name is not None and not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"expected the plain name of a file beside the card, found {name!r}")


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _yaml(value: Any) -> str:
    """Return JSON that is YAML too: escapes that JSON writes for a character beyond 16 bits are two in YAML."""
    text = _NOT_UNICODE.sub("\N{REPLACEMENT CHARACTER}", json.dumps(value, ensure_ascii=False))
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
