"""One seed of a fine-tuning run, seen from its loop: the batches it computes, when it logs, measures, saves and stops.

What it is for: everything around the arithmetic, so that the loop of each framework is short and shows the arithmetic.
What it is not: a loop. It never calls a model, and knows nothing of other seeds (:mod:`electra_common.tasks.work`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from electra_common.config import ElectraConfig
from electra_common.runs.division import Division
from electra_common.runs.metrics_log import METRICS_FILE, read_metrics
from electra_common.runs.optimizer_file import Moments
from electra_common.runs.processes import Processes
from electra_common.runs.reporting import Reporter
from electra_common.runs.run import Run
from electra_common.runs.run_folder import RunFolder, RunState, read_checkpoint
from electra_common.runs.schedule import scheduled_rate, warmup_updates
from electra_common.tasks.batches import FineTuningBatch, FineTuningBatches, balanced_class_weights
from electra_common.tasks.data import TaskData
from electra_common.tasks.decoding.decode import decode
from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.features.make import Features
from electra_common.tasks.features.rows import Row
from electra_common.tasks.job import FineTuningJob
from electra_common.tasks.metrics import is_better, score
from electra_common.tasks.task_file import TaskFile
from electra_common.weights.atomic import new_folder, write_files

BEST: Final = "best"
LAST: Final = "last"

# What a model computes for rows, one mapping for each, cut to the row's real length.
Predict = Callable[[Sequence[Row]], Sequence[Mapping[str, NDArray[Any]]]]


@dataclass(frozen=True)
class Measured:
    """What was found on one split.

    Attributes:
        predictions: one for each example, in order.
        metrics: empty where the answers are not known.
    """

    predictions: Sequence[Prediction]
    metrics: Mapping[str, float]


class FineTuningRun(Run):
    """What a loop asks for and tells; :mod:`electra_common.tasks.work` gives it.

    Attributes:
        job: of this call.
        seed: of this run.
        config: of the network with the task's head.
        resume_from: the checkpoint to go on from, or None at the start.
        moments: Adam's state at the checkpoint.
        is_done: whether early stopping ended the run.
    """

    def __init__(
        self,
        job: FineTuningJob,
        seed: int,
        data: TaskData,
        config: ElectraConfig,
        *,
        folder: Path,
        processes: Processes,
        reporter: Reporter,
        files: Mapping[str, bytes],
    ) -> None:
        self.job, self.seed, self.config, self.data = job, seed, config, data
        self.folder = folder
        self._files = files
        settings = job.settings
        class_weights = None
        labels = data.task_file.labels
        if settings.class_weights == "balanced" and labels:
            class_weights = balanced_class_weights(data.train.rows, len(labels))
        self._batches = FineTuningBatches(
            data.train.rows,
            seed=seed,
            division=Division(settings.batch_size, processes.count, job.accumulation),
            processes=processes.numbers,
            pad_token_id=config.pad_token_id or 0,
            group_by_length=settings.group_by_length,
            class_weights=class_weights,
        )
        state, self.moments = RunState(), None
        self.resume_from = next(iter(reversed(RunFolder(folder).checkpoints)), None)
        if self.resume_from is not None:
            state, self.moments = read_checkpoint(self.resume_from)
        steps = self._batches.steps_for(settings.epochs)
        super().__init__(state, last_step=steps, processes=processes, reporter=reporter)
        self._latest: tuple[int, Measured] | None = None
        self.best: float | None = None
        self.evaluations_without_better = 0
        self._recall_evaluations()
        self.is_done = False
        reporter.start(state, last_step=steps, steps=steps)

    # What the loop asks ---------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[tuple[int, list[list[FineTuningBatch]]]]:
        """Yield (step, micro-batches of each of this program's processes), from where the run stands to its end."""
        first = self.state.step
        if first < self.last_step and not self._stops_early:
            yield from enumerate(self._batches.steps(first, self.last_step), first)

    def learning_rate(self, step: int) -> float:
        """Return the peak times what the schedule has for a step, counted from 0."""
        settings = self.job.settings
        return scheduled_rate(
            step + 1,
            peak=settings.learning_rate,
            warmup_steps=warmup_updates(settings.warmup_fraction, self.last_step, settings.schedule),
            total_steps=self.last_step,
            power=settings.decay_power,
            schedule=settings.schedule,
        )

    @property
    def logs_now(self) -> bool:
        """Whether a line of the log is due after the step just finished."""
        return self.is_due(self.job.log_every)

    @property
    def evaluates_now(self) -> bool:
        """Whether the model is to be measured on ``dev``."""
        if "dev" not in self.data.measured:
            return False
        if self.job.evaluate_every:
            return self.is_due(self.job.evaluate_every)
        return self._batches.ends_epoch(self.state.step) or self.state.step == self.last_step

    @property
    def saves_now(self) -> bool:
        """Whether a checkpoint is due; none is at the end, where :meth:`keep_last` keeps the model."""
        at_end = self.state.step == self.last_step or self.is_done
        return not at_end and (self.asked_to_stop or self.is_due(self.job.save_every))

    # What the loop tells --------------------------------------------------------------------------------------------
    # What fails here in one process, such as a full disk, fails in all; so all of them come here.

    def evaluate(self, predict: Predict, write_model: Callable[[Path], None]) -> None:
        """Measure the model on ``dev``; keep it if it is better than all before. All processes come here, none alone.

        What the first process found decides for all: another one may round otherwise, and stop where that one goes on.
        """
        with self._processes.together():
            found = self.measure("dev", predict)
            self._reporter.held_out(self.state, found.metrics)
        self._latest = self.state.step, found
        if not found.metrics:
            return
        main = self.job.task.metrics[0]
        improves = self._count_evaluation(self._processes.gather(found.metrics[main])[0])
        with self._processes.together():
            if improves and self._processes.is_first:
                self._write(BEST, write_model)
        self._reporter.go_on()
        self.is_done = self._stops_early

    def measure(self, split: str, predict: Predict) -> Measured:
        """Return predictions and metrics on a split, of the model that counts at the end or of the one at hand before.

        At the end the last model was just measured on ``dev``, and is not measured again.
        """
        if split == "dev" and self._latest is not None and self._latest[0] == self.state.step and self.chosen is None:
            return self._latest[1]
        return measure(self.data.task_file, self.data.measured[split], predict)

    def save(self, write_model: Callable[[Path], None], read_moments: Callable[[], Moments]) -> None:
        """Write a checkpoint to resume from; only the first process does, and only there Adam's state is read."""
        with self.together():
            if self._processes.is_first:
                RunFolder(self.folder).save(self.state, write_model, read_moments(), keep=1)
        self._reporter.go_on()

    def keep_last(self, write_model: Callable[[Path], None]) -> None:
        """Keep the model as it is at the end. Checkpoints stay until the result is written: a kill may come between."""
        with self._processes.together():
            if self._processes.is_first:
                self._write(LAST, write_model)

    @property
    def place(self) -> str:
        """Which seed this is of, and where it stands."""
        return f"seed {self.seed}, step {self.state.step}"

    @property
    def chosen(self) -> Path | None:
        """The model that counts, where it is not the last one: with early stopping, the best."""
        return self.folder / BEST if self.job.settings.early_stopping and self.best is not None else None

    @property
    def has_ended(self) -> bool:
        """Whether no step is left."""
        return self.state.step >= self.last_step or self._stops_early

    # ----------------------------------------------------------------------------------------------------------------

    @property
    def _stops_early(self) -> bool:
        patience = self.job.settings.early_stopping
        return patience > 0 and self.evaluations_without_better >= patience

    def _count_evaluation(self, value: float) -> bool:
        """Take notice of the first metric of an evaluation; return whether it is better than all before."""
        improves = self.best is None or is_better(self.job.task.metrics[0], value, self.best)
        self.best = value if improves else self.best
        self.evaluations_without_better = 0 if improves else self.evaluations_without_better + 1
        return improves

    def _recall_evaluations(self) -> None:
        main = self.job.task.metrics[0]
        if (self.folder / METRICS_FILE).is_file():
            for entry in read_metrics(self.folder):
                # Where the answers to dev are not known, an evaluation found nothing.
                if entry.split == "held-out" and entry.step <= self.state.step and main in entry.metrics:
                    self._count_evaluation(entry.metrics[main])

    def _write(self, name: str, write_model: Callable[[Path], None]) -> None:
        with new_folder(self.folder / name, overwrite=True) as folder:
            write_model(folder)
            write_files(folder, dict(self._files))


def measure(task_file: TaskFile, features: Features, predict: Predict) -> Measured:
    """Return a model's predictions for some rows, and their metrics where the answers are known.

    Args:
        task_file: the task, its labels, and how outputs are read.
        features: rows without labels.
        predict: the model.
    """
    predictions = read_outputs(task_file, features, predict(features.rows))
    return Measured(predictions, score(task_file.task, features.examples, predictions, task_file.labels))


def read_outputs(
    task_file: TaskFile, features: Features, outputs: Sequence[Mapping[str, NDArray[Any]]]
) -> list[Prediction]:
    """Return the predictions that a model's outputs are, one for each example, in order.

    Args:
        task_file: the task, its labels, and how outputs are read.
        features: what the model was given.
        outputs: one mapping for each row.
    """
    counts = {name: getattr(task_file, name) for name in ("n_best", "max_answer_length")}
    return decode(
        task_file.task,
        features,
        outputs,
        task_file.labels,
        null_threshold=task_file.null_threshold,
        **{name: value for name, value in counts.items() if value is not None},
    )
