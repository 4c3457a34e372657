"""``python -m benchmarks [PARTS]``: time and memory, side by side with other programs."""

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
from benchmarks.inference import SIZES, Compared, Settings, Work, measure_inference
from benchmarks.measure import Measured, ratios, run_in_turn
from benchmarks.pretraining import measure_pretraining
from benchmarks.pretraining_data import PEER, PEER_BATCHED, Prepared, measure_preparation
from benchmarks.subjects import first_logits, imports
from benchmarks.tensorflow_inference import measure_tensorflow
from benchmarks.tokenization import Tokenizing, measure_tokenizing
from electra_common.cli.console import make_console, make_table
from electra_common.cli.demo_files import ENGLISH, VOCABULARY

# An ELECTRA-Base with new weights: size, not content, decides how long loading takes.
_MAKE_BASE = """
import sys, electra_pt
electra_pt.ElectraForPreTraining(electra_pt.ElectraConfig.preset("base-discriminator")).save_pretrained(sys.argv[1])
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"{', '.join(PARTS)}; by default all")
    parser.add_argument(
        "--corpus",
        type=Path,
        help="text, for tokenization one a line and by default what the package has; pretraining-data needs one",
    )
    parser.add_argument(
        "--sentences", type=Path, help="sentences for inference, one a line or CoNLL-U; by default what the package has"
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="models for inference")
    parser.add_argument("--batches", type=int, default=16, help="batches of 32 sentences for inference (default 16)")
    parser.add_argument("--megabytes", type=int, default=20, help="of the corpus for pretraining-data (default 20)")
    parser.add_argument("--threads", type=int, default=2, help="threads for inference (default 2)")
    parser.add_argument(
        "--shared-machine",
        action="store_true",
        help="for inference, count the processor's time in place of the wall's, with one thread: others run beside",
    )
    parser.add_argument(
        "--compiled-peer",
        action="store_true",
        help="for inference, put the short sentence beside transformers under torch.compile too",
    )
    parser.add_argument(
        "--transformers-4",
        type=Path,
        default=Path(".venv-transformers-4/bin/python"),
        help="for tensorflow, a Python with transformers 4.57.6; make check-transformers-4 makes the default one",
    )
    parser.add_argument("--rounds", type=int, default=7, help="measured runs of each program (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data: dict[str, Any] = {"machine": _machine()}
    console = Console(quiet=True) if options.json else make_console()
    with TemporaryDirectory(prefix="electra-bench-") as name:
        for part, measure in PARTS.items():
            if part in options.parts:
                data |= measure(options, Path(name), console)
    if options.json:
        print(json.dumps(data))


def _loading(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    base = str(folder / "base")
    subprocess.run([sys.executable, "-c", _MAKE_BASE, base], check=True)
    results = run_in_turn((*first_logits(base), *imports()), options.rounds)
    _print(console, results)
    return {"loading": [_as_data(item, results) for item in results.values()]}


def _conversion(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    make_large(folder / "large")
    converted = measure_conversions(folder, folder / "large")
    seconds = inspect_seconds(folder / "large")
    _print_conversions(console, converted, seconds)
    return {"conversion": [vars(item) for item in converted], "inspect": seconds}


def _tokenization(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    corpus = options.corpus or _repeated(ENGLISH, folder / "corpus.txt")
    tokenized = measure_tokenizing(corpus, VOCABULARY, options.rounds)
    _print_tokenization(console, tokenized, corpus)
    return {"tokenization": [vars(item) for item in tokenized]}


def _pretraining_data(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    if options.corpus is None:
        print("pretraining-data is left out: it needs --corpus, for text that repeats tells nothing", file=sys.stderr)
        return {}
    folder = folder / "pretraining-data"
    folder.mkdir()
    prepared = measure_preparation(
        options.corpus, folder, VOCABULARY, megabytes=options.megabytes, rounds=options.rounds
    )
    _print_preparation(console, prepared, options)
    return {"pretraining-data": [vars(item) for item in prepared]}


def _inference(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    compared = [measure_inference(size, folder / size, _settings(options)) for size in options.sizes]
    _print_inference(console, compared, _settings(options))
    return {"inference": [{**vars(item), "works": [vars(work) for work in item.works]} for item in compared]}


def _tensorflow(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    if not options.transformers_4.exists():
        print(f"tensorflow is left out: there is no {options.transformers_4}", file=sys.stderr)
        return {}
    compared = [
        measure_tensorflow(size, folder / f"tf-{size}", options.transformers_4, _settings(options))
        for size in options.sizes
    ]
    _print_inference(console, compared, _settings(options))
    return {"tensorflow": [{**vars(item), "works": [vars(work) for work in item.works]} for item in compared]}


def _pretraining_step(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    works = measure_pretraining(folder / "pretraining-step", _settings(options))
    _print_pretraining(console, works, _settings(options))
    return {"pretraining-step": [vars(work) for work in works]}


PARTS = {
    "loading": _loading,
    "conversion": _conversion,
    "tokenization": _tokenization,
    "pretraining-data": _pretraining_data,
    "pretraining-step": _pretraining_step,
    "inference": _inference,
    "tensorflow": _tensorflow,
}


def _repeated(text: Path, target: Path) -> Path:
    """Make a corpus of 10 MB by repeating a small text; words repeat, which is kind to tokenizers with a cache."""
    content = text.read_text(encoding="utf-8")
    target.write_text(content * ((11 << 20) // len(content)), encoding="utf-8")
    return target


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        sentences=options.sentences or ENGLISH,
        vocabulary=VOCABULARY,
        batches=options.batches,
        rounds=options.rounds,
        threads=1 if options.shared_machine else options.threads,
        is_shared=options.shared_machine,
        compiles=options.compiled_peer,
    )


def _print_inference(console: Console, compared: list[Compared], settings: Settings) -> None:
    for item in compared:
        title = f"ELECTRA-{item.size.title()} on {settings.sentences.name}, {settings.threads} threads ({_machine()})"
        columns = ("ours", "#a second", "beside", "#a second", "#times as fast", "#share of matrix speed", "#peak MB")
        table = make_table(title, "", *columns)
        for work in item.works:
            table.add_row(work.name, *_figures(work))
        console.print(table)
        console.print(
            f"{item.real_tokens:.0%} of the batches' places hold real tokens; "
            f"logits differ by {item.difference:.1e} at most"
        )


def _print_pretraining(console: Console, works: tuple[Work, ...], settings: Settings) -> None:
    title = f"pre-training, ELECTRA-Small, batches of 8 x 128, {settings.threads} threads ({_machine()})"
    columns = ("ours", "#rows a second", "beside", "#rows a second", "#times as fast")
    table = make_table(title, "the composition …", *columns)
    for work in works:
        table.add_row(work.name, *_figures(work)[:5])
    console.print(table)


def _figures(work: Work) -> tuple[str, ...]:
    """Ours and the peer's beside each other: sentences, calls or rows a second, and so on."""
    ours, theirs = (work.items / seconds for seconds in work.seconds)
    least, middle, most = work.speedup
    return (
        work.programs[0],
        f"{ours:.1f}",
        work.programs[1],
        f"{theirs:.1f}",
        f"{middle:.2f} ({least:.2f} to {most:.2f})",
        "" if work.shares is None else "{:.2f}, {:.2f}".format(*work.shares),
        "" if work.megabytes is None else "{:.0f}, {:.0f}".format(*work.megabytes),
    )


def _print_tokenization(console: Console, results: list[Tokenizing], corpus: Path) -> None:
    title = f"tokenizing {corpus.name}, ratios to transformers ({_machine()})"
    table = make_table(title, "", "#MB/s", "#ratio", "#µs for a short text", "#ratio", "#bytes kept a token", "#ratio")
    for item in results:
        least, middle, most = item.throughput_ratio
        lowest, usual, highest = item.latency_ratio
        table.add_row(
            item.name,
            f"{item.megabytes_per_second:.1f}",
            f"{middle:.2f} ({least:.2f} to {most:.2f})",
            f"{item.microseconds:.1f}",
            f"{usual:.2f} ({lowest:.2f} to {highest:.2f})",
            f"{item.bytes_per_token:.0f}",
            f"{item.memory_ratio:.2f}",
        )
    console.print(table)


def _print_preparation(console: Console, results: list[Prepared], options: argparse.Namespace) -> None:
    title = f"preparing {options.megabytes} MiB of {options.corpus.name}, {results[0].tokens:,} tokens ({_machine()})"
    columns = ("#processes", "#tokens/s", "#of a processor", "#times line by line", "#times by the thousand")
    table = make_table(title, "", *columns)
    for item in results:
        speeds = [item.tokens / statistics.median(clock) for clock in (item.seconds, item.processor_seconds)]
        times = []
        for kind in (PEER, PEER_BATCHED):
            (peer,) = (other for other in results if (other.kind, other.processes) == (kind, item.processes))
            ratio = item.speedups(peer)
            texts = ("{1:.2f} ({0:.2f} to {2:.2f})".format(*ratio[name]) for name in ("wall", "processors"))
            times.append("wall {}\nprocessor {}".format(*texts))
        table.add_row(item.kind, str(item.processes), *(f"{speed:,.0f}" for speed in speeds), *times)
    console.print(table)


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
