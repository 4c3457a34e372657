"""One pre-training run, seen from its loop: the batches it computes, when it logs, evaluates, saves and stops.

What it is for: everything around the arithmetic, so that the loop of each framework is short and shows the arithmetic.
What it is not: a loop. It never calls a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from electra_common.config import ElectraConfig
from electra_common.pretraining.batches import (
    Arrays,
    MicroBatch,
    PretrainingBatches,
    evaluation_batches,
)
from electra_common.pretraining.flops import step_flops
from electra_common.pretraining.masking import MaskingRules
from electra_common.pretraining.run_data import copy_tokenizer, data_identity, open_data, special_ids
from electra_common.pretraining.settings import RunSettings
from electra_common.pretraining.shards import ExampleShards
from electra_common.pretraining.starting import check_configs, state_to_start_from
from electra_common.runs.division import Division
from electra_common.runs.metrics_log import MetricsLog
from electra_common.runs.optimizer_file import Moments
from electra_common.runs.processes import Processes
from electra_common.runs.reporting import Reporter
from electra_common.runs.run import Run
from electra_common.runs.run_folder import (
    RunFolder,
    RunState,
    check_one_folder,
    list_checkpoints,
    open_run_folder,
    read_checkpoint,
    start_facts,
)
from electra_common.runs.schedule import scheduled_rate
from electra_common.runs.signals import stopped_by_signals
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import DISCRIMINATOR, GENERATOR

_ALL_TIES: Final = 0.5  # the area under the curve where no token has a higher logit than another


class _Newest(NamedTuple):
    """The checkpoint that a run goes on from."""

    folder: Path
    state: RunState
    moments: Moments


class PretrainingRun(Run):
    """What a loop asks for and tells; :func:`open_run` gives it.

    Attributes:
        settings: of this call.
        rules: which tokens are masked.
        configs: of the discriminator and the generator.
        resume_from: the checkpoint to go on from, or None at the start.
        moments: Adam's state to go on with, if there is one.
        first_step: where this start began.
    """

    def __init__(
        self,
        settings: RunSettings,
        training: ExampleShards,
        held_out: ExampleShards | None,
        processes: Processes,
        folder: RunFolder | None,
        reporter: Reporter,
        newest: _Newest | None,
    ) -> None:
        recipe = settings.recipe
        self.settings = settings
        ids = special_ids(training)
        self.rules: MaskingRules = recipe.masking_rules(training.vocab_size, ids)
        self.configs: tuple[ElectraConfig, ElectraConfig | None] = recipe.configs(training.vocab_size, ids["[PAD]"])
        self.resume_from = None if newest is None else newest.folder
        state = RunState()
        self.moments: Moments | None = None
        if newest is not None:
            state, self.moments = newest.state, newest.moments
        elif settings.start_from is not None:
            state, self.moments, note = state_to_start_from(settings)
            reporter.note(note)
        super().__init__(state, last_step=settings.last_step, processes=processes, reporter=reporter)
        self.first_step = state.step
        self._held_out, self._folder = held_out, folder
        self._batches = PretrainingBatches(
            training,
            self.rules,
            seed=settings.seed,
            division=Division(recipe.batch_size, processes.count, settings.accumulation),
            processes=processes.numbers,
        )
        reporter.start(state, last_step=settings.last_step, steps=recipe.steps)

    def expect_speed(self, operations_a_second: float) -> None:
        """Say what each process could reach at most, so that the log can tell its share."""
        recipe = self.settings.recipe
        flops = step_flops(
            *self.configs,
            recipe.pretraining_objective(),
            rows=recipe.batch_size,
            length=recipe.max_length,
            slots=self.rules.slots,
        )
        self._reporter.expect_speed(flops, operations_a_second * self._processes.count)

    # What the loop asks ---------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[tuple[int, list[list[MicroBatch]]]]:
        """Yield (step, micro-batches of each of this program's processes), from where the run stands to its end."""
        first = self.state.step
        if first < self.last_step:
            yield from enumerate(self._batches.steps(first, self.last_step), first)

    def check_networks(self, found: Mapping[str, ElectraConfig]) -> None:
        """Raise ValueError unless networks, by name, have the sizes that recipe and data ask for."""
        discriminator, generator = self.configs
        check_configs(found, {DISCRIMINATOR: discriminator, GENERATOR: generator or discriminator})

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        recipe = self.settings.recipe
        return scheduled_rate(
            step + 1,
            peak=recipe.learning_rate,
            warmup_steps=recipe.warmup_steps,
            total_steps=recipe.steps,
            power=recipe.decay_power,
        )

    def held_out(self) -> Iterator[Arrays]:
        """Yield the batches of an evaluation, of one size."""
        assert self._held_out is not None
        size = max(1, self.settings.recipe.batch_size // (self._processes.count * self.settings.accumulation))
        yield from evaluation_batches(
            self._held_out,
            self.rules,
            seed=self.settings.seed,
            batch_size=size,
            examples=self.settings.evaluation_examples,
        )

    @property
    def logs_now(self) -> bool:
        """Whether a line of the log is due after the step just finished."""
        return self.is_due(self.settings.log_every)

    @property
    def evaluates_now(self) -> bool:
        """Whether an evaluation is due."""
        return self._held_out is not None and self.is_due(self.settings.evaluate_every)

    @property
    def saves_now(self) -> bool:
        """Whether a checkpoint is due: at every so many steps, at the end, and where the run was asked to stop."""
        return self.asked_to_stop or self.is_due(self.settings.save_every)

    # What the loop tells --------------------------------------------------------------------------------------------

    # What fails here in one process, such as a full disk, fails in all; so all of them come here, and with them none of
    # what takes all processes to compute.

    def log_evaluation(self, values: Mapping[str, float]) -> None:
        """Write a line of held-out metrics; raises TrainingDivergedError as :meth:`log` does."""
        with self.together():
            self.check_finite(values)
            self._reporter.held_out(self.state, values)
        if values.get("auc") == _ALL_TIES:
            self._reporter.note(
                f"step {self.state.step:,}: the discriminator answers every held-out token alike (auc {_ALL_TIES}); if "
                "that stays so, all tokens become one another in its layers, as where the weights of a deep network "
                "start too wide or move too far: try a smaller initializer_range or learning_rate"
            )

    def save(self, write_model: Callable[[Path], None], read_moments: Callable[[], Moments]) -> None:
        """Write a checkpoint; only the first process does, and only there Adam's state is read."""
        with self.together():
            if self._folder is not None:
                target = self._folder.save(self.state, write_model, read_moments(), self.settings.keep)
                self._reporter.note(f"step {self.state.step:,}: saved {target}")
        self._reporter.go_on()

    @property
    def remains(self) -> str:
        """Which checkpoint there is to go on from."""
        kept = self._folder.checkpoints if self._folder is not None else []
        if not kept:
            return "no checkpoint was written yet; "
        return f"the last good checkpoint is {kept[-1]} (if that diverges at once, remove it); "


@contextmanager
def open_run(
    settings: RunSettings, *, framework: str, version: str, processes: Processes, quiet: bool = False
) -> Iterator[PretrainingRun]:
    """Check everything that a run needs, take its folder, and give the run.

    While it is open, SIGTERM and SIGINT ask it to stop instead of ending the program.

    Args:
        settings: of the run.
        framework: ``"pt"`` or ``"tf"``, for the record.
        version: of the framework.
        processes: how many compute it, and which of them this program drives.
        quiet: print nothing.

    Raises:
        ValueError: data, recipe or folder do not go together.
        CheckpointError: the folder cannot be written, or its last checkpoint is damaged.
        AnotherProcessFailedError: another process raised one of these.
    """
    start = start_facts(framework, version, processes.count, settings.precision)
    with ExitStack() as stack:
        folder = None
        with processes.together():
            _check_shard(settings, framework, processes)
            Division(settings.recipe.batch_size, processes.count, settings.accumulation)  # told before a folder is made
            training, held_out = open_data(settings)
            data = data_identity(training)
        with processes.together():
            processes.check_alike(settings.shared(data))
        with processes.together():
            if processes.is_first:
                identity = settings.identity(data)
                folder = stack.enter_context(open_run_folder(settings.out, identity, start, restate=settings.restate))
                copy_tokenizer(training, settings.out)
        with processes.together():
            check_one_folder(settings.out, processes)
        with processes.together():  # The first one has put the folder in order.
            newest = _read_newest(settings.out)
            reporter = stack.enter_context(_reporter(settings, processes, newest, quiet))
            run = PretrainingRun(settings, training, held_out, processes, folder, reporter, newest)
            if settings.evaluate_every and held_out is None:
                reporter.note("no evaluations: the corpus was prepared without --held-out or --held-out-file")
        stack.enter_context(stopped_by_signals(run, has_others=processes.has_others))
        yield run


def _read_newest(run: Path) -> _Newest | None:
    """Return what a run goes on from; raises CheckpointError, with what can be done about it, where that is damaged."""
    *before, folder = (None, *list_checkpoints(run))
    if folder is None:
        return None
    try:
        open_checkpoint(folder)  # the networks are read later, but what is missing or truncated is told now
        return _Newest(folder, *read_checkpoint(folder))
    except CheckpointError as error:
        rest = f"goes on from {before[-1].name}" if before[-1] is not None else "begins anew"
        raise CheckpointError(f"{error}; without {folder} the run {rest}") from None


def _check_shard(settings: RunSettings, framework: str, processes: Processes) -> None:
    if settings.shard and framework != "pt":
        raise ValueError("shard: only PyTorch divides networks among processes; leave it out, or choose --framework pt")
    if settings.shard and processes.count == 1:
        raise ValueError("shard: networks are divided among several processes, and there is one; start with torchrun")


@contextmanager
def _reporter(settings: RunSettings, processes: Processes, newest: _Newest | None, quiet: bool) -> Iterator[Reporter]:
    log = None
    with ExitStack() as stack:
        if processes.is_first:
            step = 0 if newest is None else newest.state.step
            log = stack.enter_context(MetricsLog(settings.out, tensorboard=settings.tensorboard, after_step=step))
        yield stack.enter_context(Reporter(log, what="pre-training", quiet=quiet or not processes.is_first))
