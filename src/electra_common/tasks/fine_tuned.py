"""A fine-tuned model that answers: examples in, predictions out, in order, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from electra_common.tasks.data import make_features
from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.examples import Example
from electra_common.tasks.features.row_builder import chunks
from electra_common.tasks.metrics import score
from electra_common.tasks.run import Measured, Predict, read_outputs
from electra_common.tasks.task import Task
from electra_common.tasks.task_file import TaskFile

# Enough that rows of like length are found for each batch, and few enough to be held in memory.
_EXAMPLES_AT_ONCE: Final = 2048


@dataclass(frozen=True)
class FineTuned:
    """A model with all that it needs to answer; ``open_fine_tuned`` of either family gives it.

    Attributes:
        task_file: the task, its labels, and how rows are made and read.
        tokenizer: the model's.
        head: of the model's config.
        predict: the model.
    """

    task_file: TaskFile
    tokenizer: Any
    head: str
    predict: Predict

    @property
    def task(self) -> Task:
        """What it was made for."""
        return self.task_file.task

    def predictions(self, examples: Iterable[Example]) -> Iterator[Prediction]:
        """Yield the answer to each example, in order; they are read and answered some thousand at a time.

        Args:
            examples: of the task's kind; whether they have labels makes no difference.

        Raises:
            ValueError: an example is not like the task's.
        """
        for chunk in chunks(examples, _EXAMPLES_AT_ONCE):
            features = make_features(self.task_file, chunk, self.tokenizer, head=self.head, is_training=False)
            yield from read_outputs(self.task_file, features, self.predict(features.rows))

    def measure(self, examples: Sequence[Example]) -> Measured:
        """Return the answers to some examples, and the task's metrics where what is expected is known."""
        predictions = list(self.predictions(examples))
        return Measured(predictions, score(self.task, examples, predictions, self.task_file.labels))
