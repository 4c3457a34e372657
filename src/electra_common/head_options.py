"""Which configs the model classes can be built from, and which problem a sequence classifier solves.

The same answers for both frameworks, given before either builds anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from electra_common.config import ElectraConfig

_CLASSIFIERS: Final = ("ElectraForSequenceClassification", "ElectraForTokenClassification")
_WITHOUT_GOOGLE_HEAD: Final = ("ElectraForMultipleChoice", "ElectraForCausalLM")
_DECODER: Final = "ElectraForCausalLM"
# Google's head for answers: numbers of its code.
ANSWER_HIDDEN_SIZE: Final = 512
BEAM_SIZE: Final = 20
OUTSIDE_ANSWER: Final = -1000.0  # added to logits where no answer may start or end
IMPOSSIBLE_WEIGHT: Final = 0.5  # of the loss of answerability
SPAN_ENDS: Final = 2  # a question answering head gives each token one logit as a start and one as an end

CHOICE_RANK: Final = 3  # [batch, choices, length]
IGNORED_LABEL: Final = -100  # in labels, where nothing is to be predicted; the number of torch and transformers
# Linear layers that Google's code builds without naming an initialiser, by the last part of their names.
GLOROT_MODULES: Final = (
    "embeddings_project", "dense_prediction", "classifier", "out_proj", "qa_outputs", "start_classifier", "end_dense",
    "end_classifier", "impossible_dense", "impossible_classifier",
)  # fmt: skip


def check_head(config: ElectraConfig, architecture: str) -> None:
    """Check that a model class can be built from a config.

    Args:
        config: the config.
        architecture: the class, without the prefix of a framework.

    Raises:
        ValueError: it cannot; the message says what to change.
    """
    check_direction(config, architecture)
    if architecture in _CLASSIFIERS and config.label_count < 1:
        raise ValueError(f"{architecture} needs at least one label, found none: pass num_labels")
    if architecture == "ElectraForQuestionAnswering" and config.label_count != SPAN_ENDS:
        raise ValueError(
            f"{architecture} needs num_labels {SPAN_ENDS}, a start and an end, found {config.label_count}: "
            f"pass num_labels={SPAN_ENDS}"
        )
    if architecture == "ElectraForMultipleChoice":
        _check_summary(config)
    if config.head == "google" and architecture in _WITHOUT_GOOGLE_HEAD:
        raise ValueError(f'{architecture} has no head="google": leave head out')


def check_direction(config: ElectraConfig, architecture: str) -> None:
    """Raise ValueError where an encoder is asked for with the config of a decoder, or the other way round."""
    if config.is_decoder and architecture != _DECODER:
        raise ValueError(
            f"{architecture} reads in both directions, found is_decoder=True, which only {_DECODER} takes; "
            "pass is_decoder=False, add_cross_attention=False"
        )
    if architecture == _DECODER and not config.is_decoder:
        raise ValueError(f"{_DECODER} would see the tokens that it is to predict: pass is_decoder=True")


def _check_summary(config: ElectraConfig) -> None:
    """The classifier takes hidden width; in transformers another width of the summary fails at the first call."""
    is_projected = config.summary_use_proj and config.summary_proj_to_labels and config.label_count > 0
    if is_projected and config.label_count != config.hidden_size:
        raise ValueError(
            f"summary_proj_to_labels makes the summary {config.label_count} wide (num_labels), but the classifier of "
            f"ElectraForMultipleChoice takes hidden_size {config.hidden_size}: leave summary_proj_to_labels out"
        )


def choose_problem_type(config: ElectraConfig, *, labels_are_floating: bool, labels_rank: int) -> str:
    """Return what a sequence classifier is trained for: the config's ``problem_type``, else read off the labels.

    One label is a regression; whole numbers name one class a row; floats say for each class whether it applies. As in
    transformers, which writes the answer into the config for good; here it holds for one call.

    Args:
        config: gives ``problem_type`` and the number of labels.
        labels_are_floating: whether the labels are floats.
        labels_rank: how many axes they have.

    Raises:
        ValueError: whole numbers for each class could mean two things.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.label_count == 1:
        return "regression"
    if labels_are_floating:
        return "multi_label_classification"
    if labels_rank > 1:
        raise ValueError(
            "labels have one whole number for each class: expected [batch] class numbers, or floats for "
            'multi-label classification (or set problem_type="multi_label_classification" in the config)'
        )
    return "single_label_classification"


def check_label_shape(found: Sequence[int | None], expected: Sequence[int | None]) -> None:
    """Check the shape of labels; None stands for a size that is not known yet, in a graph of TensorFlow.

    Raises:
        ValueError: the labels have another shape than the logits ask for.
    """
    pairs = zip(found, expected, strict=False)
    if len(found) != len(expected) or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(f"labels must be {list(expected)}, as the logits are; found {list(found)}")


def check_span_labels(
    config: ElectraConfig, layout: object, start_positions: object, end_positions: object, is_impossible: object
) -> None:
    """Check that a span is labelled with both of its ends, or not at all, and that the head takes what is given.

    Raises:
        ValueError: it does not.
    """
    if (start_positions is None) != (end_positions is None):
        raise ValueError("give both start_positions and end_positions, or neither")
    if is_impossible is not None and (config.head != "google" or start_positions is None):
        raise ValueError('is_impossible goes together with positions and head="google"')
    if layout is not None and config.head == "google":
        raise ValueError('head="google" looks at whole rows: leave layout out')


def count_choices(ids_shape: Sequence[Any] | None, embeds_shape: Sequence[Any] | None) -> Any:
    """Return the number of choices of a batch for multiple choice; a tensor where a graph does not know it yet.

    Args:
        ids_shape: shape of ``input_ids`` [batch, choices, length], or None.
        embeds_shape: shape of ``inputs_embeds`` [batch, choices, length, embedding], or None.

    Raises:
        ValueError: not exactly one of the two is given, or it has no axis of choices.
    """
    if (ids_shape is None) == (embeds_shape is None):
        raise ValueError("give either input_ids or inputs_embeds, and not both")
    shape = ids_shape if embeds_shape is None else embeds_shape[:-1]
    if shape is None or len(shape) != CHOICE_RANK:
        raise ValueError(f"multiple choice takes inputs of [batch, choices, length], found {list(shape or ())}")
    return shape[1]


# What labels belong to, by the output that they are compared with.
_LABELS_OF: Final = {"logits": "labels", "start_logits": "start_positions", "end_logits": "end_positions"}


def named_labels(targets: Any) -> dict[str, Any]:
    """Return targets by the names of a model's arguments; they may have the names of outputs, or none."""
    if not isinstance(targets, Mapping):
        return {"labels": targets}
    return {_LABELS_OF.get(str(name), str(name)): value for name, value in targets.items()}


def check_summary_layout(config: ElectraConfig, layout: object) -> None:
    """Raise ValueError where a summary counts padding and a packed layout leaves it out."""
    if layout is not None and config.summary_type != "first":
        raise ValueError(f"summary_type {config.summary_type!r} counts padding, which a packed layout leaves out")
