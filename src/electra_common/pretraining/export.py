"""From a run to folders that any class loads: the networks of a checkpoint, the tokenizer, and a card for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from electra_common.config import ElectraConfig
from electra_common.pictures import picture_bytes
from electra_common.pretraining.curves import curves_figure
from electra_common.pretraining.metrics_log import MetricsEntry, read_metrics
from electra_common.pretraining.model_card import ModelCardFacts, model_card
from electra_common.pretraining.run_folder import (
    DATA_FILE,
    STATE_FILE,
    TOKENIZER_FOLDER,
    list_checkpoints,
    read_json,
    read_run,
    read_state,
)
from electra_common.versions import installed_versions
from electra_common.weights.atomic import new_folder, write_files
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import Conversion, convert_checkpoint

CURVES_FILE: Final = "curves.png"
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_NO_LIMIT: Final = 1e20  # transformers writes 1e30 for none
_SHOWN: Final = (
    "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings",
)  # fmt: skip


@dataclass(frozen=True)
class ExportNotes:
    """What a card says that no run knows.

    Attributes:
        name: of the model; None for the folder's.
        licenses: where the text comes from and under which licences, a paragraph each.
        license: of the model, as the Hub names it.
        languages: of the text, as the Hub names them.
        training: what happened before the run, such as how the weights it started from were made, a paragraph each.
    """

    name: str | None = None
    licenses: Sequence[str] = ()
    license: str | None = None
    languages: Sequence[str] = ()
    training: Sequence[str] = ()


def export_run(
    source: Path, out: Path, *, dtype: str | None = None, notes: ExportNotes | None = None, overwrite: bool = False
) -> tuple[Conversion, ...]:
    """Write each network of a run into a folder of its own, ``discriminator`` and ``generator``.

    Args:
        source: the folder of a run, whose newest checkpoint is taken, or one of its checkpoints.
        out: the new folder.
        dtype: of the weights, such as ``"float16"``; None for float32.
        notes: for the cards.
        overwrite: replace a folder that holds files.

    Returns:
        What was written, with fingerprints; both networks, or the one that the run's objective has.

    Raises:
        ValueError: the source is no run, or has no checkpoint yet.
        CheckpointError: the checkpoint is damaged, or the folder cannot be written.
    """
    checkpoint, run = _find(source)
    notes = notes or ExportNotes()
    names = list(open_checkpoint(checkpoint).components)
    state = read_state(checkpoint)
    entries = [entry for entry in read_metrics(run) if entry.step <= state.step]
    run_name = notes.name or out.resolve().name
    picture = picture_bytes(curves_figure({run_name: entries}), Path(CURVES_FILE).suffix.removeprefix("."))
    done: list[Conversion] = []
    with new_folder(out, overwrite=overwrite) as temporary:
        for name in names:
            (item,) = convert_checkpoint(checkpoint, temporary / name, component=name, dtype=dtype)
            facts = _facts(run, item, entries, notes, notes.name or f"{run_name} {name}", state.step, state.tokens)
            card = {"README.md": model_card(facts).encode(), CURVES_FILE: picture}
            write_files(item.folder, {**_tokenizer_files(run), **card})
            done.append(Conversion(**{**vars(item), "folder": out / name}))
    return tuple(done)


def _find(source: Path) -> tuple[Path, Path]:
    """Return the checkpoint and the run that it belongs to."""
    if (source / STATE_FILE).is_file():
        return source, source.parent.parent
    checkpoints = list_checkpoints(source)
    if not checkpoints:
        raise ValueError(f"{source}: neither a run with a checkpoint nor one of its checkpoints")
    return checkpoints[-1], source


def _tokenizer_files(run: Path) -> dict[str, bytes]:
    """Return the run's tokenizer, told how long a text the networks can read.

    Positions beyond the rows of the run have never been trained: a network answers there, but nonsense. A run that
    started from weights keeps the limit that its tokenizer states, for those weights may have seen longer rows.
    """
    files = {file.name: file.read_bytes() for file in (run / TOKENIZER_FOLDER).iterdir() if file.is_file()}
    config = read_json(run / TOKENIZER_FOLDER / _TOKENIZER_CONFIG) if _TOKENIZER_CONFIG in files else {}
    stored = read_run(run)
    stated = config.get("model_max_length")
    if stored["start_from"] is None or stated is None or stated > _NO_LIMIT:
        config["model_max_length"] = stored["recipe"]["max_length"]
    files[_TOKENIZER_CONFIG] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def _facts(
    run: Path,
    item: Conversion,
    entries: Sequence[MetricsEntry],
    notes: ExportNotes,
    name: str,
    step: int,
    tokens: int,
) -> ModelCardFacts:
    stored = read_run(run)
    written = open_checkpoint(item.folder)
    component = written.component(None)
    config = written.config_of(component)
    held_out = [entry.metrics for entry in entries if entry.split == "held-out"]
    starts = stored.get("starts", [])
    return ModelCardFacts(
        name=name,
        component=item.component,
        parameters=sum(int(np.prod(tensor.shape)) for tensor in component.tensors.values()),
        config=_sizes(config),
        step=step,
        tokens=tokens,
        recipe=stored.get("recipe", {}),
        starts=starts,
        data=read_json(run / DATA_FILE),
        license_notes=list(notes.licenses),
        training_notes=list(notes.training),
        held_out=held_out[-1] if held_out else {},
        versions=installed_versions(),
        curves=CURVES_FILE,
        fingerprint=item.fingerprint_after,
        license=notes.license,
        languages=list(notes.languages),
    )


def _sizes(config: ElectraConfig) -> Mapping[str, Any]:
    return {name: getattr(config, name) for name in _SHOWN}
