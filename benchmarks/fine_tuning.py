"""Fine-tuning beside the Trainer of transformers: seconds of an epoch on real sentences, and what the model then knows.

Both train a classifier of the same network with the same batches' size, rates, dropout and epochs, in a process each,
seed by seed in turns. Ours puts rows of like length together, as is its default; the Trainer does if asked to.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ratios
from benchmarks.networks import make_encoder
from benchmarks.workers import open_worker
from electra_common.tasks.examples import TextExample
from electra_common.tasks.readers.read import read_examples
from electra_common.tasks.settings import settings_for
from electra_common.tasks.task import find_task

OURS: Final = "ours"
PEERS: Final = {"peer": "Trainer", "peer-by-length": "Trainer, group_by_length"}
NAMES: Final = {OURS: "electra_pt", **PEERS}
DEFAULT_TEXTS: Final = Path(__file__).resolve().parent.parent / "tests/fixtures/fine_tuning/banking77.csv"
_HELD_OUT: Final = 5  # one text of so many, where no file of held-out texts is named
_WARM_UP_ROWS: Final = 96
_NEEDED: Final = ("torch", "transformers", "accelerate")


@dataclass(frozen=True)
class Texts:
    """Texts with labels, as (text, label): those to learn from, and those to measure on."""

    name: str
    train: tuple[tuple[str, str], ...]
    held_out: tuple[tuple[str, str], ...]

    @property
    def labels(self) -> list[str]:
        """The classes, in the order of their numbers."""
        return sorted({label for _, label in self.train})


@dataclass(frozen=True)
class How:
    """How it is measured.

    Attributes:
        peer_python: the interpreter that runs the Trainer.
        by_length: also let the Trainer put rows of like length together.
        seeds: a training each.
        epochs: of each training.
        learning_rate: the peak; None for ours of the network's size.
        threads: of each process.
        is_shared: count the processor's time in place of the wall's.
        own_updates: let ours have ELECTRA's Adam and schedule, which are not the Trainer's.
    """

    peer_python: Path
    by_length: bool
    seeds: int
    epochs: float
    learning_rate: float | None
    threads: int
    is_shared: bool
    own_updates: bool = False


@dataclass(frozen=True)
class Trained:
    """What one program came to, a number for each seed.

    Attributes:
        program: its name.
        seconds: of an epoch.
        accuracy: on the held-out texts, after the last epoch.
        megabytes: the peak of its process.
        versions: of libraries in it.
    """

    program: str
    seconds: tuple[float, ...]
    accuracy: tuple[float, ...]
    megabytes: float
    versions: Mapping[str, str]

    def speedup(self, ours: Trained) -> tuple[float, float, float]:
        """Return how many times as fast ours is, seed by seed: least, median, greatest."""
        return ratios(self.seconds, ours.seconds)

    def difference(self, ours: Trained) -> tuple[float, float | None]:
        """Return by how much ours is more accurate, and the standard error of that; None where there is one seed."""
        difference = statistics.fmean(ours.accuracy) - statistics.fmean(self.accuracy)
        if len(self.accuracy) < 2:
            return difference, None
        variances = (statistics.variance(item.accuracy) / len(item.accuracy) for item in (self, ours))
        return difference, sum(variances) ** 0.5


@dataclass(frozen=True)
class FineTuning:
    """All programs on one network, ours first."""

    network: str
    texts: Texts
    settings: Mapping[str, Any]
    programs: tuple[Trained, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the texts, as plain JSON values."""
        ours, *peers = self.programs
        beside = [
            {"beside": peer.program, "speedup": peer.speedup(ours), "more_accurate": peer.difference(ours)}
            for peer in peers
        ]
        return {
            "network": self.network,
            "texts": self.texts.name,
            "train": len(self.texts.train),
            "held_out": len(self.texts.held_out),
            "settings": self.settings,
            "programs": [vars(program) for program in self.programs],
            "compared": beside,
        }


def missing_in(python: Path) -> str:
    """Return what of the Trainer's needs an environment has not, by name; an empty text where it has all."""
    code = f"from importlib.util import find_spec; print(*(n for n in {_NEEDED} if find_spec(n) is None), sep=', ')"
    try:
        return subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "interpreter"


def read_texts(task_name: str, file: Path, held_out: Path | None, most: int | None) -> Texts:
    """Read texts with labels; without a file of held-out ones, every fifth text is held out.

    Args:
        task_name: of a task that classifies single texts; says in which columns they stand.
        file: to learn from.
        held_out: to measure on.
        most: how many to learn from, taken evenly from the file; None for all.

    Raises:
        ValueError: the task is another kind, or a file cannot be read.
    """
    pairs = _read(task_name, file)
    if held_out is None:
        measured = pairs[_HELD_OUT - 1 :: _HELD_OUT]
        pairs = [pair for number, pair in enumerate(pairs) if number % _HELD_OUT != _HELD_OUT - 1]
    else:
        measured = _read(task_name, held_out)
    if most is not None and most < len(pairs):
        pairs = [pairs[number * len(pairs) // most] for number in range(most)]
    known = {label for _, label in pairs}
    return Texts(file.name, tuple(pairs), tuple(pair for pair in measured if pair[1] in known))


def _read(task_name: str, file: Path) -> list[tuple[str, str]]:
    task = find_task(task_name)
    pairs = []
    for example in read_examples(task, file):
        if not isinstance(example, TextExample) or not isinstance(example.label, str) or example.text_pair is not None:
            raise ValueError(f"{example.place}: expected a single text with a class; choose such a task with --task")
        pairs.append((example.text, example.label))
    return pairs


def measure_fine_tuning(network: str, folder: Path, vocabulary: Path, texts: Texts, how: How) -> FineTuning:
    """Train with all programs in turns.

    Args:
        network: one of :data:`benchmarks.networks.NETWORKS`.
        folder: for files, made here.
        vocabulary: of a network with new weights.
        texts: to learn from, and to measure on.
        how: seeds, epochs, threads and so on.

    Raises:
        RuntimeError: a process ended.
    """
    settings = prepare(network, folder, vocabulary, texts, how)
    sides = [side for side in NAMES if side != "peer-by-length" or how.by_length]
    clock = "processor" if how.is_shared else "wall"
    with ExitStack() as stack:
        workers = {
            side: stack.enter_context(
                open_worker(
                    sys.executable if side == OURS else how.peer_python,
                    "fine_tuning_worker", side, folder, how.threads, clock,
                )
            )
            for side in sides
        }  # fmt: skip
        for worker in workers.values():
            worker.ask("warm-up", "warm-up.jsonl")
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for seed in range(how.seeds):
            for side, worker in workers.items():
                found[side].append(worker.ask("train", "train.jsonl", seed))
        programs = tuple(
            Trained(
                NAMES[side],
                tuple(run["seconds"] / settings["epochs"] for run in found[side]),
                tuple(run["accuracy"] for run in found[side]),
                worker.ask("memory"),
                worker.ask("versions"),
            )
            for side, worker in workers.items()
        )
    return FineTuning(network, texts, settings, programs)


def prepare(network: str, folder: Path, vocabulary: Path, texts: Texts, how: How) -> dict[str, Any]:
    """Write what both sides read, and return the settings; arguments as of :func:`measure_fine_tuning`."""
    folder.mkdir(parents=True)
    make_encoder(network, folder / "network", vocabulary)
    changes = _changes(how)
    settings = _settings(folder / "network", changes)
    given = {**settings, "labels": texts.labels, "changes": changes}
    (folder / "settings.json").write_text(json.dumps(given), encoding="utf-8")
    _write(folder / "train.jsonl", texts.train)
    _write(folder / "warm-up.jsonl", texts.train[:_WARM_UP_ROWS])
    _write(folder / "held-out.jsonl", texts.held_out)
    return settings


def _changes(how: How) -> list[str]:
    """Return what differs from our usual settings: what the Trainer has not, and what it does otherwise."""
    rate = [] if how.learning_rate is None else [f"learning_rate={how.learning_rate}"]
    updates = [] if how.own_updates else ["adam_bias_correction=true", "schedule=transformers"]
    return ["layer_decay=1.0", f"epochs={how.epochs}", *rate, *updates]


def _settings(network: Path, changes: Sequence[str]) -> dict[str, Any]:
    """Return our settings for a network's size."""
    from electra_common import ElectraConfig

    hidden_size = ElectraConfig.from_pretrained(network).hidden_size
    return settings_for(find_task("classification"), hidden_size, changes).as_dict()


def _write(file: Path, pairs: Sequence[tuple[str, str]]) -> None:
    lines = (json.dumps({"text": text, "label": label}) for text, label in pairs)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
