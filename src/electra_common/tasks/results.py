"""The folder that a fine-tuning leaves behind, for reading, for looking at and for other programs.

===========================  =========================================================================================
``metrics.json``             task, model, settings, framework, versions, command, each seed's result, the summary
``summary.png``              all seeds in one picture
``seed-N/predictions.jsonl`` an example a line, in order: what was asked, what was expected, what was predicted
``seed-N/confusion.png``     of classes and tags what is mistaken for what; of numbers predicted against expected
``seed-N/curves.png``        loss and metrics by step, from the ``metrics.jsonl`` that the training wrote beside it
===========================  =========================================================================================

Of a test set whose answers are not known there are no metrics, no summary and no ``confusion.png``; all else is as
usual, with null for what was expected. Of questions and choices there is no ``confusion.png`` either. Without
matplotlib there are no pictures at all, and a warning says so. Every file is written whole or not at all. What it is
not: weights and the model's card (:mod:`electra_common.tasks.card`).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from electra_common.pictures import new_figure, picture_bytes
from electra_common.runs.metrics_log import METRICS_FILE, read_metrics
from electra_common.tasks.answers import check_order, expected_answer, known_pairs
from electra_common.tasks.decoding.prediction import GivenAnswer, Prediction
from electra_common.tasks.examples import Example
from electra_common.tasks.readers.labels import OUTSIDE
from electra_common.tasks.result_pictures import confusion_figure, scatter_figure, seed_curves_figure, seeds_figure
from electra_common.tasks.seeds import SeedResult, Summary, summarize
from electra_common.tasks.task import Task
from electra_common.weights.atomic import write_files
from electra_common.weights.errors import CheckpointError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS_FILE: Final = "metrics.json"
SUMMARY_PICTURE: Final = "summary.png"
PREDICTIONS_FILE: Final = "predictions.jsonl"
CONFUSION_PICTURE: Final = "confusion.png"
CURVES_PICTURE: Final = "curves.png"
_FORMAT: Final = 1
# Pictures by the names of their files, each made when it is written; None where there is nothing to draw.
Drawings = Mapping[str, Callable[[], "Figure | None"]]
# Ends of lines to some programs that JSON writes as they are.
_LINE_ENDS: Final = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True, kw_only=True)
class FineTuningFacts:
    """What a fine-tuning was.

    Attributes:
        task: the task.
        model: name or path of the model that it began with.
        framework: ``"pt"`` or ``"tf"``.
        settings: how it was trained, as plain values.
        versions: of programs, by name (:func:`electra_common.versions.installed_versions`).
        command: that started it, as a shell takes it.
    """

    task: Task
    model: str
    framework: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str

    @property
    def origin(self) -> dict[str, Any]:
        """What of it may differ between the seeds of one run: framework, versions and command."""
        return {"framework": self.framework, "versions": dict(self.versions), "command": self.command}


def seed_folder(out: Path, seed: int) -> Path:
    """Return where the files of one seed are."""
    return out / f"seed-{seed}"


def write_seed(
    out: Path,
    seed: int,
    task: Task,
    labels: Sequence[str],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
) -> None:
    """Write the predictions and pictures of one seed, as soon as it is done.

    Pictures of an earlier call that would no longer fit are removed.

    Args:
        out: the results folder, made if it does not exist.
        seed: whose files these are.
        task: the task.
        labels: the classes or tags in the order of their numbers; none for other kinds.
        examples: what was asked.
        predictions: the answers, in the same order.

    Raises:
        ValueError: predictions do not belong to the examples; or the training's log cannot be read, and then the
            predictions are written and the pictures are not.
        CheckpointError: the folder cannot be written.
    """
    check_order(examples, predictions)
    folder = seed_folder(out, seed)
    # What took long comes first: a picture that cannot be drawn must not cost the predictions.
    write_files(folder, {PREDICTIONS_FILE: partial(_write_predictions, examples, predictions)})
    confusion = partial(_answers_figure, task, labels, examples, predictions)
    _write_pictures(folder, {CONFUSION_PICTURE: confusion, CURVES_PICTURE: partial(_curves_figure, folder)})


def write_results(
    out: Path,
    facts: FineTuningFacts,
    results: Sequence[SeedResult],
    main_metric: str,
    origins: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
) -> Summary | None:
    """Write ``metrics.json`` and ``summary.png``, and return the summary; None where no seed has metrics.

    Args:
        out: the results folder, made if it does not exist.
        facts: what the fine-tuning was.
        results: one for each seed.
        main_metric: what models are compared by.
        origins: of each seed what computed it (:attr:`FineTuningFacts.origin`), where that is known.

    Raises:
        ValueError: a seed stands twice, some results have the main metric and others do not, or a setting is no plain
            value.
        CheckpointError: the folder cannot be written.
    """
    summary = summarize(results, main_metric) if any(result.metrics for result in results) else None
    values = {
        "format": _FORMAT,
        **{item.name: getattr(facts, item.name) for item in fields(facts)},
        "task": facts.task.as_dict(),
        "seeds": [
            {**{item.name: getattr(result, item.name) for item in fields(result)}, **origins.get(result.seed, {})}
            for result in results
        ],
        "summary": None if summary is None else summary.as_dict(),
    }
    write_files(out, {RESULTS_FILE: (_as_json(values, indent=2) + "\n").encode("utf-8", "backslashreplace")})
    _write_pictures(out, {SUMMARY_PICTURE: partial(_summary_figure, results, summary)})
    return summary


def _write_pictures(folder: Path, drawings: Drawings) -> None:
    """Write those that there are, and remove those of an earlier call that there are no longer."""
    can_draw = _can_draw()
    figures = {name: draw() if can_draw else None for name, draw in drawings.items()}
    write_files(folder, {name: picture_bytes(figure, "png") for name, figure in figures.items() if figure is not None})
    for name in (name for name, figure in figures.items() if figure is None):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(f"{folder / name}: cannot be removed: {error.strerror or error}") from None


def _can_draw() -> bool:
    """Whether there is anything to draw with; what was trained for hours is good without pictures."""
    try:
        new_figure(1, 1)
    except ValueError as error:
        # Always of this line, which Python shows once.
        warnings.warn(f"the results have no pictures: {error}", stacklevel=1)
        return False
    return True


# Predictions ----------------------------------------------------------------------------------------------------------


def _write_predictions(examples: Sequence[Example], predictions: Sequence[Prediction], stream: BinaryIO) -> None:
    for example, prediction in zip(examples, predictions, strict=True):
        # Half a pair of surrogates, which JSON can spell and UTF-8 cannot, becomes the escape that JSON has for it.
        stream.write((_as_json(_record(example, prediction)) + "\n").encode("utf-8", "backslashreplace"))


def _record(example: Example, prediction: Prediction) -> dict[str, Any]:
    """Return one line: what was asked under the names of the example, then both answers, then what else is known."""
    answers = ("label", "tags", "answers")
    asked = {item.name: getattr(example, item.name) for item in fields(example) if item.name not in (*answers, "place")}
    details = {name: value for name, value in prediction.as_dict().items() if name not in ("id", "answer")}
    return {
        **{name: value for name, value in asked.items() if value is not None},
        "expected": expected_answer(example),
        "predicted": prediction.answer,
        **({"details": details} if details else {}),
    }


def _as_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=indent).translate(_LINE_ENDS)


def _plain(value: Any) -> Any:
    """Return JSON values; numbers that JSON has no word for are null."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"results are made of texts, numbers, lists and mappings; found {type(value).__name__}")
    return value


# Pictures -------------------------------------------------------------------------------------------------------------


def _answers_figure(
    task: Task, labels: Sequence[str], examples: Sequence[Example], predictions: Sequence[Prediction]
) -> Figure | None:
    """Return the picture of what was expected and predicted, None where there is nothing to compare."""
    if task.kind not in ("classification", "regression", "tagging"):
        return None
    pairs = known_pairs(examples, predictions)
    expected, predicted = [wanted for wanted, _ in pairs], [found for _, found in pairs]
    if not pairs:
        return None
    if task.kind == "regression":
        return scatter_figure(_numbers(expected), _numbers(predicted))
    outside = OUTSIDE if task.kind == "tagging" and task.scheme == "BIO" else None
    return confusion_figure(list(map(str, expected)), list(map(str, predicted)), labels, outside=outside)


def _numbers(values: Sequence[GivenAnswer]) -> list[float]:
    if texts := [value for value in values if isinstance(value, str | tuple)]:
        raise ValueError(f"a regression has numbers for answers, found {texts[0]!r}")
    return [float(value) for value in values if isinstance(value, float | int)]


def _summary_figure(results: Sequence[SeedResult], summary: Summary | None) -> Figure | None:
    return seeds_figure(results, summary) if summary is not None and summary.metrics else None


def _curves_figure(folder: Path) -> Figure | None:
    if not (folder / METRICS_FILE).exists():
        return None
    entries = read_metrics(folder)
    return seed_curves_figure(entries) if any(entry.metrics for entry in entries) else None
