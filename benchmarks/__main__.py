"""``python -m benchmarks [PARTS]``: time and memory, side by side with other programs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from benchmarks.conversion import inspect_seconds, make_large, measure_conversions
from benchmarks.fine_tuning import How, measure_fine_tuning, missing_in, read_texts
from benchmarks.gpu import measure_on_gpu
from benchmarks.inference import Settings, measure_inference
from benchmarks.measure import run_in_turn
from benchmarks.options import make_parser
from benchmarks.prediction import measure_prediction
from benchmarks.pretraining import measure_pretraining
from benchmarks.pretraining_data import measure_preparation
from benchmarks.sentences import installed_text, read_sentences
from benchmarks.subjects import first_logits, imports
from benchmarks.tables import (
    as_data,
    machine,
    machine_with_threads,
    print_conversions,
    print_fine_tuning,
    print_inference,
    print_loading,
    print_prediction,
    print_preparation,
    print_pretraining,
    print_tokenization,
)
from benchmarks.tensorflow_inference import measure_tensorflow
from benchmarks.tokenization import measure_tokenizing
from electra_common.cli.console import make_console
from electra_common.cli.demo_files import ENGLISH, VOCABULARY

# An ELECTRA-Base with new weights: size, not content, decides how long loading takes.
_MAKE_BASE = """
import sys, electra_pt
electra_pt.ElectraForPreTraining(electra_pt.ElectraConfig.preset("base-discriminator")).save_pretrained(sys.argv[1])
"""


def main() -> None:
    """Measure and print."""
    options = make_parser(__doc__, PARTS).parse_args()
    data: dict[str, Any] = {"machine": machine()}
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
    print_loading(console, results)
    return {"loading": [as_data(item, results) for item in results.values()]}


def _conversion(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    make_large(folder / "large")
    converted = measure_conversions(folder, folder / "large")
    seconds = inspect_seconds(folder / "large")
    print_conversions(console, converted, seconds)
    return {"conversion": [vars(item) for item in converted], "inspect": seconds}


def _tokenization(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    corpus = options.corpus or installed_text(folder / "docstrings.txt", 11)
    tokenized = measure_tokenizing(corpus, VOCABULARY, options.rounds)
    print_tokenization(console, tokenized, corpus)
    return {"tokenization": [vars(item) for item in tokenized]}


def _pretraining_data(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    folder = folder / "pretraining-data"
    folder.mkdir()
    corpus = options.corpus or installed_text(folder / "docstrings.txt", options.megabytes)
    prepared = measure_preparation(corpus, folder, VOCABULARY, megabytes=options.megabytes, rounds=options.rounds)
    print_preparation(console, prepared, corpus, options.megabytes)
    return {"pretraining-data": [vars(item) for item in prepared]}


def _inference(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    compared = [measure_inference(size, folder / size, _settings(options)) for size in options.sizes]
    print_inference(console, compared, _settings(options), machine_with_threads(_settings(options).threads))
    return {"inference": [{**vars(item), "works": [vars(work) for work in item.works]} for item in compared]}


def _gpu(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        print("gpu is left out: torch finds none", file=sys.stderr)
        return {}
    settings = _settings(options)
    compared = [measure_on_gpu(size, folder / f"gpu-{size}", settings, options.gpu_works) for size in options.sizes]
    print_inference(console, compared, settings, f"bfloat16, {torch.cuda.get_device_name()}, torch {torch.__version__}")
    return {"gpu": [{**vars(item), "works": [vars(work) for work in item.works]} for item in compared]}


def _tensorflow(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    pythons = {"peer": options.transformers_4, "keras-hub": options.keras_hub}
    peers = {side: python for side, python in pythons.items() if python.exists()}
    if not peers:
        missing = " and no ".join(map(str, pythons.values()))
        print(f"tensorflow is left out: there is no {missing}", file=sys.stderr)
        return {}
    compared = [measure_tensorflow(size, folder / f"tf-{size}", peers, _settings(options)) for size in options.sizes]
    print_inference(console, compared, _settings(options), machine_with_threads(_settings(options).threads))
    return {"tensorflow": [{**vars(item), "works": [vars(work) for work in item.works]} for item in compared]}


def _pretraining_step(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    works = measure_pretraining(folder / "pretraining-step", _settings(options))
    print_pretraining(console, works, _settings(options))
    return {"pretraining-step": [vars(work) for work in works]}


def _fine_tuning(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    python = options.trainer_python if options.trainer_python.exists() else Path(sys.executable)
    if missing := missing_in(python):
        print(
            f"fine-tuning is left out: the Trainer needs {missing}, which {python} has not: name a Python with "
            "--trainer-python (docs/benchmarks.md)",
            file=sys.stderr,
        )
        return {}
    texts = read_texts(options.task, options.labelled, options.held_out, options.rows)
    how = How(
        peer_python=python,
        by_length=options.peer_by_length,
        seeds=options.seeds,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        threads=_settings(options).threads,
        is_shared=options.shared_machine,
        own_updates=options.own_updates,
    )
    results = []
    for network in options.networks:
        results.append(measure_fine_tuning(network, folder / f"fine-tuning-{network}", VOCABULARY, texts, how))
        print_fine_tuning(console, results[-1], how.threads)
    return {"fine-tuning": [result.as_dict() for result in results]}


def _prediction(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    settings = _settings(options)
    sentences = read_sentences(settings.sentences)
    results = []
    for network in options.networks:
        result = measure_prediction(
            network,
            folder / f"prediction-{network}",
            VOCABULARY,
            sentences,
            count=options.texts,
            parts=options.rounds,
            threads=settings.threads,
            is_shared=settings.is_shared,
            by_length=options.peer_by_length,
        )
        print_prediction(console, result, settings.sentences, settings.threads)
        results.append(result)
    return {"prediction": [result.as_dict() for result in results]}


PARTS = {
    "loading": _loading,
    "conversion": _conversion,
    "tokenization": _tokenization,
    "pretraining-data": _pretraining_data,
    "pretraining-step": _pretraining_step,
    "inference": _inference,
    "gpu": _gpu,
    "tensorflow": _tensorflow,
    "fine-tuning": _fine_tuning,
    "prediction": _prediction,
}


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


if __name__ == "__main__":
    main()
