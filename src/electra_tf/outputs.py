"""Makes model outputs known to Keras's trees, so that ``predict`` can take them apart and put them together again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import optree

from electra_common.outputs import (
    CausalLMOutput,
    DecoderOutput,
    EncoderOutput,
    HeadOutput,
    JointOutput,
    ModelOutput,
    QuestionAnsweringOutput,
)

# The namespace in which Keras keeps its own node types; its public `keras.tree` has no call for adding one.
_KERAS_NAMESPACE = "keras"


_OUTPUTS = (EncoderOutput, HeadOutput, QuestionAnsweringOutput, JointOutput, DecoderOutput, CausalLMOutput)


def _flatten(output: ModelOutput) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    names = tuple(output)
    return [output[name] for name in names], names, names


def register_outputs() -> None:
    """Register every output class with Keras's trees; called once, when the models are imported."""
    for output_type in _OUTPUTS:

        def unflatten(
            names: tuple[str, ...], values: Iterable[Any], output_type: type[ModelOutput] = output_type
        ) -> ModelOutput:
            # Keras also maps to None, to describe a structure; the constructor would leave those fields out.
            output = output_type()
            dict.update(output, zip(names, values, strict=True))
            return output

        optree.register_pytree_node(output_type, _flatten, unflatten, namespace=_KERAS_NAMESPACE)
