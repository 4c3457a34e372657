"""``electra pretrain export``: both networks of a run as folders of their own."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from electra_common.cli.console import make_console, make_table, print_json
from electra_common.pretraining.export import ExportNotes, export_run


def export(run: Path, out: Path, *, dtype: str | None, notes: ExportNotes, overwrite: bool, as_json: bool) -> int:
    """Export, then print what was written where."""
    done = export_run(run, out, dtype=dtype, notes=notes, overwrite=overwrite)
    if as_json:
        written = {item.component: {"folder": str(item.folder), "fingerprint": item.fingerprint_after} for item in done}
        print_json({"run": str(run), "written": written})
        return 0
    table = make_table("", "network", "folder", "class", "fingerprint")
    for item in done:
        table.add_row(item.component, escape(str(item.folder)), escape(item.architecture), item.fingerprint_after)
    make_console().print(table)
    return 0
