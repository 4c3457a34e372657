"""``electra convert``: from any readable form to a folder, with proof."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from electra_common.cli.console import byte_progress, make_console, make_table, print_json
from electra_common.cli.inspect import ASSUMED_HEADS, config_source
from electra_common.cli.options import Heads
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import Conversion, convert_checkpoint


def convert(
    source: str,
    target: Path,
    *,
    component: str | None,
    format: str,
    dtype: str | None,
    max_shard_size: int | None,
    heads: Heads,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Convert, then print what was written where, with the fingerprints of before and after."""
    # Opened before: the new folder may take the place of the source.
    opened = open_checkpoint(source, verify=False)
    config_from = {name: config_source(opened, item, heads) for name, item in opened.components.items()}
    with byte_progress("writing and verifying", shown=not as_json) as update:
        done = convert_checkpoint(
            source,
            target,
            component=component,
            format=format,
            dtype=dtype,
            max_shard_size=max_shard_size,
            num_attention_heads=heads,
            overwrite=overwrite,
            progress=update,
        )
    if as_json:
        written = [_as_data(item, config_from[item.component]) for item in done]
        print_json({"source": source, "format": format, "written": written})
        return 0
    title = "fingerprint before = after" if dtype is None else "fingerprint after"
    table = make_table("", "network", "folder", "class", title)
    for item in done:
        table.add_row(item.component, escape(str(item.folder)), escape(item.architecture), item.fingerprint_after)
    console = make_console()
    console.print(table)
    if assumed := [item.component for item in done if config_from[item.component] == ASSUMED_HEADS]:
        console.print(
            f"config.json of the {' and the '.join(assumed)}: heads assumed to be hidden size // 64, for the source "
            "does not tell them; if there are more or fewer, convert with --num-attention-heads",
            soft_wrap=True,
        )
    if dtype is not None:
        console.print(f"weights changed by {max(item.rounding_error for item in done):.3g} at most, rounded to {dtype}")
    return 0


def _as_data(item: Conversion, config_from: str) -> dict[str, object]:
    return {
        "component": item.component,
        "folder": str(item.folder),
        "architecture": item.architecture,
        "config_from": config_from,
        "fingerprint_before": item.fingerprint_before,
        "fingerprint_after": item.fingerprint_after,
        "unchanged": item.unchanged,
        "rounding_error": item.rounding_error,
        "leftovers": item.report.leftover_reasons(),
    }
