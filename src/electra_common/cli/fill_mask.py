"""``electra fill-mask``: what fits in the place of each ``[MASK]``."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from electra_common.applications.mask_filling import FilledText
from electra_common.cli.answers import answer_texts, find_model, make_job
from electra_common.cli.console import make_console, make_table, print_json
from electra_common.cli.frameworks import FRAMEWORKS
from electra_common.cli.options import Heads


def fill_mask(
    texts: list[str],
    *,
    model: str | None,
    tokenizer: str | None,
    heads: Heads,
    framework: str | None,
    top: int,
    as_json: bool,
) -> int:
    """Print a table of candidates for each mask, and each text with the likeliest ones put in."""
    source = find_model("fill-mask", model, tokenizer=tokenizer, heads=heads)
    used, result = answer_texts(make_job("fill-mask", source, texts, {"top": top}), framework=framework)
    if as_json:
        print_json({"model": source.path, "framework": used, "texts": list(result.answers)})
        return 0
    console = make_console()
    for answer in result.answers:
        print_filled(console, FilledText.from_data(answer))
    console.print(f"[dim]{escape(source.path)} in {FRAMEWORKS[used]}[/]", soft_wrap=True)
    return 0


def print_filled(console: Console, filled: FilledText) -> None:
    """Print a table of candidates for each mask of a text, and the text with the likeliest ones put in."""
    for number, mask in enumerate(filled.masks, 1):
        name = "mask" if len(filled.masks) == 1 else f"mask {number} of {len(filled.masks)}"
        table = make_table("", f"{name}, character {mask.start}", "#probability", "#id")
        for candidate in mask.candidates:
            table.add_row(escape(candidate.token), f"{candidate.probability:.4f}", str(candidate.id))
        console.print(table)
    console.print(f"{filled.filled}\n", markup=False, soft_wrap=True)
