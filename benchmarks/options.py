"""The options of ``python -m benchmarks``: what is measured, on what, how often."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmarks.fine_tuning import DEFAULT_TEXTS
from benchmarks.gpu import WORKS
from benchmarks.inference import SIZES
from benchmarks.networks import NETWORKS


def make_parser(description: str | None, parts: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser; by default all parts are measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=description)
    parser.add_argument("parts", nargs="*", default=list(parts), help=f"{', '.join(parts)}; by default all")
    parser.add_argument("--rounds", type=int, default=7, help="measured runs of each program (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_texts(parser)
    _add_machine(parser)
    _add_models(parser)
    _add_fine_tuning(parser)
    return parser


def _add_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus",
        type=Path,
        help="text, for tokenization one a line; by default the docstrings of the packages that are installed",
    )
    parser.add_argument("--megabytes", type=int, default=20, help="of the corpus for pretraining-data (default 20)")
    parser.add_argument(
        "--sentences",
        type=Path,
        help="sentences for inference and prediction, one a line or CoNLL-U; by default what the package has",
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, default=2, help="threads for models, in training and inference (default 2)"
    )
    parser.add_argument(
        "--shared-machine",
        action="store_true",
        help="for models, count the processor's time in place of the wall's, with one thread: others run beside",
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="models for inference")
    parser.add_argument("--batches", type=int, default=16, help="batches of 32 sentences for inference (default 16)")
    parser.add_argument(
        "--compiled-peer",
        action="store_true",
        help="for inference, put the short sentence beside transformers under torch.compile too",
    )
    parser.add_argument("--gpu-works", nargs="+", choices=WORKS, default=list(WORKS), help="for gpu; by default all")
    parser.add_argument(
        "--transformers-4",
        type=Path,
        default=Path(".venv-transformers-4/bin/python"),
        help="for tensorflow, a Python with transformers 4.57.6; make check-transformers-4 makes the default one",
    )
    parser.add_argument(
        "--keras-hub",
        type=Path,
        default=Path(".venv-keras-hub/bin/python"),
        help="for tensorflow, a Python with keras-hub and TensorFlow",
    )


def _add_fine_tuning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=NETWORKS,
        default=["small"],
        help="for fine-tuning and prediction: small and base have new weights (default small)",
    )
    parser.add_argument("--texts", type=int, default=10_000, help="texts for prediction (default 10,000)")
    parser.add_argument(
        "--peer-by-length",
        action="store_true",
        help="for fine-tuning and prediction, also a peer with rows of like length together, which is not its default",
    )
    parser.add_argument(
        "--labelled", type=Path, default=DEFAULT_TEXTS, help="texts to fine-tune on; by default a sample of banking77"
    )
    parser.add_argument("--held-out", type=Path, help="texts to measure on; by default every fifth to fine-tune on")
    parser.add_argument("--task", default="banking77", help="whose columns these files have (default banking77)")
    parser.add_argument("--rows", type=int, help="of the texts to fine-tune on; by default all")
    parser.add_argument("--seeds", type=int, default=3, help="runs of fine-tuning of each program (default 3)")
    parser.add_argument("--epochs", type=float, default=1.0, help="of each run of fine-tuning (default 1)")
    parser.add_argument("--learning-rate", type=float, help="of fine-tuning; by default ours of the network's size")
    parser.add_argument(
        "--own-updates", action="store_true", help="for fine-tuning: ours with ELECTRA's Adam and schedule"
    )
    parser.add_argument(
        "--trainer-python",
        type=Path,
        default=Path(".venv-trainer/bin/python"),
        help="for fine-tuning, a Python with transformers 5, torch and accelerate; without the default one, this one",
    )
