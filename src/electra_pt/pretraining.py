"""The pre-training loop: generator and discriminator together, by replaced token detection (paper, section 2).

Everything around the arithmetic (data, masks, log, checkpoints, signals) is :mod:`electra_common.pretraining.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from electra_common.outputs import JointOutput
from electra_common.pretraining.batches import Arrays, MicroBatch
from electra_common.pretraining.evaluation import PretrainingEvaluation
from electra_common.pretraining.positions import sinusoidal_positions
from electra_common.pretraining.run import PretrainingRun, open_run
from electra_common.pretraining.settings import RunSettings
from electra_common.pretraining.starting import config_overrides, fresh_optimizer_named, weights_to_start_from
from electra_common.runs.run_folder import RunState
from electra_common.runs.seeds import derived_seed
from electra_pt.compiling import compile_parts
from electra_pt.cuda_graphs import RecordedStep
from electra_pt.joint_pretraining import ElectraForJointPreTraining
from electra_pt.optimizer import ElectraAdam, adam_state, clip_by_global_norm, electra_adam, load_adam_state
from electra_pt.processes import RunProcesses, open_processes, to_tensors
from electra_pt.sharding import read_by_all, shard, whole

SHARES = ("generator_share", "discriminator_share")
LOGGED = ("loss", "generator_loss", "discriminator_loss", "gradient_norm")


def pretrain(
    settings: RunSettings, *, quiet: bool = False, at_end: Callable[[RunState], None] | None = None
) -> RunState:
    """Carry a pre-training run out, or on; return where it stands at the end.

    Under ``torchrun`` every process calls this. SIGTERM and SIGINT end it after the step at hand, with a checkpoint.

    Args:
        settings: data, folder, recipe, and how to run.
        quiet: print nothing.
        at_end: is told where the run stands, in the first process alone.

    Raises:
        ValueError: settings, data and folder do not go together.
        CheckpointError: a checkpoint cannot be read or written.
        TrainingDivergedError: a loss or gradient is no longer a number.
        AnotherProcessFailedError: another process raised one of these.
    """
    with (
        open_processes() as processes,
        open_run(
            settings, framework="pt", version=torch.__version__, processes=processes.description, quiet=quiet
        ) as run,
    ):
        with run.together():
            model, optimizer = start_training(run, processes)
        run.expect_speed(processes.matrix_speed(settings.precision))
        train(model, optimizer, run, processes)
        if at_end is not None and processes.description.is_first:
            at_end(run.state)
        return run.state


def start_training(run: PretrainingRun, processes: RunProcesses) -> tuple[ElectraForJointPreTraining, ElectraAdam]:
    """Return the model and its optimizer: of the last checkpoint, of the weights to start from, or new."""
    settings, objective = run.settings, run.settings.recipe.pretraining_objective()
    torch.manual_seed(derived_seed(settings.seed, "weights"))
    if run.resume_from is not None:
        model = ElectraForJointPreTraining.from_pretrained(run.resume_from, objective=objective)
    elif settings.start_from is not None:
        model = ElectraForJointPreTraining.from_pretrained(
            weights_to_start_from(settings),
            generator=settings.start_generator_from,
            objective=objective,
            **config_overrides(settings, run.configs),
        )
    else:
        model = ElectraForJointPreTraining(*run.configs, objective)
        if settings.recipe.positions == "sinusoidal":
            start_positions(model)
    run.check_networks({name: network.config for name, network in model.networks().items()})
    model.train().to(processes.device)
    if settings.shard:
        shard(model)
    recipe = settings.recipe
    optimizer = electra_adam(
        model,
        learning_rate=recipe.learning_rate,
        beta_1=recipe.adam_beta_1,
        beta_2=recipe.adam_beta_2,
        epsilon=recipe.adam_epsilon,
        weight_decay=recipe.weight_decay,
    )
    if run.moments is not None:
        with fresh_optimizer_named(settings, run.resume_from):
            load_adam_state(model, optimizer, run.moments)
    return model, optimizer


@torch.no_grad()
def start_positions(model: ElectraForJointPreTraining) -> None:
    """Let the position embeddings of new networks start as sines and cosines."""
    for network in model.networks().values():
        table, deviation = network.electra.embeddings.position_embeddings.weight, network.config.initializer_range
        count, width = table.shape
        table.copy_(torch.from_numpy(sinusoidal_positions(count, width, deviation)))


def train(
    model: ElectraForJointPreTraining, optimizer: ElectraAdam, run: PretrainingRun, processes: RunProcesses
) -> None:
    """Carry out the steps of a run, from where it stands to its end or to where it is asked to stop."""
    settings = run.settings
    if settings.compile:
        compile_parts(model)
    network = processes.connect(model)
    learning_rate = torch.zeros((), device=processes.device)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate

    def train_step(inputs: list[dict[str, Tensor]]) -> Tensor:
        losses = compute_gradients(network, inputs, run, processes)
        norm = clip_by_global_norm(model.parameters(), settings.recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return torch.cat([losses, norm.reshape(1)])

    take_step = RecordedStep(train_step) if settings.compile and processes.can_record else train_step
    sums, steps = torch.zeros(len(LOGGED), device=processes.device), 0
    for step, (micro_batches,) in run.steps():
        torch.manual_seed(derived_seed(settings.seed, "dropout", step, *processes.description.numbers))
        learning_rate.fill_(run.learning_rate(step))
        figures = take_step([to_tensors(arrays, processes.device) for arrays in _step_inputs(micro_batches)])
        sums, steps = sums + figures, steps + 1
        run.finish_step(step, micro_batches[0].step_tokens)
        if run.logs_now or run.evaluates_now or run.saves_now:
            means = dict(zip(LOGGED, (sums / steps).tolist(), strict=True))
            run.log({**means, "learning_rate": run.learning_rate(step)})
            if run.evaluates_now:
                # A divided model takes all processes to evaluate, and then none can wait for what another one met.
                with nullcontext() if settings.shard else run.together():
                    found = evaluate(model, run, processes)
                run.log_evaluation(found)
            if run.saves_now:
                read_moments = read_by_all(model, partial(adam_state, model, optimizer))
                with whole(model):
                    run.save(model.save_pretrained, read_moments)
            sums, steps = torch.zeros_like(sums), 0
        if run.asked_to_stop:
            break


def compute_gradients(
    network: Callable[..., JointOutput],
    micro_batches: list[dict[str, Tensor]],
    run: PretrainingRun,
    processes: RunProcesses,
) -> Tensor:
    """Add the gradients of a step to the parameters'; return its losses [3], of all processes.

    Losses of a micro-batch are means over its own tokens. Weighed by its share of the step's tokens they add up to the
    means of the step, however it is divided.
    """
    recipe = run.settings.recipe
    totals = torch.zeros(3, device=processes.device)
    for number, micro_batch in enumerate(micro_batches, 1):
        inputs = dict(micro_batch)
        generator_share, discriminator_share = (inputs.pop(name) for name in SHARES)
        with processes.gathers(network, is_last=number == len(micro_batches)):
            with _autocast(run, processes):
                output = network(**inputs)
            generator_loss = generator_share * _or_zero(output.get("generator_loss"), totals)
            discriminator_loss = discriminator_share * _or_zero(output.get("discriminator_loss"), totals)
            loss = recipe.generator_weight * generator_loss + recipe.discriminator_weight * discriminator_loss
            # DistributedDataParallel divides gradients by the number of processes.
            (loss * processes.count).backward()  # type: ignore[no-untyped-call]
        totals += torch.stack((loss, generator_loss, discriminator_loss)).detach()
    return processes.add_up(totals)


@torch.no_grad()
def evaluate(model: ElectraForJointPreTraining, run: PretrainingRun, processes: RunProcesses) -> dict[str, float]:
    """Return the metrics of both networks on the held-out examples, without dropout."""
    evaluation = PretrainingEvaluation()
    model.eval()
    # Not worth programs of its own. Without compiled parts the compiler is not even imported.
    with torch.compiler.set_stance("force_eager") if run.settings.compile else nullcontext():
        for batch in run.held_out():
            with _autocast(run, processes):
                output = model(**to_tensors(batch, processes.device))
            found = _held_out_outputs(output, batch)
            evaluation.count(batch, {name: _to_numpy(tensor) for name, tensor in found.items()})
    model.train()
    return evaluation.result()


def _autocast(run: PretrainingRun, processes: RunProcesses) -> torch.autocast:
    """Let a call of the model compute in the run's precision, in training as in evaluation."""
    return torch.autocast(processes.device.type, torch.bfloat16, run.settings.precision == "bfloat16")


def _step_inputs(micro_batches: list[MicroBatch]) -> list[Arrays]:
    """Return what :func:`compute_gradients` is given: arguments of the model's calls, and their shares.

    Masks that hide nothing are left out: without one, attention has a quicker kernel on a GPU. All stay where one hides
    something, so that steps are of two kinds at most.
    """
    are_full = all(micro_batch.inputs["attention_mask"].all() for micro_batch in micro_batches)
    left_out = {"attention_mask"} if are_full else set()
    return [
        {name: array for name, array in micro_batch.inputs.items() if name not in left_out}
        | {name: np.array(getattr(micro_batch, name), np.float32) for name in SHARES}
        for micro_batch in micro_batches
    ]


def _held_out_outputs(output: JointOutput, batch: Arrays) -> dict[str, Tensor]:
    """Return what an evaluation counts, of the networks that there are."""
    found = {name: output[name] for name in ("logits", "is_replaced", "corrupted_input_ids") if name in output}
    if "generator_logits" in output:
        logits = output["generator_logits"].float()
        labels = torch.from_numpy(batch["masked_labels"]).to(logits.device).long()
        found["masked_predictions"] = logits.argmax(-1)
        # [batch, slots, vocabulary] -> [batch, vocabulary, slots], as cross_entropy wants classes second.
        found["masked_losses"] = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    return found


def _or_zero(loss: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(()) if loss is None else loss


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
    return array
