"""What a model returns: named tensors, reached as attributes, as keys and by position.

One class for both frameworks: it is a ``dict`` of the fields that are not None, in a fixed order, so it passes through
everything that understands dictionaries. Positions count only the fields that are there, as in transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar, overload

from electra_common.config import ElectraConfig


class ModelOutput(dict[str, Any]):
    """The outputs of one model call; subclasses name the fields and their order.

    ``output.logits``, ``output["logits"]`` and ``output[0]`` reach the same tensor. A field that was not computed is
    None as an attribute and absent as a key.
    """

    field_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        # Explicit properties: a catch-all __getattr__ would answer Keras's probing for attributes with errors.
        for name in cls.field_names:
            setattr(cls, name, property(lambda self, key=name: self.get(key)))  # type: ignore[misc]

    def __init__(self, fields: Iterable[tuple[str, Any]] = (), /, **named: Any) -> None:
        given = {**dict(fields), **named}
        if unknown := given.keys() - set(self.field_names):
            raise ValueError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        super().__init__((name, given[name]) for name in self.field_names if given.get(name) is not None)

    @overload
    def __getitem__(self, key: str | int) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are there, in order: what ``return_dict=False`` gives."""
        return tuple(self.values())

    def flat(self) -> dict[str, Any]:
        """Return every single tensor by name; the members of tuples get their index: ``hidden_states/0``."""
        return dict(_flat(self.items()))

    def __reduce__(self) -> tuple[type[ModelOutput], tuple[list[tuple[str, Any]]]]:
        return type(self), (list(self.items()),)


def _flat(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in items:
        if isinstance(value, tuple):
            yield from _flat((f"{name}/{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


Output = TypeVar("Output", bound=ModelOutput)


class EncoderOutput(ModelOutput):
    """Output of the encoder.

    Fields: ``last_hidden_state`` [batch, length, hidden]; ``hidden_states``, a tuple of layers + 1 such tensors, the
    first being what enters layer 0; ``attentions``, a tuple of [batch, heads, length, length], one a layer.
    """

    field_names = ("last_hidden_state", "hidden_states", "attentions")


class HeadOutput(ModelOutput):
    """Output of a model with a head.

    Fields: ``loss``, a scalar, if labels were given; ``logits``, [batch, length] for replaced token detection,
    [batch, length, vocabulary] for masked tokens, [batch, length, labels] for token classification, [batch, labels] for
    sequence classification and [batch, choices] for multiple choice; ``hidden_states`` and ``attentions`` as in
    :class:`EncoderOutput`.
    """

    field_names = ("loss", "logits", "hidden_states", "attentions")


class DecoderOutput(ModelOutput):
    """Output of a decoder without its head.

    Fields: ``last_hidden_state`` [batch, length, hidden]; ``past_key_values``, if a cache was asked for: for each layer
    key and value of all tokens so far, [batch, tokens, heads, head size] each, and with an encoder key and value of its
    states, [batch, source, heads, head size]; ``hidden_states`` as in :class:`EncoderOutput`; ``attentions``, a tuple
    of [batch, heads, length, tokens]; ``cross_attentions``, a tuple of [batch, heads, length, source].
    """

    field_names = ("last_hidden_state", "past_key_values", "hidden_states", "attentions", "cross_attentions")


class CausalLMOutput(ModelOutput):
    """Output of a model that predicts the next token.

    Fields: ``loss``, a scalar, if labels were given; ``logits`` [batch, length, vocabulary]; the others as in
    :class:`DecoderOutput`.
    """

    field_names = ("loss", "logits", "past_key_values", "hidden_states", "attentions", "cross_attentions")


class QuestionAnsweringOutput(ModelOutput):
    """Output of a model that finds answers in a text.

    Fields: ``loss``, a scalar, if positions were given; ``start_logits`` and ``end_logits``, [batch, length] each;
    ``hidden_states`` and ``attentions`` as in :class:`EncoderOutput`.

    With ``head="google"``, ``end_logits`` are those given the start that was labelled, or else the most probable one.
    Without labels there are beams: ``start_top_log_probs`` and ``start_top_index`` [batch, beam], and for each of these
    starts ``end_top_log_probs`` and ``end_top_index`` [batch, beam, beam]. ``impossible_logits`` [batch] are positive
    where the text has no answer.
    """

    field_names = (
        "loss", "start_logits", "end_logits", "start_top_log_probs", "start_top_index", "end_top_log_probs",
        "end_top_index", "impossible_logits", "hidden_states", "attentions",
    )  # fmt: skip


class JointOutput(ModelOutput):
    """Output of generator and discriminator together.

    Fields: ``loss``, the weighted sum of ``generator_loss`` and ``discriminator_loss``, scalars; ``generator_logits``
    [batch, slots, vocabulary] of the masked positions; ``logits`` [batch, length] of the discriminator;
    ``corrupted_input_ids`` [batch, length], what it saw; ``is_replaced`` [batch, length], its labels. What belongs to
    a network that the objective does not have is None.
    """

    field_names = (
        "loss", "generator_loss", "discriminator_loss", "generator_logits", "logits", "corrupted_input_ids",
        "is_replaced",
    )  # fmt: skip


def as_requested(output: Output, config: ElectraConfig, return_dict: bool | None) -> Output | tuple[Any, ...]:
    """Return an output, or its tuple where ``return_dict`` (else the config) says so."""
    wants_dict = config.return_dict if return_dict is None else return_dict
    return output if wants_dict else output.to_tuple()


def output_of_head(
    kind: type[Output], encoded: ModelOutput, config: ElectraConfig, return_dict: bool | None, **fields: Any
) -> Output | tuple[Any, ...]:
    """Return what a head computed, with the hidden states and attentions of the encoder below it, as requested."""
    output = kind(**fields, hidden_states=encoded.get("hidden_states"), attentions=encoded.get("attentions"))
    return as_requested(output, config, return_dict)
