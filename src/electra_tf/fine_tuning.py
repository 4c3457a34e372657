"""The fine-tuning loop: a network learns a task from examples, once for each seed (paper, section 3).

Everything around the arithmetic (data, log, checkpoints, results, signals) is :mod:`electra_common.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

import electra_tf
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
from electra_tf.dropout_seeds import dropout_seed, seed_dropout, seed_generators
from electra_tf.modeling import TFElectraModel
from electra_tf.optimizer import (
    TFElectraAdam,
    adam_state,
    clip_by_global_norm,
    electra_adam,
    load_adam_state,
    named_weights,
)
from electra_tf.pretrained import TFElectraPreTrainedModel
from electra_tf.processes import RunProcesses, dtype_policy, open_processes, to_tensors
from electra_tf.task_losses import task_loss
from electra_tf.task_predictions import predict_rows

Tensor = Any

LOGGED = ("loss", "gradient_norm")


def fine_tune(
    job: FineTuningJob, *, quiet: bool = False, at_end: Callable[[Summary | None], None] | None = None
) -> Summary | None:
    """Carry a fine-tuning run out, or on, for all of its seeds.

    Every worker that ``TF_CONFIG`` names calls this. SIGTERM and SIGINT end it after the step at hand, with a
    checkpoint.

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
        dtype_policy(job.precision),
        open_processes() as processes,
        open_work(job, framework="tf", version=tf.__version__, processes=processes.description, quiet=quiet) as work,
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


def start_training(run: FineTuningRun, processes: RunProcesses) -> tuple[TFElectraPreTrainedModel, TFElectraAdam]:
    """Return the model with the task's head and its optimizer: of the last checkpoint, or new."""
    settings = run.job.settings
    keras.utils.set_random_seed(derived_seed(run.seed, "weights") % 2**31)
    if run.resume_from is not None:
        model = load_task_model(run.config, processes, run.resume_from)
    else:
        model = new_task_model(run.config, run.job.start)
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


def new_task_model(config: ElectraConfig, start: Start) -> TFElectraPreTrainedModel:
    """Return the model that a run starts from: the network's weights under a head that is new, or that fits."""
    cls = task_class(config)
    if start.keeps_head(config):
        return cls.from_pretrained(start.source, config=config, component=start.component)
    model = cls(config)
    if not start.from_scratch:
        body = TFElectraModel.from_pretrained(start.source, config=config, component=start.component)
        own = named_weights(model)
        for name, weight in named_weights(body).items():
            own[name].assign(weight)
    return model


def load_task_model(config: ElectraConfig, processes: RunProcesses, folder: Path) -> TFElectraPreTrainedModel:
    """Return the model that a folder of a run holds, dropout and head as in a config."""
    return task_class(config).from_pretrained(folder, config=config)


def task_class(config: ElectraConfig) -> type[TFElectraPreTrainedModel]:
    """Return the class that a config names."""
    (architecture,) = config.architectures or ()
    cls: type[TFElectraPreTrainedModel] = getattr(electra_tf, f"TF{architecture}")
    return cls


def train(
    model: TFElectraPreTrainedModel, optimizer: TFElectraAdam, run: FineTuningRun, processes: RunProcesses
) -> None:
    """Carry out the steps of a run, from where it stands to its end or to where it is asked to stop."""
    train_step = _TrainingStep(model, optimizer, run, processes)
    predict = _predictor(model, run.job)
    sums, steps = tf.zeros(len(LOGGED)), 0
    for step, parts in run.steps():
        inputs = [[_arguments(batch) for batch in micro_batches] for micro_batches in parts]
        seeds = [dropout_seed(run.seed, step, number) for number in processes.description.numbers]
        optimizer.learning_rate = run.learning_rate(step)
        values = processes.add_up(
            processes.strategy.run(train_step.of(inputs[0]), args=(processes.spread(inputs), processes.spread(seeds)))
        )
        sums, steps = sums + values, steps + 1
        run.finish_step(step, parts[0][0].step_tokens)
        if run.logs_now or run.evaluates_now or run.saves_now:
            means = dict(zip(LOGGED, map(float, sums / steps), strict=True))
            run.log({**means, "learning_rate": run.learning_rate(step)})
            if run.evaluates_now:
                run.evaluate(predict, model.save_pretrained)
            if run.saves_now:
                run.save(model.save_pretrained, lambda: adam_state(model, optimizer))
            sums, steps = tf.zeros_like(sums), 0
        if run.asked_to_stop or run.is_done:
            break


def compute_gradients(
    network: TFElectraPreTrainedModel, micro_batches: list[Any], run: FineTuningRun, processes: RunProcesses
) -> tuple[list[Tensor], Tensor]:
    """Return the gradients of a step over all replicas, and this replica's part of its loss.

    The loss of a micro-batch is a mean over its own labels. Weighed by its share of the step's labels it adds up to the
    mean of the step, however that is divided.
    """
    variables = network.trainable_variables
    gradients, total = [tf.zeros_like(variable.value) for variable in variables], tf.zeros(())
    for batch in micro_batches:
        # A graph would begin with all micro-batches at once, and hold the activations of them all.
        with tf.control_dependencies([tf.group(*gradients)]), tf.GradientTape() as tape:
            loss = batch["share"] * task_loss(
                network, run.config, batch["inputs"], batch["labels"], batch.get("weights")
            )
        found = tape.gradient(loss, [variable.value for variable in variables], unconnected_gradients="zero")
        gradients = [sum_ + tf.convert_to_tensor(part) for sum_, part in zip(gradients, found, strict=True)]
        total += loss
    if processes.count > 1:
        gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return gradients, total


class _TrainingStep:
    """What each replica computes in a step, [loss, gradient norm]: one graph for batches of all lengths."""

    def __init__(
        self, model: TFElectraPreTrainedModel, optimizer: TFElectraAdam, run: FineTuningRun, processes: RunProcesses
    ) -> None:
        optimizer.build(model.trainable_variables)
        # Several replicas hand over values that no signature can describe: there each new length is traced.
        self._traced: Any = None
        self._count = processes.count
        generators = seed_generators(model)

        def train_step(micro_batches: Any, seed: Tensor) -> Tensor:
            seed_dropout(generators, seed)
            gradients, loss = compute_gradients(model, micro_batches, run, processes)
            clipped, norm = clip_by_global_norm(gradients, run.job.settings.clip_norm)
            # Keras adds the replicas' gradients up once more: each gives its part of the sum that was clipped.
            optimizer.apply([gradient / processes.count for gradient in clipped], model.trainable_variables)
            return tf.stack([loss, norm / processes.count])

        self._train_step = train_step

    def of(self, micro_batches: Any) -> Callable[[Any, Tensor], Tensor]:
        """Return the graph, traced for batches like some, of any length."""
        if self._traced is None:
            shapes = tf.nest.map_structure(
                lambda tensor: tf.TensorSpec([None] * len(tensor.shape), tensor.dtype), micro_batches
            )
            signature = [shapes, tf.TensorSpec((), tf.uint32)] if self._count == 1 else None
            self._traced = tf.function(self._train_step, signature, reduce_retracing=True, autograph=False)
        return self._traced  # type: ignore[no-any-return]


def _arguments(batch: FineTuningBatch) -> dict[str, Any]:
    found = {"inputs": to_tensors(batch.inputs), "labels": to_tensors(batch.labels)}
    if batch.weights is not None:
        found["weights"] = tf.constant(batch.weights)
    return {**found, "share": tf.constant(batch.share, tf.float32)}


def _predictor(
    model: TFElectraPreTrainedModel, job: FineTuningJob
) -> Callable[[Sequence[Row]], list[dict[str, NDArray[Any]]]]:
    return partial(predict_rows, model, precision=job.precision)
