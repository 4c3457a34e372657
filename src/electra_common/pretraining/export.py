"""From a run to folders that any class loads: the networks of a checkpoint, the tokenizer, and a card for each."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from electra_common.config import SIZES, ElectraConfig
from electra_common.pictures import picture_bytes
from electra_common.pretraining.curves import curves_figure
from electra_common.pretraining.model_card import ModelCardFacts, model_card
from electra_common.pretraining.run_facts import TOKENIZER_CONFIG, RunFacts, read_run_facts
from electra_common.runs.metrics_log import MetricsEntry, read_metrics
from electra_common.runs.run_folder import RUN_FILE, STATE_FILE, RunState, list_checkpoints, read_state, run_of
from electra_common.versions import installed_versions
from electra_common.weights.atomic import holds, new_folder, write_files
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import Conversion, convert_checkpoint
from electra_common.weights.errors import CheckpointError

CURVES_FILE: Final = "curves.png"
_NO_LIMIT: Final = 1e20  # transformers writes 1e30 for none


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


@dataclass(frozen=True)
class _Source:
    """What the cards of both networks are made of: where the run stood, and what its files tell."""

    state: RunState
    entries: Sequence[MetricsEntry]
    facts: RunFacts


def export_run(
    source: Path, out: Path, *, dtype: str | None = None, notes: ExportNotes | None = None, overwrite: bool = False
) -> tuple[Conversion, ...]:
    """Write each network of a run into a folder of its own, ``discriminator`` and ``generator``.

    Where there is nothing to draw curves of, or nothing to draw them with, a warning says so and the cards have none.

    Args:
        source: the folder of a run, whose newest checkpoint is taken, or one of its checkpoints.
        out: the new folder, neither in the run nor around it.
        dtype: of the weights, such as ``"float16"``; None for float32.
        notes: for the cards.
        overwrite: replace a folder that holds files.

    Returns:
        What was written, with fingerprints; both networks, or the one that the run's objective has.

    Raises:
        ValueError: the source is no run, or has no checkpoint yet; or writing would touch the run.
        CheckpointError: a file of the run is damaged, the run removed the checkpoint, or the folder cannot be written.
    """
    checkpoint, run = _find(source)
    target = Path(os.path.realpath(out))
    _check_target(target, out, run, checkpoint)
    files = _names_in(checkpoint)
    components = _components(checkpoint)
    state = read_state(checkpoint)
    read = _Source(state, [entry for entry in read_metrics(run) if entry.step <= state.step], read_run_facts(run))
    notes = notes or ExportNotes()
    run_name = notes.name or target.name
    picture = _picture(run_name, read.entries)
    done: list[Conversion] = []
    with new_folder(target, overwrite=overwrite) as temporary, _staying(checkpoint, files):
        for name in components:
            (item,) = convert_checkpoint(checkpoint, temporary / name, component=name, dtype=dtype)
            facts = _card_facts(read, item, notes, notes.name or f"{run_name} {name}", has_curves=bool(picture))
            card = {"README.md": model_card(facts).encode()}
            write_files(item.folder, {**_tokenizer_files(read.facts), **card, **picture})
            done.append(Conversion(**{**vars(item), "folder": out / name}))
    return tuple(done)


# Finding what to read and where to write ------------------------------------------------------------------------------


def _find(source: Path) -> tuple[Path, Path]:
    """Return the checkpoint and the run that it belongs to."""
    if (source / STATE_FILE).is_file():
        if (run := run_of(source)) is not None:
            return source, run
        raise ValueError(f"{source}: a checkpoint that lies in no run; expected {RUN_FILE} two folders above it")
    checkpoints = list_checkpoints(source)
    if not checkpoints:
        raise ValueError(f"{source}: neither a run with a checkpoint nor one of its checkpoints")
    return checkpoints[-1], source


def _check_target(target: Path, out: Path, run: Path, checkpoint: Path) -> None:
    """Refuse a folder whose replacement would take the run with it."""
    for kept in (Path(os.path.realpath(run)), Path(os.path.realpath(checkpoint)).parent):
        if holds(target, kept) or holds(kept, target):
            raise ValueError(
                f"{out}: the run's own folder {kept}, one in it or one around it; choose one outside of the run"
            )


def _components(checkpoint: Path) -> list[str]:
    """Return the names of the networks, each of which has its config: without one sizes would have to be guessed."""
    opened = open_checkpoint(checkpoint)
    for component in opened.components.values():
        if opened.stored_config(component) is None:
            raise CheckpointError(f"{checkpoint}: expected a config of the {component.name} beside its weights")
    return list(opened.components)


@contextmanager
def _staying(checkpoint: Path, files: set[str]) -> Iterator[None]:
    """Raise CheckpointError where files of a checkpoint are gone at the end, as a run that goes on removes old ones.

    What was read of a checkpoint that was being removed may fit together and still be wrong.
    """
    try:
        yield
    except (ValueError, OSError):
        if files <= _names_in(checkpoint):
            raise
    if not files <= _names_in(checkpoint):
        raise CheckpointError(f"{checkpoint}: was removed while it was read; export again to take a newer one")


def _names_in(folder: Path) -> set[str]:
    try:
        return {item.name for item in folder.iterdir()}
    except OSError:  # it is gone as a whole
        return set()


# What goes beside the weights -----------------------------------------------------------------------------------------


def _picture(name: str, entries: Sequence[MetricsEntry]) -> dict[str, bytes]:
    """Return the curves by the name of their file, or nothing and a warning: an export is good without them."""
    try:
        figure = curves_figure({name: entries})
    except ValueError as error:  # nothing was logged, or matplotlib is not installed
        warnings.warn(f"the cards show no curves: {error}", stacklevel=3)
        return {}
    return {CURVES_FILE: picture_bytes(figure, Path(CURVES_FILE).suffix.removeprefix("."))}


def _tokenizer_files(facts: RunFacts) -> dict[str, bytes]:
    """Return the run's tokenizer, told how long a text the networks can read.

    Positions beyond the rows of the run have never been trained: a network answers there, but nonsense. A run that
    started from weights keeps the limit that its tokenizer states, for those weights may have seen longer rows.
    """
    config = dict(facts.tokenizer_config)
    stated = config.get("model_max_length")
    if facts.start_from is None or stated is None or stated > _NO_LIMIT:
        config["model_max_length"] = facts.max_length
    written = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    return {**facts.tokenizer, TOKENIZER_CONFIG: written}


def _card_facts(read: _Source, item: Conversion, notes: ExportNotes, name: str, *, has_curves: bool) -> ModelCardFacts:
    written = open_checkpoint(item.folder)
    component = written.component(None)
    held_out = [entry.metrics for entry in read.entries if entry.split == "held-out"]
    return ModelCardFacts(
        name=name,
        component=item.component,
        parameters=sum(int(np.prod(tensor.shape)) for tensor in component.tensors.values()),
        config=_sizes(written.config_of(component)),
        step=read.state.step,
        tokens=read.state.tokens,
        recipe=read.facts.recipe,
        starts=read.facts.starts,
        data=read.facts.data,
        license_notes=list(notes.licenses),
        training_notes=list(notes.training),
        held_out=held_out[-1] if held_out else {},
        versions=installed_versions(),
        curves=CURVES_FILE if has_curves else None,
        fingerprint=item.fingerprint_after,
        license=notes.license,
        languages=list(notes.languages),
    )


def _sizes(config: ElectraConfig) -> Mapping[str, Any]:
    return {name: getattr(config, name) for name in SIZES}
