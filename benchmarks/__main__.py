"""``python -m benchmarks [loading] [conversion] [--rounds N] [--json]``: time and memory that users feel."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from benchmarks.conversion import Converted, inspect_seconds, make_large, measure_conversions
from benchmarks.measure import Measured, ratios, run_in_turn
from benchmarks.subjects import first_logits, imports
from electra_common.cli.console import make_console, make_table

# An ELECTRA-Base with new weights: size, not content, decides how long loading takes.
_MAKE_BASE = """
import sys, electra_pt
electra_pt.ElectraForPreTraining(electra_pt.ElectraConfig.preset("base-discriminator")).save_pretrained(sys.argv[1])
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["loading", "conversion"], help="loading, conversion, or both")
    parser.add_argument("--rounds", type=int, default=7, help="measured runs of each program (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data: dict[str, Any] = {"machine": _machine()}
    with TemporaryDirectory(prefix="electra-bench-") as name:
        if "loading" in options.parts:
            folder = str(Path(name) / "base")
            subprocess.run([sys.executable, "-c", _MAKE_BASE, folder], check=True)
            results = run_in_turn((*first_logits(folder), *imports()), options.rounds)
            data["loading"] = [_as_data(item, results) for item in results.values()]
            if not options.json:
                _print(make_console(), results)
        if "conversion" in options.parts:
            make_large(Path(name) / "large")
            converted = measure_conversions(Path(name), Path(name) / "large")
            data |= {"conversion": [vars(item) for item in converted], "inspect": inspect_seconds(Path(name) / "large")}
            if not options.json:
                _print_conversions(make_console(), converted, data["inspect"])
    if options.json:
        print(json.dumps(data))


def _print_conversions(console: Console, converted: list[Converted], inspecting: float) -> None:
    title = f"ELECTRA-Large, 1.34 GB ({_machine()})"
    table = make_table(title, "from", "to", "#seconds per GB", "#times a file copy", "#MB beyond the interpreter")
    for item in converted:
        numbers = (f"{item.seconds_per_gigabyte:.1f}", f"{item.copies:.1f}", f"{item.megabytes:.0f}")
        table.add_row(item.source, item.target, *numbers)
    console.print(table)
    console.print(f"electra inspect --no-fingerprint: {inspecting:.2f} s")


def _machine() -> str:
    return f"{platform.machine()}, {len(_processors())} processors, Python {platform.python_version()}"


def _processors() -> set[int]:
    import os

    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _as_data(item: Measured, results: Mapping[str, Measured]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": item.subject.name,
        "seconds": statistics.median(item.seconds),
        "megabytes": statistics.median(item.megabytes),
    }
    if item.subject.peer is not None:
        peer = results[item.subject.peer]
        data |= {
            "peer": peer.subject.name,
            "time_ratio": ratios(item.seconds, peer.seconds),
            "memory_ratio": ratios(item.megabytes, peer.megabytes),
            "seconds_more": statistics.median(a - b for a, b in zip(item.seconds, peer.seconds, strict=True)),
        }
    return data


def _print(console: Console, results: Mapping[str, Measured]) -> None:
    table = make_table(
        f"medians ({_machine()})", "what", "#seconds", "#peak MB", "beside", "#time ratio", "#memory ratio"
    )
    for item in results.values():
        data = _as_data(item, results)
        row = [data["name"], f"{data['seconds']:.2f}", f"{data['megabytes']:.0f}"]
        if "peer" in data:
            least, middle, most = data["time_ratio"]
            time_ratio = f"{middle:.2f} ({least:.2f} to {most:.2f})"
            row += [data["peer"], time_ratio, f"{data['memory_ratio'][1]:.2f}"]
        table.add_row(*row)
    console.print(table)
    extra = _as_data(results["import electra_common"], results)["seconds_more"]
    console.print(f"import electra_common adds {extra:.3f} s to import numpy")


if __name__ == "__main__":
    main()
