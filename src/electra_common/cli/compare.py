"""``electra compare``: one checkpoint in both frameworks, over the same input, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from electra_common.cli.answers import tokenizer_folders
from electra_common.cli.compared_rows import read_ids, read_texts
from electra_common.cli.console import make_console, make_table, print_json
from electra_common.cli.demo_files import ENGLISH, VOCABULARY
from electra_common.cli.frameworks import FRAMEWORKS, Job, Result, run_in_frameworks
from electra_common.cli.options import Heads
from electra_common.comparison import Difference, compare_outputs
from electra_common.config import ElectraConfig
from electra_common.head_options import OUTSIDE_ANSWER
from electra_common.weights.checkpoint import Checkpoint, architecture_of, open_checkpoint
from electra_common.weights.components import Component
from electra_common.weights.errors import CheckpointError
from electra_common.weights.loading import match

# Of multiple choice the encoder alone: its inputs have an axis of choices, which lines of text do not have.
_RUNNABLE: Final = (
    "ElectraForPreTraining",
    "ElectraForMaskedLM",
    "ElectraForCausalLM",
    "ElectraForTokenClassification",
    "ElectraForSequenceClassification",
    "ElectraForQuestionAnswering",
)
_DEFAULT_ROWS: Final = 8
_MAX_ROWS: Final = 64  # more rows prove nothing more and fill the disk with attention maps


@dataclass(frozen=True)
class Comparison:
    """The outcome for one network."""

    component: str
    architecture: str
    input: str
    shape: tuple[int, ...]
    differences: list[Difference]
    tolerance: float
    results: Mapping[str, Result]

    @property
    def agrees(self) -> bool:
        """Whether every number is within the tolerance."""
        return all(map(self.is_same, self.differences))

    def is_same(self, item: Difference) -> bool:
        """Whether the numbers of one tensor are within the tolerance; one that is not finite never is."""
        return math.isfinite(item.largest) and item.largest <= self.tolerance


def compare(
    path: str,
    *,
    text: Path | None,
    ids: Path | None,
    vocab: Path | None,
    component: str | None,
    heads: Heads,
    tolerance: float,
    max_length: int,
    as_json: bool,
) -> int:
    """Compare every network of a checkpoint, or one; exit code 1 if a difference is above the tolerance."""
    if text is not None and ids is not None:
        raise ValueError("give either --text or --ids, and not both")
    checkpoint = open_checkpoint(path)
    chosen = [checkpoint.component(component)] if component else list(checkpoint.components.values())
    if isinstance(heads, int) and len(chosen) > 1:
        raise ValueError(f"--num-attention-heads {heads} for two networks: add --component, or say discriminator=…")
    comparisons = []
    for item in chosen:
        config = checkpoint.config_of(item, num_attention_heads=heads)
        batch, described = make_batch(checkpoint, config, text=text, ids=ids, vocab=vocab, max_length=max_length)
        comparisons.append(run_comparison(checkpoint, item, config, batch, described, tolerance))
    if as_json:
        print_json({"path": path, "comparisons": [as_data(item) for item in comparisons]})
    else:
        console = make_console()
        for result in comparisons:
            print_comparison(console, result)
    return 0 if all(item.agrees for item in comparisons) else 1


def run_comparison(
    checkpoint: Checkpoint,
    component: Component,
    config: ElectraConfig,
    batch: Mapping[str, NDArray[Any]],
    described: str,
    tolerance: float,
) -> Comparison:
    """Run one network in both frameworks; the frameworks' processes open the checkpoint themselves."""
    architecture = _class_to_run(checkpoint, component, config)
    job = Job(
        action="run",
        path=str(checkpoint.path),
        architecture=architecture,
        component=component.name,
        config_overrides={"num_attention_heads": config.num_attention_heads},
    )
    results = run_in_frameworks(tuple(FRAMEWORKS), job, batch)
    first, second = (_comparable(results[framework].outputs) for framework in FRAMEWORKS)
    with np.errstate(invalid="ignore"):  # infinity from infinity is no number, which counts as a difference
        differences = compare_outputs(first, second)
    shape = batch["input_ids"].shape
    return Comparison(component.name, architecture, described, shape, differences, tolerance, results)


def _comparable(outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return outputs without what rounding decides in Google's head for answers.

    Which of two equal scores comes first in a beam tells nothing, and where no answer may be, scores lie near -1000,
    where neighbours in float32 are further apart than the tolerance.
    """
    kept = {name: array for name, array in outputs.items() if "_top_" not in name}
    if kept.keys() == outputs.keys():
        return kept
    for name in ("start_logits", "end_logits"):
        kept[name] = np.where(np.isfinite(kept[name]) & (kept[name] < OUTSIDE_ANSWER / 2), 0, kept[name])
    return kept


def _class_to_run(checkpoint: Checkpoint, component: Component, config: ElectraConfig) -> str:
    """Return the class that the config names, if all of its head is there; else the one that the tensors show."""
    if config.is_decoder:
        return "ElectraForCausalLM"
    named = (config.architectures or ("",))[0]
    if named in _RUNNABLE:
        report, _ = match(checkpoint, component, config, named)
        if report.is_complete and not report.new:
            return named
    shown = architecture_of(component)
    return shown if shown in _RUNNABLE else "ElectraModel"


# Input --------------------------------------------------------------------------------------------------------------


def make_batch(
    checkpoint: Checkpoint,
    config: ElectraConfig,
    *,
    text: Path | None,
    ids: Path | None,
    vocab: Path | None,
    max_length: int,
) -> tuple[dict[str, NDArray[np.int64]], str]:
    """Return a batch and what it was made of: the text or ids given, else English, else random ids."""
    max_length = min(max_length, config.max_position_embeddings)
    if ids is not None:
        return _batch_of_ids(read_ids(ids, _MAX_ROWS), config, max_length), f"ids from {ids}"
    vocabulary = _find_vocabulary(checkpoint, config, vocab)
    if vocabulary is None:
        if text is not None:
            raise ValueError(f"--text needs a vocabulary of {config.vocab_size} pieces: add --vocab FILE")
        return _random_batch(config, max_length), "random ids, for want of a vocabulary"
    lines = read_texts(ENGLISH, _DEFAULT_ROWS) if text is None else read_texts(text, _MAX_ROWS)
    return _batch_of_text(lines, vocabulary, config, max_length), f"{len(lines)} lines of {(text or ENGLISH).name}"


def _find_vocabulary(checkpoint: Checkpoint, config: ElectraConfig, given: Path | None) -> Path | None:
    if given is not None:
        return given
    for folder in tokenizer_folders(checkpoint.folder):
        if (folder / "vocab.txt").is_file():
            return folder / "vocab.txt"
    # Every released model has this vocabulary, so its size is a safe sign.
    return VOCABULARY if config.vocab_size == ElectraConfig().vocab_size else None


def _batch_of_text(
    lines: list[str], vocabulary: Path, config: ElectraConfig, max_length: int
) -> dict[str, NDArray[np.int64]]:
    from electra_common import ElectraTokenizerFast

    tokenizer = ElectraTokenizerFast.from_pretrained(vocabulary)
    if len(tokenizer) != config.vocab_size:
        raise CheckpointError(
            f"{vocabulary}: has {len(tokenizer)} pieces, the checkpoint {config.vocab_size}: "
            "not the vocabulary it was trained with"
        )
    return dict(tokenizer(lines, padding=True, max_length=max_length, truncation=True, return_tensors="np"))


def _batch_of_ids(rows: list[list[int]], config: ElectraConfig, max_length: int) -> dict[str, NDArray[np.int64]]:
    rows = [row[:max_length] for row in rows]
    for wrong in (token for row in rows for token in row if not 0 <= token < config.vocab_size):
        raise ValueError(f"token id {wrong} is outside the vocabulary of {config.vocab_size} pieces")
    return _pad_rows(rows, pad_token_id=config.pad_token_id or 0)


def _random_batch(config: ElectraConfig, max_length: int) -> dict[str, NDArray[np.int64]]:
    """Rows of different lengths, so that padding is part of what is compared."""
    generator = np.random.Generator(np.random.Philox(0))
    lengths = generator.integers(max(1, max_length // 2), max_length + 1, size=_DEFAULT_ROWS)
    rows = [generator.integers(0, config.vocab_size, size=length).tolist() for length in lengths]
    return _pad_rows(rows, pad_token_id=config.pad_token_id or 0)


def _pad_rows(rows: list[list[int]], *, pad_token_id: int) -> dict[str, NDArray[np.int64]]:
    """Fill rows of ids up to the longest: [rows, longest]."""
    lengths = np.array([len(row) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(real.shape, pad_token_id, np.int64)
    input_ids[real] = np.concatenate(rows)
    return {
        "input_ids": input_ids,
        "attention_mask": real.astype(np.int64),
        "token_type_ids": np.zeros(real.shape, np.int64),
    }


# Output -------------------------------------------------------------------------------------------------------------


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print the table of one network and its verdict."""
    rows, length = comparison.shape
    title = f"{comparison.component} ({comparison.architecture}): {rows} rows of up to {length} tokens, "
    console.print(f"\n[bold]{title}{escape(comparison.input)}[/]", soft_wrap=True)
    table = make_table("", "tensor", "#largest difference", "#mean", "#largest value", "")
    for item in comparison.differences:
        verdict = "[green]same[/]" if comparison.is_same(item) else "[bold red]DIFFERS[/]"
        table.add_row(item.label, f"{item.largest:.2e}", f"{item.mean:.2e}", f"{item.scale:.3g}", verdict)
    console.print(table)
    timing = ", ".join(
        f"{FRAMEWORKS[name]} {result.load_seconds:.1f} s to load and {result.run_seconds:.1f} s to run"
        for name, result in comparison.results.items()
    )
    largest = max((item.largest for item in comparison.differences), default=0.0)
    word = "agree" if comparison.agrees else "DISAGREE"
    console.print(
        f"PyTorch and TensorFlow {word}: {largest:.2e} at most, {comparison.tolerance:.0e} allowed ({timing})",
        soft_wrap=True,
    )


def as_data(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data, for ``--json``; JSON has no number that is not finite."""
    return {
        "component": comparison.component,
        "architecture": comparison.architecture,
        "input": comparison.input,
        "shape": list(comparison.shape),
        "tolerance": _finite(comparison.tolerance),
        "agrees": comparison.agrees,
        "differences": [
            {
                "name": item.name,
                "largest": _finite(item.largest),
                "mean": _finite(item.mean),
                "scale": _finite(item.scale),
            }
            for item in comparison.differences
        ],
        "seconds": {
            name: {"load": result.load_seconds, "run": result.run_seconds}
            for name, result in comparison.results.items()
        },
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
