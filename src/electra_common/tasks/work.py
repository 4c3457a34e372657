"""A fine-tuning run with all of its seeds: which are still to be done, what each came to, and the folder of results.

=========================  ===========================================================================================
``run.json``               what decides the weights (task, model, settings, files), and each start: command, versions
``metrics.json``           what the seeds reached, and :mod:`electra_common.tasks.results`' other files
``seed-N/metrics.jsonl``   the curves (:mod:`electra_common.runs.metrics_log`)
``seed-N/checkpoints/``    to resume from; gone when the seed is done
``seed-N/last``, ``best``  the model at the end, and where it was best on ``dev``: folders that any class loads
``seed-N/result.json``     what the seed came to; a seed that has one is done
=========================  ===========================================================================================
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.runs.division import Division
from electra_common.runs.folder_lock import refuse_links
from electra_common.runs.metrics_log import MetricsLog, read_metrics
from electra_common.runs.processes import Processes
from electra_common.runs.reporting import Reporter
from electra_common.runs.run_folder import (
    RUN_FILE,
    WRITTEN_THROUGH,
    check_one_folder,
    command_line,
    list_checkpoints,
    open_run_folder,
    read_state,
    start_facts,
)
from electra_common.runs.signals import stopped_by_signals
from electra_common.tasks.card import TaskCardFacts, task_card
from electra_common.tasks.data import TaskData, read_task_data
from electra_common.tasks.features.make import known_answer
from electra_common.tasks.job import FineTuningJob
from electra_common.tasks.metrics import METRICS
from electra_common.tasks.result_file import RESULT_FILE, SeedRecord, read_record, read_records
from electra_common.tasks.results import (
    CONFUSION_PICTURE,
    CURVES_PICTURE,
    FineTuningFacts,
    seed_folder,
    write_results,
    write_seed,
)
from electra_common.tasks.run import BEST, LAST, FineTuningRun, Measured, Predict
from electra_common.tasks.seeds import SeedResult, Summary, is_collapsed, summarize
from electra_common.tasks.starting import open_tokenizer, task_config
from electra_common.tasks.task_file import TASK_FILE
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.tokenization.files import folder_files
from electra_common.versions import installed_versions
from electra_common.weights.atomic import write_files

CARD_FILE: Final = "README.md"
_PICTURES: Final = {
    CURVES_PICTURE: "Loss and metrics by step",
    CONFUSION_PICTURE: "What was expected, and what was predicted instead",
}
_PERCENT: Final = 100.0


class FineTuning:
    """The seeds of a run; :func:`open_work` gives it."""

    def __init__(
        self,
        job: FineTuningJob,
        data: TaskData,
        tokenizer: ElectraTokenizerFast,
        facts: FineTuningFacts,
        processes: Processes,
        *,
        quiet: bool,
    ) -> None:
        self.job, self.data, self.facts = job, data, facts
        self.config: ElectraConfig = task_config(job.start, job.task, data.task_file.labels, job.settings)
        self._processes, self._quiet = processes, quiet
        self._files = {**folder_files(tokenizer), TASK_FILE: data.task_file.as_bytes()}
        self._records: dict[int, SeedRecord] = {}
        self._others: Mapping[int, SeedRecord] = {}
        # A signal at the end of a seed is one for the next seed: the one at hand is done all the same.
        self._was_stopped = self._was_signalled = False

    def runs(self) -> Iterator[FineTuningRun]:
        """Yield a run for each seed that is not done yet, and for as many more as collapsed ones may be replaced by."""
        self._others = read_records(self.job.out)  # of earlier calls: also of seeds that this one was not asked for
        waiting = list(self.job.seeds)
        restarts = self.job.restarts
        while waiting and not self._was_stopped:
            seed = waiting.pop(0)
            if (record := read_record(seed_folder(self.job.out, seed))) is not None:
                self._records[seed] = record
                if self._processes.is_first:
                    _forget_checkpoints(seed_folder(self.job.out, seed))
            elif self._was_signalled:
                self._was_stopped = True
            else:
                with self._open_run(seed) as run:
                    yield run
                    self._was_stopped = not run.has_ended
                    self._was_signalled = self._processes.anywhere(run.was_signalled)
            if seed in self._records and self._records[seed].result.is_collapsed and restarts:
                restarts -= 1
                waiting.append(max(*self._records, *waiting, *self.job.seeds) + 1)

    def finish(self, run: FineTuningRun, predict: Predict) -> None:
        """Measure the model that counts, on what there is to measure on, and keep what was found."""
        measured: dict[str, Measured] = {}
        for split in sorted(self.data.measured):  # dev first: what fails on test does not cost what was found there
            with self._processes.together():
                measured[split] = run.measure(split, predict)
                if self._processes.is_first:
                    self._write_predictions(run, split, measured[split])
        with self._processes.together():
            if self._processes.is_first:
                record = SeedRecord(self._result(run, measured), self.facts.origin)
                write_files(run.folder, {RESULT_FILE: record.as_bytes()})
                _forget_checkpoints(run.folder)
        kept = read_record(run.folder)  # of the first process, by all
        assert kept is not None
        self._records[run.seed] = kept

    def summary(self) -> Summary | None:
        """Write what all seeds of the folder reached, and return it; None if the run was stopped before its end."""
        if self._was_stopped:
            return None
        records = dict(sorted({**self._others, **self._records}.items()))
        results = [record.result for record in records.values()]
        main = self.job.task.metrics[0]
        measured = [result for result in results if result.metrics]
        summary = summarize(measured, main) if measured else Summary(main, {}, {}, (), len(results))
        with self._processes.together():
            self._write_summary(records, results, summary)
        return summary

    # ----------------------------------------------------------------------------------------------------------------

    def _write_summary(self, records: Mapping[int, SeedRecord], results: list[SeedResult], summary: Summary) -> None:
        if self._processes.is_first:
            origins = {seed: record.origin for seed, record in records.items()}
            facts = {seed: replace(self.facts, **record.origin) for seed, record in records.items()}
            write_results(self.job.out, facts[max(facts)], results, self.job.task.metrics[0], origins)
            for result in results:
                self._write_cards(result, facts[result.seed], results, summary)

    @contextmanager
    def _open_run(self, seed: int) -> Iterator[FineTuningRun]:
        folder = seed_folder(self.job.out, seed)
        with ExitStack() as stack:
            with self._processes.together():
                log = self._open_log(folder, stack)
                what = f"{self.job.task.name}, seed {seed}"
                quiet = self._quiet or not self._processes.is_first
                reporter = stack.enter_context(Reporter(log, what=what, quiet=quiet))
                reporter.note(f"{what}: {len(self.data.train.rows):,} rows to train on")
                run = FineTuningRun(
                    self.job,
                    seed,
                    self.data,
                    self.config,
                    folder=folder,
                    processes=self._processes,
                    reporter=reporter,
                    files=self._files,
                )
            stack.enter_context(stopped_by_signals(run, has_others=self._processes.has_others))
            yield run

    def _open_log(self, folder: Path, stack: ExitStack) -> MetricsLog | None:
        if not self._processes.is_first:
            return None
        checkpoint = next(iter(reversed(list_checkpoints(folder))), None)
        step = 0 if checkpoint is None else read_state(checkpoint).step
        return stack.enter_context(MetricsLog(folder, tensorboard=self.job.tensorboard, after_step=step))

    def _write_predictions(self, run: FineTuningRun, split: str, found: Measured) -> None:
        """Those of ``dev`` with pictures in the seed's folder; those of ``test`` in one of their own."""
        out = self.job.out if split == "dev" else self.job.out / split
        if split != "dev":
            shutil.rmtree(seed_folder(out, run.seed), ignore_errors=True)
        write_seed(
            out,
            run.seed,
            self.job.task,
            self.data.task_file.labels,
            self.data.measured[split].examples,
            found.predictions,
        )

    def _write_cards(
        self, result: SeedResult, facts: FineTuningFacts, results: Sequence[SeedResult], summary: Summary
    ) -> None:
        """Beside each model of a seed, with the pictures that it shows."""
        folder = seed_folder(self.job.out, result.seed)
        pictures = {name: text for name, text in _PICTURES.items() if (folder / name).is_file()}
        for name in (LAST, BEST):
            if (folder / name).is_dir():
                card = TaskCardFacts(
                    name=f"{self.job.out.resolve().name}, seed {result.seed}, {name}",
                    task=self.job.task,
                    labels=self.data.task_file.labels,
                    base_model=facts.model,
                    framework=facts.framework,
                    settings=facts.settings,
                    command=facts.command,
                    versions=facts.versions,
                    results=results,
                    summary=summary if summary.metrics else None,
                    seed=result.seed,
                    opens_in_transformers=self.config.head == "transformers",
                    pictures=pictures,
                )
                files = {picture: (folder / picture).read_bytes() for picture in pictures}
                write_files(folder / name, {**files, CARD_FILE: task_card(card).encode()})

    def _result(self, run: FineTuningRun, measured: Mapping[str, Measured]) -> SeedResult:
        split = self.data.main_split
        main, reason = self.job.task.metrics[0], None
        if split is not None and measured[split].metrics:
            reason = is_collapsed(
                measured[split].metrics[main],
                nan if self.data.constant_score is None else self.data.constant_score,
                higher_is_better=METRICS[main].larger_is_better,
                predictions=measured[split].predictions,
                examples=self.data.measured[split].examples,
                scale=_PERCENT if self.job.task.kind == "answers" else None,
            )
        entries = read_metrics(run.folder)
        return SeedResult(
            seed=run.seed,
            metrics={} if split is None else dict(measured[split].metrics),
            best_metrics=_best(entries, main),
            constant_score=nan if self.data.constant_score is None else self.data.constant_score,
            is_collapsed=reason is not None,
            collapse_reason=reason or "",
            seconds=entries[-1].time if entries else 0.0,
            steps=run.state.step,
            split=split or "dev",
            test_metrics=dict(measured["test"].metrics) if split == "dev" and "test" in measured else {},
        )


@contextmanager
def open_work(
    job: FineTuningJob, *, framework: str, version: str, processes: Processes, quiet: bool = False
) -> Iterator[FineTuning]:
    """Check everything that a run needs, read its data, take its folder, and give the run.

    Args:
        job: of this call.
        framework: ``"pt"`` or ``"tf"``, for the record.
        version: of the framework.
        processes: how many compute it, and which of them this program drives.
        quiet: print nothing.

    Raises:
        ValueError: data, settings or folder do not go together.
        CheckpointError: the folder cannot be written, or a checkpoint in it is damaged.
        AnotherProcessFailedError: another process raised one of these.
    """
    start = start_facts(framework, version, processes.count, job.precision)
    with ExitStack() as stack:
        with processes.together():
            Division(job.settings.batch_size, processes.count, job.accumulation)  # what does not divide is told now
            tokenizer = open_tokenizer(job.start, max_length=job.settings.max_length)
            data = read_task_data(job.task, job.files, tokenizer, job.settings)
            _check_answers(job, data)
            identity = job.identity()
        with processes.together():
            processes.check_alike(job.shared(identity))
        with processes.together():
            if processes.is_first:
                _check_folder(job)
                folder = open_run_folder(job.out, identity, start, holds_work=_holds_work, restate=job.restate)
                stack.enter_context(folder)
                _refuse_links(job.out)
        with processes.together():
            check_one_folder(job.out, processes)
        facts = FineTuningFacts(
            task=job.task,
            model=job.start.name,
            framework=framework,
            settings={**job.settings.as_dict(), "precision": job.precision, "from_scratch": job.start.from_scratch},
            versions=installed_versions(),
            command=command_line(),
        )
        yield FineTuning(job, data, tokenizer, facts, processes, quiet=quiet)


def _refuse_links(out: Path) -> None:
    """Refuse links where seeds are written, and where what an earlier call left of them is removed."""
    tests = out / "test"
    seeds = [*out.glob("seed-*"), *tests.glob("seed-*")]
    refuse_links([tests, *seeds, *(seed / name for seed in seeds for name in (*WRITTEN_THROUGH, LAST, BEST))])


def _forget_checkpoints(folder: Path) -> None:
    """Remove what a seed would be resumed from, once its result stands."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _best(entries: Any, main: str) -> Mapping[str, float]:
    measured = [entry.metrics for entry in entries if entry.split == "held-out" and main in entry.metrics]
    if not measured:
        return {}
    choose = max if METRICS[main].larger_is_better else min
    return dict(choose(measured, key=lambda metrics: metrics[main]))


def _holds_work(out: Path) -> bool:
    """Whether a seed is done, or has a checkpoint."""
    return any(folder for folder in out.glob("seed-*") if (folder / RESULT_FILE).exists() or list_checkpoints(folder))


def _check_folder(job: FineTuningJob) -> None:
    if (job.out / RUN_FILE).exists() and not job.resume:
        raise ValueError(f"{job.out}: holds a run; add --resume to go on with it, or choose another folder")


def _check_answers(job: FineTuningJob, data: TaskData) -> None:
    """Refuse what asks how good a model is on ``dev`` where the answers to that are not known."""
    dev = data.measured.get("dev")
    unknown = next((example for example in dev.examples if known_answer(example) is None), None) if dev else None
    asked = [name for name, is_asked in (("early_stopping", job.settings.early_stopping), ("restarts", job.restarts))
             if is_asked]  # fmt: skip
    if unknown is not None and asked:
        raise ValueError(f"{unknown.place}: no answer, and {asked[0]} needs one to each example of dev: leave it out")
