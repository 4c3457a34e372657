"""The pre-training loop: generator and discriminator together, by replaced token detection (paper, section 2).

Everything around the arithmetic (data, masks, log, checkpoints, signals) is :mod:`electra_common.pretraining.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from electra_common.pretraining.batches import MicroBatch
from electra_common.pretraining.evaluation import PretrainingEvaluation
from electra_common.pretraining.positions import sinusoidal_positions
from electra_common.pretraining.run import PretrainingRun, open_run
from electra_common.pretraining.settings import RunSettings
from electra_common.pretraining.starting import config_overrides, fresh_optimizer_named, weights_to_start_from
from electra_common.runs.run_folder import RunState
from electra_common.runs.seeds import derived_seed
from electra_tf.dropout_seeds import dropout_seed, seed_dropout, seed_generators
from electra_tf.joint_pretraining import TFElectraForJointPreTraining
from electra_tf.optimizer import TFElectraAdam, adam_state, clip_by_global_norm, electra_adam, load_adam_state
from electra_tf.processes import RunProcesses, dtype_policy, open_processes, to_tensors
from electra_tf.programs import kept_program

Tensor = Any

LOGGED = ("loss", "generator_loss", "discriminator_loss", "gradient_norm")


def pretrain(
    settings: RunSettings, *, quiet: bool = False, at_end: Callable[[RunState], None] | None = None
) -> RunState:
    """Carry a pre-training run out, or on; return where it stands at the end.

    Every worker that ``TF_CONFIG`` names calls this. SIGTERM and SIGINT end it after the step at hand, with a
    checkpoint.

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
        dtype_policy(settings.precision),
        open_processes() as processes,
        _compilable(settings, processes),
        open_run(settings, framework="tf", version=tf.__version__, processes=processes.description, quiet=quiet) as run,
    ):
        with run.together():
            model, optimizer = start_training(run, processes)
        run.expect_speed(processes.matrix_speed(settings.precision))
        train(model, optimizer, run, processes)
        if at_end is not None and processes.description.is_first:
            at_end(run.state)
        return run.state


def start_training(run: PretrainingRun, processes: RunProcesses) -> tuple[TFElectraForJointPreTraining, TFElectraAdam]:
    """Return the model and its optimizer: of the last checkpoint, of the weights to start from, or new."""
    settings, objective = run.settings, run.settings.recipe.pretraining_objective()
    keras.utils.set_random_seed(derived_seed(settings.seed, "weights") % 2**31)
    if run.resume_from is not None:
        model = TFElectraForJointPreTraining.from_pretrained(run.resume_from, objective=objective)
    elif settings.start_from is not None:
        model = TFElectraForJointPreTraining.from_pretrained(
            weights_to_start_from(settings),
            generator=settings.start_generator_from,
            objective=objective,
            **config_overrides(settings, run.configs),
        )
    else:
        model = TFElectraForJointPreTraining(*run.configs, objective)
        if settings.recipe.positions == "sinusoidal":
            start_positions(model)
    run.check_networks({name: network.config for name, network in model.networks().items()})
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


def start_positions(model: TFElectraForJointPreTraining) -> None:
    """Let the position embeddings of new networks start as sines and cosines."""
    for network in model.networks().values():
        table, deviation = network.electra.embeddings.position_embeddings.embeddings, network.config.initializer_range
        count, width = table.shape
        table.assign(sinusoidal_positions(count, width, deviation))


def train(
    model: TFElectraForJointPreTraining, optimizer: TFElectraAdam, run: PretrainingRun, processes: RunProcesses
) -> None:
    """Carry out the steps of a run, from where it stands to its end or to where it is asked to stop."""
    train_step = _training_step(model, optimizer, run, processes)
    sums, steps = tf.zeros(len(LOGGED)), 0
    for step, parts in run.steps():
        inputs = [[_arguments(micro_batch) for micro_batch in micro_batches] for micro_batches in parts]
        seeds = [dropout_seed(run.settings.seed, step, number) for number in processes.description.numbers]
        optimizer.learning_rate = run.learning_rate(step)
        values = processes.add_up(
            processes.strategy.run(train_step, args=(processes.spread(inputs), processes.spread(seeds)))
        )
        sums, steps = sums + values, steps + 1
        run.finish_step(step, parts[0][0].step_tokens)
        if run.logs_now or run.evaluates_now or run.saves_now:
            means = dict(zip(LOGGED, map(float, sums / steps), strict=True))
            run.log({**means, "learning_rate": run.learning_rate(step)})
            if run.evaluates_now:
                with run.together():
                    found = evaluate(model, run, processes)
                run.log_evaluation(found)
            if run.saves_now:
                run.save(model.save_pretrained, lambda: adam_state(model, optimizer))
            sums, steps = tf.zeros_like(sums), 0
        if run.asked_to_stop:
            break


def compute_gradients(
    network: TFElectraForJointPreTraining, micro_batches: list[Any], run: PretrainingRun, processes: RunProcesses
) -> tuple[list[Tensor], Tensor]:
    """Return the gradients of a step over all replicas, and this replica's part of its losses [3].

    Losses of a micro-batch are means over its own tokens. Weighed by its share of the step's tokens they add up to the
    means of the step, however it is divided.
    """
    recipe = run.settings.recipe
    variables = network.trainable_variables
    # All in one: a graph that names each would begin with all of them at once, and hold the activations of them all.
    stacked = tf.nest.map_structure(lambda *parts: tf.stack(parts), *micro_batches)

    def add(number: Tensor, gradients: list[Tensor], totals: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        inputs, generator_share, discriminator_share = tf.nest.map_structure(lambda parts: parts[number], stacked)
        with tf.GradientTape() as tape:
            output = network(**inputs, training=True)
            generator_loss = generator_share * _or_zero(output.get("generator_loss"))
            discriminator_loss = discriminator_share * _or_zero(output.get("discriminator_loss"))
            loss = recipe.generator_weight * generator_loss + recipe.discriminator_weight * discriminator_loss
        found = tape.gradient(loss, [variable.value for variable in variables], unconnected_gradients="zero")
        gradients = [total + tf.convert_to_tensor(part) for total, part in zip(gradients, found, strict=True)]
        return number + 1, gradients, totals + tf.stack([loss, generator_loss, discriminator_loss])

    start = (0, [tf.zeros_like(variable.value) for variable in variables], tf.zeros(3))
    if len(micro_batches) > 1:
        _, gradients, totals = tf.while_loop(
            lambda number, *_: number < len(micro_batches), add, start, parallel_iterations=1
        )
    else:
        _, gradients, totals = add(*start)
    if processes.count > 1:
        gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return gradients, totals


def evaluate(model: TFElectraForJointPreTraining, run: PretrainingRun, processes: RunProcesses) -> dict[str, float]:
    """Return the metrics of both networks on the held-out examples, without dropout."""
    evaluation = PretrainingEvaluation()
    forward = kept_program(model, "evaluation", partial(_forward, model))
    for batch in run.held_out():
        found = forward(to_tensors(batch))
        evaluation.count(batch, {name: ops.convert_to_numpy(tensor) for name, tensor in found.items()})
    return evaluation.result()


@contextmanager
def _compilable(settings: RunSettings, processes: RunProcesses) -> Iterator[None]:
    """Do nothing but raise ValueError, in all processes, where XLA is asked for and cannot compile on these devices."""
    with processes.description.together():
        if settings.compile and processes.count > 1 and not tf.config.list_logical_devices("GPU"):
            raise ValueError(
                f"compile: XLA compiles no step that {processes.count} CPUs compute together; leave it out, or compute "
                "on one"
            )
    yield


def _training_step(
    model: TFElectraForJointPreTraining, optimizer: TFElectraAdam, run: PretrainingRun, processes: RunProcesses
) -> Callable[[Any, Tensor], Tensor]:
    """Return what each replica computes in a step: [loss, generator's, discriminator's, gradient norm]."""
    optimizer.build(model.trainable_variables)
    generators = seed_generators(model)

    def train_step(micro_batches: Any, seed: Tensor) -> Tensor:
        seed_dropout(generators, seed)
        gradients, totals = compute_gradients(model, micro_batches, run, processes)
        clipped, norm = clip_by_global_norm(gradients, run.settings.recipe.clip_norm)
        # Keras adds the replicas' gradients up once more: each gives its part of the sum that was clipped.
        optimizer.apply([gradient / processes.count for gradient in clipped], model.trainable_variables)
        return tf.concat([totals, [norm / processes.count]], axis=0)

    function: Callable[[Any, Tensor], Tensor] = tf.function(
        train_step,
        jit_compile=run.settings.compile or None,
        autograph=False,  # nothing here asks a tensor; rewriting the code for it takes seconds
    )
    return function


def _forward(model: TFElectraForJointPreTraining) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Return a graph that computes what an evaluation counts, of the networks that there are."""

    def forward(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        output = model(**batch, training=False)
        found = {name: output[name] for name in ("is_replaced", "corrupted_input_ids") if name in output}
        if "logits" in output:
            found["logits"] = ops.cast(output["logits"], "float32")
        if "generator_logits" in output:
            logits = ops.cast(output["generator_logits"], "float32")
            labels = batch["masked_labels"]
            found["masked_predictions"] = ops.argmax(logits, axis=-1)
            found["masked_losses"] = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return found

    function: Callable[[dict[str, Tensor]], dict[str, Tensor]] = tf.function(forward, autograph=False)
    return function


def _or_zero(loss: Tensor | None) -> Tensor:
    return tf.zeros(()) if loss is None else loss


def _arguments(micro_batch: MicroBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    return (
        to_tensors(micro_batch.inputs),
        tf.constant(micro_batch.generator_share, tf.float32),
        tf.constant(micro_batch.discriminator_share, tf.float32),
    )
