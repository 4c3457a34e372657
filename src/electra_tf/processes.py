"""The replicas that compute a run together: one, the GPUs of this machine, or the workers that ``TF_CONFIG`` names.

Where there are several, each computes its part of every batch (``tf.distribute`` adds the gradients up), and only the
first worker writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from electra_common.pretraining.flops import fastest_product
from electra_common.runs.processes import Processes, Vector

Tensor = Any


class RunProcesses:
    """This program's place among the replicas of a run.

    Attributes:
        description: how many there are and which this program drives.
        strategy: what places variables and runs replicas.
    """

    def __init__(self, description: Processes, strategy: tf.distribute.Strategy) -> None:
        self.description = description
        self.strategy = strategy

    @property
    def count(self) -> int:
        """How many replicas compute the run."""
        return self.description.count

    def spread(self, parts: Sequence[Any]) -> Any:
        """Return values, one for each replica that this program drives, as ``strategy.run`` takes them."""
        return parts[0] if self.count == 1 else _spread(self.strategy, self.description.numbers[0], parts)

    def add_up(self, values: Any) -> Tensor:
        """Return the sum over all replicas of what ``strategy.run`` returned."""
        return values if self.count == 1 else self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def matrix_speed(self, precision: str) -> float:
        """Measure how many operations a second the multiplication of two large matrices reaches here."""
        rows = 4096 if tf.config.list_logical_devices("GPU") else 1024
        matrix = tf.ones((rows, rows), precision)
        return fastest_product(lambda: float((matrix @ matrix)[0, 0]), rows)


@contextmanager
def open_processes() -> Iterator[RunProcesses]:
    """Give this program's place: of the environment's ``TF_CONFIG``, over all GPUs of this machine, or alone."""
    workers, worker = _workers()
    strategy: tf.distribute.Strategy
    if workers > 1:  # before anything else: TensorFlow connects the workers only where it has not started yet
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(devices := _devices()) > 1:
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    else:
        yield RunProcesses(Processes(), tf.distribute.get_strategy())
        return
    count = strategy.num_replicas_in_sync
    here = count // workers
    numbers = tuple(range(worker * here, (worker + 1) * here))

    def add_up(values: Vector) -> Vector:
        parts = _spread(strategy, numbers[0], [values, *[np.zeros_like(values)] * (here - 1)])
        summed: Vector = strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None).numpy()
        return summed

    with strategy.scope():
        yield RunProcesses(Processes(count, numbers, add_up), strategy)


def _spread(strategy: tf.distribute.Strategy, first: int, parts: Sequence[Any]) -> Any:
    """Give each replica of this program, of which the first has that number among all, its part."""
    return tf.nest.map_structure(
        lambda *values: strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(values[context.replica_id_in_sync_group - first])
        ),
        *parts,
    )


def _workers() -> tuple[int, int]:
    """Return how many workers ``TF_CONFIG`` names and which this one is; (1, 0) without it.

    A chief is the first worker, as TensorFlow counts.

    Raises:
        ValueError: this program is neither, or there is no such worker.
    """
    settings = json.loads(os.environ.get("TF_CONFIG", "{}"))
    cluster, task = settings.get("cluster", {}), settings.get("task", {})
    workers = [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, [])))]
    if not workers:
        return 1, 0
    kind, number = task.get("type", "worker"), int(task.get("index", 0))
    if (kind, number) not in workers:
        known = ", ".join(f"{kind} {number}" for kind, number in workers)
        raise ValueError(f"TF_CONFIG: the task is {kind} {number}; expected one of those that train: {known}")
    return len(workers), workers.index((kind, number))


def _devices() -> list[Any]:
    devices: list[Any] = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return devices


def to_tensors(arrays: dict[str, Any], device: Any = None) -> dict[str, Tensor]:
    """Return numpy arrays as tensors; where they lie is the strategy's business."""
    return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}


@contextmanager
def dtype_policy(precision: str) -> Iterator[None]:
    """Let layers that are made meanwhile compute in a precision; their variables stay float32.

    Args:
        precision: ``"float32"`` or ``"bfloat16"``.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
