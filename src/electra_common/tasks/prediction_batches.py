"""Which part of a batch's outputs belongs to which row. Which rows make a batch: electra_common.length_buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from electra_common.tasks.features.rows import Row

DEFAULT_BATCH_SIZE: Final = 32
# Outputs with a value for each token, [batch, length, ...].
_OF_TOKENS: Final = {
    "ElectraForTokenClassification": ("logits",),
    "ElectraForQuestionAnswering": ("start_logits", "end_logits"),
}


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
