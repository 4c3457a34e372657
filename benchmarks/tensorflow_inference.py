"""Models in TensorFlow beside transformers 4.57 and keras-hub: a short sentence, real ones, full rows, fine-tuning.

Not all of them can be installed together, so each has a process of its own; they take turns. transformers reads the
same weights; keras-hub's backbone has new ones of the same sizes, no head and another GELU: only its speed counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.inference import LARGEST_DIFFERENCE, TOKENS_OF_FULL_ROWS, Compared, Settings, Work
from benchmarks.measure import ratios
from benchmarks.reading import READING
from benchmarks.sentences import BATCH_SIZE, SHORT_SENTENCE, read_sentences, tokenize
from benchmarks.workers import Worker, in_turn, open_worker

_VOCABULARY_SIZE: Final = 30522
_FULL_LENGTHS: Final = (128, 512)
_CALLS: Final = {"eager": 3, "graph": 10}
_OURS: Final = {"ours": "electra_tf", "prepacked": "electra_tf, prepacked"}
_BESIDE_PEERS: Final = {**_OURS, READING: READING}
_PEERS: Final = {"peer": "transformers", "keras-hub": "keras_hub"}
_PREDICT: Final = "keras_hub, predict_on_batch"
_TRAINING: Final = "fine-tuning"
_NAMES: Final = {
    "eager": "one short sentence, eager",
    "graph": "one short sentence, graph",
    "real": "real sentences",
    **{f"full-{length}": f"full rows of {length}" for length in _FULL_LENGTHS},
}
_MAKE: Final = """
import sys
from electra_tf import ElectraConfig, TFElectraForPreTraining, TFElectraForSequenceClassification
from electra_common import convert_checkpoint
config = ElectraConfig.preset(sys.argv[1] + "-discriminator")
for kind, family in (("", TFElectraForPreTraining), ("-classifier", TFElectraForSequenceClassification)):
    family(config).save_pretrained(sys.argv[2] + "/ours" + kind)
    convert_checkpoint(sys.argv[2] + "/ours" + kind, sys.argv[2] + "/peer" + kind, format="h5")
"""


def measure_tensorflow(size: str, folder: Path, peers: Mapping[str, Path], settings: Settings) -> Compared:
    """Measure one of the released sizes with new weights.

    Args:
        size: its name.
        folder: for files, made here.
        peers: the interpreter of an environment with ``peer``, transformers 4.57.6, tf_keras and tensorflow, and of one
            with ``keras-hub`` and tensorflow; one of them can be left out.
        settings: what is measured, and how.

    Raises:
        RuntimeError: the outputs of ours and of transformers are not the same, or a process ended.
    """
    folder.mkdir()
    subprocess.run([sys.executable, "-c", _MAKE, size, str(folder)], check=True, env=_environment())
    rows = _rows(settings)
    np.savez(folder / "batches.npz", **rows)
    interpreters = {**dict.fromkeys(_OURS, Path(sys.executable)), **peers}
    with ExitStack() as stack:
        workers = {
            side: stack.enter_context(_start(python, side, folder, settings)) for side, python in interpreters.items()
        }
        seconds = _all_works(workers, settings.rounds)
        read_by = [side for side in workers if side != "keras-hub"]
        for side in read_by:
            workers[side].ask("save", folder / f"{side}.npy")
        megabytes = {side: worker.ask("memory") for side, worker in workers.items()}
    mask = rows["attention_mask"]
    difference = _difference({side: np.load(folder / f"{side}.npy") for side in read_by}, mask == 1)
    works = list(_works(size, seconds, len(mask), megabytes))
    if "peer" in peers:
        works.append(_fine_tuning(size, peers["peer"], folder, rows, settings))
    return Compared(size, _real_share(mask), difference, tuple(works))


def _fine_tuning(size: str, peer: Path, folder: Path, rows: Mapping[str, Any], settings: Settings) -> Work:
    """Train a classifier of sentences, in processes of their own, for their memory."""
    with ExitStack() as stack:
        ours, theirs = (
            stack.enter_context(_start_training(python, side, folder, settings))
            for side, python in (("ours", Path(sys.executable)), ("peer", peer))
        )
        losses = [worker.ask("first-loss") for worker in (ours, theirs)]
        if not abs(losses[0] - losses[1]) <= LARGEST_DIFFERENCE:
            raise RuntimeError(f"losses before training differ: {losses[0]:.6f} and {losses[1]:.6f}")
        seconds = in_turn({"ours": (ours, _TRAINING), "peer": (theirs, _TRAINING)}, settings.rounds)
        megabytes = (ours.ask("memory"), theirs.ask("memory"))
    return Work(
        size,
        _TRAINING,
        (_OURS["ours"], _PEERS["peer"]),
        len(rows["input_ids"]),
        (statistics.median(seconds["ours"]), statistics.median(seconds["peer"])),
        ratios(seconds["peer"], seconds["ours"]),
        megabytes=megabytes,
    )


def _all_works(workers: Mapping[str, Worker], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each work, by what did it.

    The short sentence in a graph stands beside the mere reading of the weights, and keras-hub has two graphs for it.
    """
    seconds = {}
    for work in _NAMES:
        asked = {side: (worker, work) for side, worker in workers.items()}
        if work == "graph":
            asked[READING] = (workers["ours"], "read")
        if work == "graph" and "keras-hub" in workers:
            asked[_PREDICT] = (workers["keras-hub"], "predict")
        seconds[work] = in_turn(asked, rounds)
    return seconds


def _difference(logits: Mapping[str, Any], is_real: Any) -> float | None:
    """Compare the logits of real tokens with transformers'; None where it has no part."""
    if "peer" not in logits:
        return None
    difference = float(max(np.abs(found - logits["peer"])[is_real].max() for found in logits.values()))
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"logits differ by {difference:.1e}, expected at most {LARGEST_DIFFERENCE:.0e}")
    return difference


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
    kinds = {"short": short, **{f"full-{length}": _full_rows(length) for length in _FULL_LENGTHS}}
    return {**whole, **{f"{kind}/{name}": array for kind, batch in kinds.items() for name, array in batch.items()}}


def _full_rows(length: int) -> dict[str, Any]:
    ids = np.random.default_rng(0).integers(1000, _VOCABULARY_SIZE, (TOKENS_OF_FULL_ROWS // length, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def _real_share(mask: Any) -> float:
    """The share of real tokens in batches of 32, each padded to its own longest row."""
    parts = [mask[start : start + BATCH_SIZE] for start in range(0, len(mask), BATCH_SIZE)]
    return float(mask.sum() / sum(len(part) * part.sum(axis=1).max() for part in parts))


def _environment() -> dict[str, str]:
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "HF_HUB_OFFLINE": "1"}


def _start(python: Path, side: str, folder: Path, settings: Settings) -> AbstractContextManager[Worker]:
    network = folder / ("peer" if side == "peer" else "ours")
    return open_worker(python, "tensorflow_worker", side, network, folder / "batches.npz", *_how(settings))


def _start_training(python: Path, side: str, folder: Path, settings: Settings) -> AbstractContextManager[Worker]:
    arguments = (side, folder / f"{side}-classifier", folder / "batches.npz", *_how(settings))
    return open_worker(python, "tensorflow_training_worker", *arguments)


def _how(settings: Settings) -> tuple[int, str]:
    return settings.threads, "processor" if settings.is_shared else "wall"


def _works(
    size: str, seconds: Mapping[str, Mapping[str, list[float]]], rows: int, megabytes: Mapping[str, float]
) -> Iterator[Work]:
    """Yield what each of ours took beside each peer; the memory is that of all works, told once."""
    items = {**_CALLS, "real": rows, **{f"full-{length}": TOKENS_OF_FULL_ROWS // length for length in _FULL_LENGTHS}}
    for work, taken in seconds.items():
        ours = {side: name for side, name in _BESIDE_PEERS.items() if side in taken}
        for side, name in ours.items():
            for peer in (peer for peer in taken if peer not in ours):
                yield Work(
                    size,
                    _NAMES[work],
                    (name, _PEERS.get(peer, peer)),
                    items[work],
                    (statistics.median(taken[side]), statistics.median(taken[peer])),
                    ratios(taken[peer], taken[side]),
                    megabytes=(megabytes[side], megabytes[peer]) if work == "real" else None,
                )
