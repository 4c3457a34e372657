"""Makes model outputs known to torch's trees, so that a program may return them: ``torch.export``, ``torch.func``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.utils._pytree import MappingKey, register_pytree_node

from electra_common.outputs import (
    CausalLMOutput,
    DecoderOutput,
    EncoderOutput,
    HeadOutput,
    JointOutput,
    ModelOutput,
    QuestionAnsweringOutput,
)

_OUTPUTS = (EncoderOutput, HeadOutput, QuestionAnsweringOutput, JointOutput, DecoderOutput, CausalLMOutput)


def _flatten(output: ModelOutput) -> tuple[list[Any], list[str]]:
    return list(output.values()), list(output)


def _flatten_with_keys(output: ModelOutput) -> tuple[list[tuple[Any, Any]], list[str]]:
    return [(MappingKey(name), value) for name, value in output.items()], list(output)


def register_outputs() -> None:
    """Register every output class with torch's trees; called once, when the models are imported.

    The module bears an underscore, but torch's own error messages send users to this function.
    """
    for output_type in _OUTPUTS:

        def unflatten(
            values: Iterable[Any], names: list[str], output_type: type[ModelOutput] = output_type
        ) -> ModelOutput:
            # Trees hold anything, None too; the constructor would leave those fields out.
            output = output_type()
            dict.update(output, zip(names, values, strict=True))
            return output

        register_pytree_node(
            output_type,
            _flatten,
            unflatten,
            serialized_type_name=f"{output_type.__module__}.{output_type.__name__}",
            flatten_with_keys_fn=_flatten_with_keys,
        )
