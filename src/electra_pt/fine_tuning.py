"""The fine-tuning loop: a network learns a task from examples, once for each seed (paper, section 3).

Everything around the arithmetic (data, log, checkpoints, results, signals) is :mod:`electra_common.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

import electra_pt
from electra_common import ElectraConfig
from electra_common.runs.seeds import derived_seed
from electra_common.tasks.batches import FineTuningBatch
from electra_common.tasks.features.rows import Row
from electra_common.tasks.job import FineTuningJob
from electra_common.tasks.layer_decay import layer_decay_factors
from electra_common.tasks.run import FineTuningRun
from electra_common.tasks.seeds import Summary
from electra_common.tasks.starting import Start
from electra_common.tasks.work import open_work
from electra_pt.modeling import ElectraModel
from electra_pt.optimizer import (
    ElectraAdam,
    adam_state,
    clip_by_global_norm,
    electra_adam,
    load_adam_state,
    named_weights,
)
from electra_pt.pretrained import ElectraPreTrainedModel
from electra_pt.processes import RunProcesses, open_processes, to_tensors
from electra_pt.task_losses import task_loss
from electra_pt.task_predictions import predict_rows

LOGGED = ("loss", "gradient_norm")


def fine_tune(
    job: FineTuningJob, *, quiet: bool = False, at_end: Callable[[Summary | None], None] | None = None
) -> Summary | None:
    """Carry a fine-tuning run out, or on, for all of its seeds.

    Under ``torchrun`` every process calls this. SIGTERM and SIGINT end it after the step at hand, with a checkpoint.

    Args:
        job: task, model, data, folder, and how to run; :func:`electra_common.tasks.job.make_job` makes it.
        quiet: print nothing.
        at_end: is told what is returned, in the first process alone.

    Returns:
        What the seeds reached; None if the run was stopped before its end.

    Raises:
        ValueError: data, settings and folder do not go together.
        CheckpointError: a checkpoint cannot be read or written.
        TrainingDivergedError: a loss or gradient is no longer a number.
        AnotherProcessFailedError: another process raised one of these.
    """
    with (
        open_processes() as processes,
        open_work(job, framework="pt", version=torch.__version__, processes=processes.description, quiet=quiet) as work,
    ):
        for run in work.runs():
            with run.together():
                model, optimizer = start_training(run, processes)
            train(model, optimizer, run, processes)
            if run.has_ended:
                run.keep_last(model.save_pretrained)
                if run.chosen is not None:
                    model = load_task_model(run.config, processes, run.chosen)
                work.finish(run, _predictor(model, job))
        summary = work.summary()
        if at_end is not None and processes.description.is_first:
            at_end(summary)
        return summary


def start_training(run: FineTuningRun, processes: RunProcesses) -> tuple[ElectraPreTrainedModel, ElectraAdam]:
    """Return the model with the task's head and its optimizer: of the last checkpoint, or new."""
    settings = run.job.settings
    torch.manual_seed(derived_seed(run.seed, "weights"))
    if run.resume_from is not None:
        model = load_task_model(run.config, processes, run.resume_from)
    else:
        model = new_task_model(run.config, run.job.start)
    model.train().to(processes.device)
    optimizer = electra_adam(
        model,
        learning_rate=settings.learning_rate,
        beta_1=settings.adam_beta_1,
        beta_2=settings.adam_beta_2,
        epsilon=settings.adam_epsilon,
        weight_decay=settings.weight_decay,
        bias_correction=settings.adam_bias_correction,
        learning_rate_factors=layer_decay_factors(
            named_weights(model), run.config.num_hidden_layers, settings.layer_decay, settings.layer_decay_style
        ),
    )
    if run.moments is not None:
        load_adam_state(model, optimizer, run.moments, step=run.state.step)
    return model, optimizer


def new_task_model(config: ElectraConfig, start: Start) -> ElectraPreTrainedModel:
    """Return the model that a run starts from: the network's weights under a head that is new, or that fits."""
    cls = task_class(config)
    if start.keeps_head(config):
        return cls.from_pretrained(start.source, config=config, component=start.component)
    model = cls(config)
    if not start.from_scratch:
        body = ElectraModel.from_pretrained(start.source, config=config, component=start.component)
        model.get_submodule("electra").load_state_dict(body.state_dict())
    return model


def load_task_model(config: ElectraConfig, processes: RunProcesses, folder: Path) -> ElectraPreTrainedModel:
    """Return the model that a folder of a run holds, dropout and head as in a config."""
    return task_class(config).from_pretrained(folder, config=config).to(processes.device)


def task_class(config: ElectraConfig) -> type[ElectraPreTrainedModel]:
    """Return the class that a config names."""
    (architecture,) = config.architectures or ()
    cls: type[ElectraPreTrainedModel] = getattr(electra_pt, architecture)
    return cls


def train(model: ElectraPreTrainedModel, optimizer: ElectraAdam, run: FineTuningRun, processes: RunProcesses) -> None:
    """Carry out the steps of a run, from where it stands to its end or to where it is asked to stop."""
    network = processes.connect(model)
    predict = _predictor(model, run.job)
    sums, steps = torch.zeros(len(LOGGED), device=processes.device), 0
    for step, (micro_batches,) in run.steps():
        torch.manual_seed(derived_seed(run.seed, "dropout", step, *processes.description.numbers))
        loss = compute_gradients(network, micro_batches, run, processes)
        norm = clip_by_global_norm(model.parameters(), run.job.settings.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sums, steps = sums + torch.stack([loss, norm]), steps + 1
        run.finish_step(step, micro_batches[0].step_tokens)
        if run.logs_now or run.evaluates_now or run.saves_now:
            means = dict(zip(LOGGED, (sums / steps).tolist(), strict=True))
            run.log({**means, "learning_rate": run.learning_rate(step)})
            if run.evaluates_now:
                run.evaluate(predict, model.save_pretrained)
            if run.saves_now:
                run.save(model.save_pretrained, lambda: adam_state(model, optimizer))
            sums, steps = torch.zeros_like(sums), 0
        if run.asked_to_stop or run.is_done:
            break


def compute_gradients(
    network: Callable[..., Any], micro_batches: list[FineTuningBatch], run: FineTuningRun, processes: RunProcesses
) -> Tensor:
    """Add the gradients of a step to the parameters'; return its loss, of all processes.

    The loss of a micro-batch is a mean over its own labels. Weighed by its share of the step's labels it adds up to the
    mean of the step, however that is divided.
    """
    total = torch.zeros((), device=processes.device)
    for number, batch in enumerate(micro_batches):
        inputs, labels = (to_tensors(arrays, processes.device) for arrays in (batch.inputs, batch.labels))
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(processes.device)
        with processes.gathers(network, is_last=number + 1 == len(micro_batches)):
            with torch.autocast(processes.device.type, torch.bfloat16, run.job.precision == "bfloat16"):
                loss = batch.share * task_loss(network, run.config, inputs, labels, weights)
            # DistributedDataParallel divides gradients by the number of processes.
            (loss * processes.count).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return processes.add_up(total)


def _predictor(
    model: ElectraPreTrainedModel, job: FineTuningJob
) -> Callable[[Sequence[Row]], list[dict[str, NDArray[Any]]]]:
    return partial(predict_rows, model, precision=job.precision)
