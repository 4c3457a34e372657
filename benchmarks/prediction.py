"""A fine-tuned classifier beside the text-classification pipeline of transformers: texts in, labels out.

Both have the same weights and no more than 128 tokens of a text, and answer the same thousands of texts in a process
each, part by part in turns. What they say of each text is compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from benchmarks.inference import LARGEST_DIFFERENCE
from benchmarks.measure import ratios
from benchmarks.networks import make_classifier
from benchmarks.workers import open_worker

OURS: Final = "ours"
NAMES: Final = {OURS: "electra_pt", "peer": "pipeline", "peer-by-length": "pipeline, sorted texts"}
_MOST_OTHER_LABELS: Final = 1e-3

Answers = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Answered:
    """What one program came to.

    Attributes:
        program: its name, with its size of batches where that was chosen.
        seconds: of each part.
        megabytes: the peak of its process.
        tried: texts a second by size of batches, in the short trial before.
    """

    program: str
    seconds: tuple[float, ...]
    megabytes: float
    tried: Mapping[str, float]


@dataclass(frozen=True)
class Prediction:
    """All programs with one network, ours first.

    Attributes:
        network: its name.
        texts: how many were answered.
        labels: how many different answers there were.
        other_labels: how many texts got another label from a peer, by a difference that rounding explains.
        difference: the largest one between probabilities.
        programs: what each came to.
    """

    network: str
    texts: int
    labels: int
    other_labels: int
    difference: float
    programs: tuple[Answered, ...]

    def speedup(self, peer: Answered) -> tuple[float, float, float]:
        """Return how many times as fast as a peer ours is, part by part: least, median, greatest."""
        return ratios(peer.seconds, self.programs[0].seconds)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        beside = [{"beside": peer.program, "speedup": self.speedup(peer)} for peer in self.programs[1:]]
        return {**vars(self), "programs": [vars(program) for program in self.programs], "compared": beside}


def measure_prediction(
    network: str,
    folder: Path,
    vocabulary: Path,
    sentences: Sequence[str],
    *,
    count: int,
    parts: int,
    threads: int,
    is_shared: bool,
    by_length: bool,
) -> Prediction:
    """Let all programs answer texts in turns.

    Args:
        network: one of :data:`benchmarks.networks.NETWORKS`.
        folder: for files, made here.
        vocabulary: of a network with new weights.
        sentences: repeated or cut to ``count``.
        count: how many texts each program answers in all.
        parts: in so many turns.
        threads: of each process.
        is_shared: count the processor's time in place of the wall's.
        by_length: also give the pipeline texts that are sorted by length.

    Raises:
        RuntimeError: the answers of two programs are not the same, or a process ended.
    """
    folder.mkdir(parents=True)
    make_classifier(network, folder / "network", vocabulary, sentences)
    (folder / "texts.json").write_text(json.dumps(list(islice(cycle(sentences), count))), encoding="utf-8")
    sides = [side for side in NAMES if side != "peer-by-length" or by_length]
    arguments = (folder, threads, "processor" if is_shared else "wall")
    with ExitStack() as stack:
        workers = {
            side: stack.enter_context(open_worker(sys.executable, "prediction_worker", side, *arguments))
            for side in sides
        }
        chosen = {side: worker.ask("choose") for side, worker in workers.items()}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        answers: dict[str, list[tuple[str, float]]] = {side: [] for side in sides}
        for part in range(parts):
            for side, worker in workers.items():
                found = worker.ask("answer", part * count // parts, (part + 1) * count // parts)
                seconds[side].append(found["seconds"])
                answers[side] += map(tuple, found["answers"])
        programs = tuple(
            Answered(
                _name(side, chosen[side]),
                tuple(seconds[side]),
                worker.ask("memory"),
                chosen[side].get("texts_a_second", {}),
            )
            for side, worker in workers.items()
        )
    ours = answers.pop(OURS)
    compared = [_compare(ours, theirs) for theirs in answers.values()]
    others, differences = zip(*compared, strict=True)
    labels = len({label for label, _ in ours})
    return Prediction(network, count, labels, max(others), max(differences), programs)


def _compare(ours: Answers, theirs: Answers) -> tuple[int, float]:
    """Return how many labels differ, and the largest difference of probabilities.

    Two labels may be as likely as each other but for rounding, which is rare; their probabilities agree all the same.
    """
    difference = max(abs(score - other) for (_, score), (_, other) in zip(ours, theirs, strict=True))
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"probabilities differ by {difference:.1e}, expected at most {LARGEST_DIFFERENCE:.0e}")
    others = sum(label != other for (label, _), (other, _) in zip(ours, theirs, strict=True))
    if others > _MOST_OTHER_LABELS * len(ours):
        raise RuntimeError(f"{others} of {len(ours)} labels differ")
    return others, difference


def texts_a_second(program: Answered, texts: int) -> float:
    """Return how many texts a program answered in a second, over all parts."""
    return texts / sum(program.seconds)


def _name(side: str, chosen: Mapping[str, Any]) -> str:
    return f"{NAMES[side]}, batch_size={chosen['batch_size']}" if chosen else NAMES[side]
