"""How a fine-tuning run is carried out; what it computes is :mod:`electra_common.tasks.settings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from electra_common.checksums import hash_file
from electra_common.runs.precision import check_precision
from electra_common.tasks.metrics import find_metric
from electra_common.tasks.readers.read import find_file
from electra_common.tasks.settings import FineTuningSettings, settings_for
from electra_common.tasks.starting import Start, plan_start
from electra_common.tasks.task import SPLITS, Task, find_task
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.fingerprint import fingerprint

_MODEL_FILES: Final = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json")  # beside the weights


@dataclass(frozen=True, kw_only=True)
class FineTuningJob:
    """One call of ``electra finetune``; :func:`make_job` makes it.

    Attributes:
        task: what is learned.
        start: the network to start from.
        settings: optimizer, schedule, lengths.
        files: the file of each split; ``train`` is there, ``dev`` and ``test`` may be.
        out: the folder of results.
        seeds: one run each: of weights that are new, order of rows, dropout.
        restarts: how many more seeds take the place of collapsed ones.
        accumulation: micro-batches for each update and process, to save memory; the result is that of one.
        precision: ``"float32"``, or ``"bfloat16"`` for the arithmetic of layers; weights and losses stay float32.
        evaluate_every: updates between evaluations on ``dev``; 0 for one at the end of each epoch. The last update
            always has one.
        log_every: updates between lines of the log, each the mean since the last one.
        save_every: updates between checkpoints to resume from; 0 for none.
        resume: go on with what the folder holds; one of a run that had no time to write anything begins anew.
        tensorboard: also write event files.

    Raises:
        ValueError: a number is out of range, or there is no folder to go on with.
    """

    task: Task
    start: Start
    settings: FineTuningSettings
    files: Mapping[str, Path]
    out: Path
    seeds: tuple[int, ...] = (0,)
    restarts: int = 0
    accumulation: int = 1
    precision: str = "float32"
    evaluate_every: int = 0
    log_every: int = 50
    save_every: int = 500
    resume: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, least in (("accumulation", 1), ("log_every", 1), ("evaluate_every", 0), ("save_every", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, found {getattr(self, name)}")
        object.__setattr__(self, "seeds", tuple(map(int, self.seeds)))  # whatever they were given as
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected one or more, each once, found {list(self.seeds)}")
        if self.restarts and "dev" not in self.files:
            raise ValueError("restarts: whether a seed collapsed is told by dev examples, and there are none")
        if self.settings.early_stopping and "dev" not in self.files:
            raise ValueError("early_stopping: what is better is told by dev examples, and there are none")
        if self.resume and not self.out.is_dir():
            raise ValueError(f"{self.out}: no such folder, so no run to resume; is its name right?")
        check_precision(self.precision)

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on: what decides its weights, and which of them are the best."""
        return {
            "task": self.task.as_dict(),
            "model": self.start.name,
            "from_scratch": self.start.from_scratch,
            "settings": self.settings.as_dict(),
            "evaluate_every": self.evaluate_every,
            "precision": self.precision,
            "files": {split: hash_file(path) for split, path in self.files.items()},
            "model_files": _model_files(self.start),
        }

    def shared(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return what must be the same in all processes of a run: what decides its weights, and when they meet."""
        names = ("accumulation", "seeds", "restarts", "log_every", "save_every")
        return {**identity, **{name: getattr(self, name) for name in names}}

    def restate(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the record of a run says, for comparing it with :meth:`identity`.

        One that was written before the model's files were kept in it says nothing of them.
        """
        return {**record} if "model_files" in record else {**record, "model_files": _model_files(self.start)}


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Where the examples of a run are.

    Attributes:
        folder: holds files of the names that the task knows; None where every file is named.
        files: the file of a split, in place of the folder's.
        changes: attributes of the task to change, such as ``{"text": "sentence"}``.
    """

    folder: Path | None = None
    files: Mapping[str, str | Path] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)


def make_job(
    task: str | Task,
    data: DataChoice | str | Path,
    out: str | Path,
    *,
    model: str | None = None,
    from_scratch: bool = False,
    changes: Sequence[str] = (),
    **options: Any,
) -> FineTuningJob:
    """Return a fine-tuning run, with the settings that fit its network and task.

    Args:
        task: a task, or the name of one.
        data: a folder of the task's files, or a choice of files and columns.
        out: the folder of results.
        model: folder, file or name on the Hub; None for the small model that comes with the package.
        from_scratch: leave the model's weights aside and start from new ones of its sizes.
        changes: ``name=value`` each, of :class:`~electra_common.tasks.settings.FineTuningSettings`.
        **options: further attributes of :class:`FineTuningJob`.

    Raises:
        ValueError: no such task, metric or file, values do not go together, or a column is named that files of the
            task have not got.
        CheckpointError: there is no such model.
    """
    choice = data if isinstance(data, DataChoice) else DataChoice(folder=Path(data))
    chosen = (find_task(task) if isinstance(task, str) else task).reading(**choice.changes)
    for name in chosen.metrics:
        find_metric(name, chosen.kind)
    start = plan_start(model, from_scratch=from_scratch)
    return FineTuningJob(
        task=chosen,
        start=start,
        settings=settings_for(chosen, start.config.hidden_size, changes),
        files=_find_files(chosen, choice),
        out=Path(out),
        **options,
    )


def _model_files(start: Start) -> dict[str, str | None]:
    """Return what tells the content of a model on this machine from another's under the same path.

    Of a model on the Hub there is nothing: its name stands for it. Weights are known by their fingerprint.
    """
    source = Path(start.source)
    if not (source.exists() or source.parent == start.folder):  # the latter a TensorFlow prefix
        return {}
    files = ((name, start.folder / name) for name in _MODEL_FILES)
    found = {name: hash_file(file) if file.is_file() else None for name, file in files}
    weights = None if start.from_scratch else open_checkpoint(start.source).component(start.component).tensors
    return {**found, "weights": None if weights is None else fingerprint(weights)}


def _find_files(task: Task, choice: DataChoice) -> dict[str, Path]:
    found = {split: Path(path) for split, path in choice.files.items()}
    for split in SPLITS:
        if split not in found and choice.folder is not None and (path := find_file(task, choice.folder, split)):
            found[split] = path
    if "train" not in found:
        raise ValueError(
            f"task {task.name}: no examples to train on: name a folder with --data, or a file with --train"
        )
    for split, path in found.items():
        if not path.is_file():
            raise ValueError(f"{path}: no such file, named for {split}")
    return found
