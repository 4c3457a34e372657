"""Models beside transformers 4.57 in TensorFlow: one short sentence in both modes, real sentences in length buckets.

The two cannot be installed together, so each has a process of its own; they take turns and read the same weights.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.inference import LARGEST_DIFFERENCE, Compared, Settings, Work
from benchmarks.measure import ratios
from benchmarks.sentences import SHORT_SENTENCE, read_sentences, tokenize

_WORKER: Final = Path(__file__).with_name("tensorflow_worker.py")
_CALLS: Final = {"eager": 3, "graph": 10}
_OURS: Final = {"ours": "electra_tf", "prepacked": "electra_tf, prepacked"}
_NAMES: Final = {"eager": "one short sentence, eager", "graph": "one short sentence, graph", "real": "real sentences"}
_MAKE: Final = """
import sys
from electra_tf import ElectraConfig, TFElectraForPreTraining
from electra_common import convert_checkpoint
model = TFElectraForPreTraining(ElectraConfig.preset(sys.argv[1] + "-discriminator"))
model.save_pretrained(sys.argv[2] + "/ours")
convert_checkpoint(sys.argv[2] + "/ours", sys.argv[2] + "/peer", format="h5")
"""


def measure_tensorflow(size: str, folder: Path, peer_python: Path, settings: Settings) -> Compared:
    """Measure one of the released sizes with new weights.

    Args:
        peer_python: the interpreter of an environment with transformers 4.57.6, tf_keras and tensorflow.

    Raises:
        RuntimeError: the outputs of the two are not the same, or a process ended.
    """
    folder.mkdir()
    subprocess.run([sys.executable, "-c", _MAKE, size, str(folder)], check=True, env=_environment())
    rows = _rows(settings)
    np.savez(folder / "batches.npz", **rows)
    interpreters = {**dict.fromkeys(_OURS, Path(sys.executable)), "peer": peer_python}
    with ExitStack() as stack:
        workers = {
            side: stack.enter_context(_start(python, side, folder, settings)) for side, python in interpreters.items()
        }
        seconds = {work: _in_turn(workers, work, settings.rounds) for work in _NAMES}
        for side, worker in workers.items():
            _ask(worker, f"real {folder / side}.npy")
        megabytes = {side: _ask(worker, "memory") for side, worker in workers.items()}
    is_real = rows["attention_mask"] == 1
    *ours, theirs = (np.load(folder / f"{side}.npy") for side in interpreters)
    difference = float(max(np.abs(logits - theirs)[is_real].max() for logits in ours))
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"logits differ by {difference:.1e}, expected at most {LARGEST_DIFFERENCE:.0e}")
    works = tuple(
        _work(size, name, side, taken, len(is_real), megabytes if name == "real" else None)
        for name, taken in seconds.items()
        for side in _OURS
    )
    return Compared(size, _real_share(rows["attention_mask"]), difference, works)


def _rows(settings: Settings) -> dict[str, Any]:
    """All rows padded to the longest, and the short sentence."""
    sentences = read_sentences(settings.sentences)
    batches = tokenize(sentences, settings.vocabulary, settings.batches, "np")
    longest = max(batch["input_ids"].shape[1] for batch in batches)
    filled = [
        {name: np.pad(array, [(0, 0), (0, longest - array.shape[1])]) for name, array in batch.items()}
        for batch in batches
    ]
    (short,) = tokenize([SHORT_SENTENCE], settings.vocabulary, 1, "np")
    whole = {name: np.concatenate([batch[name] for batch in filled]) for name in short}
    return {**whole, **{f"short/{name}": array for name, array in short.items()}}


def _real_share(mask: Any) -> float:
    """The share of real tokens in batches of 32, each padded to its own longest row."""
    parts = [mask[start : start + 32] for start in range(0, len(mask), 32)]
    return float(mask.sum() / sum(len(part) * part.sum(axis=1).max() for part in parts))


def _environment() -> dict[str, str]:
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "HF_HUB_OFFLINE": "1"}


def _start(python: Path, side: str, folder: Path, settings: Settings) -> subprocess.Popen[str]:
    clock = "processor" if settings.is_shared else "wall"
    network = folder / ("peer" if side == "peer" else "ours")
    arguments = (side, str(network), str(folder / "batches.npz"), str(settings.threads), clock)
    worker = subprocess.Popen(
        [str(python), "-W", "ignore", str(_WORKER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(),
    )
    if _answer(worker) != "ready":
        raise RuntimeError(f"{side} did not start; run it by hand: {python} {_WORKER} {' '.join(arguments)}")
    return worker


def _answer(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def _ask(worker: subprocess.Popen[str], work: str) -> float:
    assert worker.stdin is not None
    worker.stdin.write(f"{work}\n")
    worker.stdin.flush()
    answer = _answer(worker)
    if not answer:
        raise RuntimeError(f"the process for {worker.args!r} ended while it worked on {work}")
    return float(answer)


def _in_turn(workers: Mapping[str, subprocess.Popen[str]], work: str, rounds: int) -> dict[str, list[float]]:
    """Ask all in turn; the first answers, which build graphs, are not counted."""
    seconds: dict[str, list[float]] = {side: [] for side in workers}
    for turn in range(rounds + 1):
        for side, worker in workers.items():
            taken = _ask(worker, work)
            if turn:
                seconds[side].append(taken)
    return seconds


def _work(
    size: str,
    name: str,
    side: str,
    seconds: Mapping[str, list[float]],
    rows: int,
    megabytes: Mapping[str, float] | None,
) -> Work:
    """Return what one of ours took beside the peer."""
    medians = (statistics.median(seconds[side]), statistics.median(seconds["peer"]))
    speedup = ratios(seconds["peer"], seconds[side])
    peak = None if megabytes is None else (megabytes[side], megabytes["peer"])
    programs = (_OURS[side], "transformers")
    return Work(size, _NAMES[name], programs, _CALLS.get(name, rows), medians, speedup, megabytes=peak)
