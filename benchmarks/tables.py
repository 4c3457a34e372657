"""Tables of what was measured."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.conversion import Converted
from benchmarks.fine_tuning import FineTuning, Trained
from benchmarks.inference import Compared, Settings, Work
from benchmarks.measure import Measured, ratios
from benchmarks.networks import TITLES
from benchmarks.prediction import Prediction, texts_a_second
from benchmarks.pretraining_data import PEER, PEER_BATCHED, Prepared
from benchmarks.tokenization import Tokenizing
from electra_common.cli.console import make_table


def print_inference(console: Console, compared: list[Compared], settings: Settings, where: str) -> None:
    """Print sentences, calls or rows a second of ours and of peers."""
    for item in compared:
        title = f"ELECTRA-{item.size.title()} on {settings.sentences.name}, {where}"
        columns = ("ours", "#a second", "beside", "#a second", "#times as fast", "#share of matrix speed", "#peak MB")
        table = make_table(title, "", *columns)
        for work in item.works:
            table.add_row(work.name, *_figures(work))
        console.print(table)
        console.print(
            f"{item.real_tokens:.0%} of the batches' places hold real tokens"
            + ("" if item.difference is None else f"; logits differ by {item.difference:.1e} at most")
        )


def print_pretraining(console: Console, works: Sequence[Work], settings: Settings) -> None:
    """Print rows a second."""
    title = f"pre-training, ELECTRA-Small, batches of 8 x 128, {settings.threads} threads ({machine()})"
    columns = ("ours", "#rows a second", "beside", "#rows a second", "#times as fast")
    table = make_table(title, "the composition …", *columns)
    for work in works:
        table.add_row(work.name, *_figures(work)[:5])
    console.print(table)


def print_fine_tuning(console: Console, result: FineTuning, threads: int) -> None:
    """Print what an epoch took, and what the network then knew."""
    texts, settings = result.texts, result.settings
    title = (
        f"fine-tuning {TITLES[result.network]} on {len(texts.train):,} texts of {texts.name}, batches of "
        f"{settings['batch_size']}, epochs: {settings['epochs']:g}, {threads} threads ({machine()})"
    )
    columns = ("#seconds an epoch", "#ours is times as fast", "#accuracy", "#ours is higher by", "#peak MB")
    table = make_table(title, "", *columns)
    ours, *peers = result.programs
    table.add_row(*_trained(ours), "", _accuracy(ours), "", f"{ours.megabytes:.0f}")
    for peer in peers:
        speedup = _spread(peer.speedup(ours))
        difference, error = peer.difference(ours)
        higher = f"{difference:+.4f}" if error is None else f"{difference:+.4f} ± {error:.4f}"
        table.add_row(*_trained(peer), speedup, _accuracy(peer), higher, f"{peer.megabytes:.0f}")
    console.print(table)
    versions = ", ".join(f"{name} {version}" for name, version in peers[0].versions.items())
    console.print(
        f"accuracy on {len(texts.held_out):,} held-out texts of {len(texts.labels)} classes: mean and deviation of "
        f"{len(ours.accuracy)} seeds, then the difference of means and its standard error; the Trainer's: {versions}"
    )


def _trained(program: Trained) -> tuple[str, str]:
    return program.program, f"{statistics.median(program.seconds):.1f}"


def _accuracy(program: Trained) -> str:
    mean = f"{statistics.fmean(program.accuracy):.4f}"
    return mean if len(program.accuracy) < 2 else f"{mean} ± {statistics.stdev(program.accuracy):.4f}"


def print_prediction(console: Console, result: Prediction, sentences: Path, threads: int) -> None:
    """Print how many texts were answered in a second."""
    title = (
        f"{result.texts:,} texts of {sentences.name} classified by {TITLES[result.network]}, "
        f"{threads} threads ({machine()})"
    )
    table = make_table(title, "", "#texts a second", "#seconds in all", "#ours is times as fast", "#peak MB")
    for number, program in enumerate(result.programs):
        speedup = _spread(result.speedup(program)) if number else ""
        speed = f"{texts_a_second(program, result.texts):.1f}"
        table.add_row(program.program, speed, f"{sum(program.seconds):.1f}", speedup, f"{program.megabytes:.0f}")
    console.print(table)
    console.print(
        f"{result.labels} different labels; {result.other_labels} differ between programs; "
        f"probabilities differ by {result.difference:.1e} at most"
    )
    for program in result.programs[1:]:
        tried = ", ".join(f"{size}: {speed:.1f}" for size, speed in program.tried.items())
        console.print(f"{program.program}: texts a second by batch_size, tried before: {tried}")


def _figures(work: Work) -> tuple[str, ...]:
    """Ours and the peer's beside each other: sentences, calls or rows a second, and so on."""
    ours, theirs = (work.items / seconds for seconds in work.seconds)
    return (
        work.programs[0],
        f"{ours:.1f}",
        work.programs[1],
        f"{theirs:.1f}",
        _spread(work.speedup),
        "" if work.shares is None else "{:.2f}, {:.2f}".format(*work.shares),
        "" if work.megabytes is None else "{:.0f}, {:.0f}".format(*work.megabytes),
    )


def print_tokenization(console: Console, results: list[Tokenizing], corpus: Path) -> None:
    """Print speed, latency and memory."""
    title = f"tokenizing {corpus.name}, ratios to transformers ({machine()})"
    table = make_table(title, "", "#MB/s", "#ratio", "#µs for a short text", "#ratio", "#bytes kept a token", "#ratio")
    for item in results:
        table.add_row(
            item.name,
            f"{item.megabytes_per_second:.1f}",
            _spread(item.throughput_ratio),
            f"{item.microseconds:.1f}",
            _spread(item.latency_ratio),
            f"{item.bytes_per_token:.0f}",
            f"{item.memory_ratio:.2f}",
        )
    console.print(table)


def print_preparation(console: Console, results: list[Prepared], corpus: Path, megabytes: int) -> None:
    """Print tokens a second."""
    title = f"preparing {megabytes} MiB of {corpus.name}, {results[0].tokens:,} tokens ({machine()})"
    columns = ("#processes", "#tokens/s", "#of a processor", "#times line by line", "#times by the thousand")
    table = make_table(title, "", *columns)
    for item in results:
        speeds = [item.tokens / statistics.median(clock) for clock in (item.seconds, item.processor_seconds)]
        times = []
        for kind in (PEER, PEER_BATCHED):
            (peer,) = (other for other in results if (other.kind, other.processes) == (kind, item.processes))
            ratio = item.speedups(peer)
            texts = (_spread(ratio[name]) for name in ("wall", "processors"))
            times.append("wall {}\nprocessor {}".format(*texts))
        table.add_row(item.kind, str(item.processes), *(f"{speed:,.0f}" for speed in speeds), *times)
    console.print(table)


def print_conversions(console: Console, converted: list[Converted], inspecting: float) -> None:
    """Print what each pair of forms costs."""
    title = f"ELECTRA-Large, 1.34 GB ({machine()})"
    table = make_table(title, "from", "to", "#seconds per GB", "#times a file copy", "#MB beyond the interpreter")
    for item in converted:
        numbers = (f"{item.seconds_per_gigabyte:.1f}", f"{item.copies:.1f}", f"{item.megabytes:.0f}")
        table.add_row(item.source, item.target, *numbers)
    console.print(table)
    console.print(f"electra inspect --no-fingerprint: {inspecting:.2f} s")


def as_data(item: Measured, results: Mapping[str, Measured]) -> dict[str, Any]:
    """Return a subject's figures, beside its peer's, as plain JSON values."""
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


def print_loading(console: Console, results: Mapping[str, Measured]) -> None:
    """Print seconds from the start of a process."""
    table = make_table(
        f"medians ({machine()})", "what", "#seconds", "#peak MB", "beside", "#time ratio", "#memory ratio"
    )
    for item in results.values():
        data = as_data(item, results)
        row = [data["name"], f"{data['seconds']:.2f}", f"{data['megabytes']:.0f}"]
        if "peer" in data:
            row += [data["peer"], _spread(data["time_ratio"]), f"{data['memory_ratio'][1]:.2f}"]
        table.add_row(*row)
    console.print(table)
    extra = as_data(results["import electra_common"], results)["seconds_more"]
    console.print(f"import electra_common adds {extra:.3f} s to import numpy")


def machine() -> str:
    """Return what this runs on."""
    return f"{platform.machine()}, {len(_processors())} processors, Python {platform.python_version()}"


def machine_with_threads(threads: int) -> str:
    """Return what this runs on, and how many threads models are given."""
    return f"{threads} threads ({machine()})"


def _processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _spread(ratio: tuple[float, float, float]) -> str:
    least, middle, most = ratio
    return f"{middle:.2f} ({least:.2f} to {most:.2f})"
