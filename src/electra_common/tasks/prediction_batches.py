"""Which rows are computed together, and which part of a batch's outputs belongs to which row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.features.rows import Row

DEFAULT_BATCH_SIZE: Final = 32
# Outputs with a value for each token, [batch, length, ...].
_OF_TOKENS: Final = {
    "ElectraForTokenClassification": ("logits",),
    "ElectraForQuestionAnswering": ("start_logits", "end_logits"),
}


def batches_by_length(rows: Sequence[Row], batch_size: int) -> Iterator[list[int]]:
    """Yield the numbers of rows that are computed together, each once, short rows first.

    Args:
        rows: in any order.
        batch_size: most rows of a batch.

    Raises:
        ValueError: the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1, found {batch_size}")
    order = np.argsort([row.length for row in rows], kind="stable").tolist()
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def outputs_of_rows(
    outputs: Mapping[str, NDArray[Any]], rows: Sequence[Row], architecture: str
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield for each row of a batch what belongs to it, without padding.

    Args:
        outputs: of the batch, [batch, ...].
        rows: of the batch, in order.
        architecture: the class that computed them, without the prefix of a framework.
    """
    of_tokens = _OF_TOKENS.get(architecture, ())
    for index, row in enumerate(rows):
        yield {
            name: output[index, : row.length] if name in of_tokens else output[index]
            for name, output in outputs.items()
        }
