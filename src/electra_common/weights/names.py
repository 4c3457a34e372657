"""THE table of weight names: what each module of ELECTRA is called in every form a checkpoint comes in.

One row a module. Its kind says which parameters it has, what those are called in each form, and which are stored
transposed. Forward and reverse mappings both come from here; no other file in the project spells a weight name.

==========  ====================================================================================================
column      who uses the name
==========  ====================================================================================================
canonical   transformers' PyTorch ``state_dict``; our PyTorch models; ``model.safetensors``
keras       our Keras models: ``Variable.path`` without the outermost model's name
google      Google's TF1 checkpoints; ``{scope}`` is ``electra`` for the discriminator, ``generator`` for the other
hf_tf       transformers' TensorFlow classes, without model name and ``:0``
==========  ====================================================================================================

Sources: transformers' modules; the variable scopes of google-research/electra ``model/modeling.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Final


@dataclass(frozen=True)
class Parameter:
    """A parameter of a module kind: its last name part in every form, and whether TF stores it transposed."""

    canonical: str
    keras: str
    google: str
    hf_tf: str
    transpose: bool = False


# torch keeps [output, input], TensorFlow [input, output].
LINEAR: Final = (
    Parameter("weight", "kernel", "kernel", "kernel", transpose=True),
    Parameter("bias", "bias", "bias", "bias"),
)
LAYER_NORM: Final = (Parameter("weight", "gamma", "gamma", "gamma"), Parameter("bias", "beta", "beta", "beta"))
EMBEDDING: Final = (Parameter("weight", "embeddings", "", "embeddings"),)
# transformers' TF class made the word table by hand, hence another name than the other two tables.
WORD_EMBEDDING: Final = (Parameter("weight", "embeddings", "", "weight"),)
# The vocabulary projection is the word table again; only its bias is a parameter of its own.
VOCABULARY_BIAS: Final = (Parameter("bias", "bias", "", "bias"),)
VOCABULARY_WEIGHT: Final = (Parameter("weight", "kernel", "", "kernel", transpose=True),)

# The two networks of pre-training, by the names that they have all over this library.
DISCRIMINATOR: Final = "discriminator"
GENERATOR: Final = "generator"
COMPONENTS: Final = (DISCRIMINATOR, GENERATOR)

BODY: Final = "body"  # in every model; the other parts are heads
CROSS_ATTENTION: Final = "cross_attention"  # but for this one, which a decoder may have in its layers


@dataclass(frozen=True)
class Module:
    """A row: one module of the network, its path in every form, its parameters, its sizes and its part.

    ``google`` is None where Google's code has no such module. ``sizes`` are the axes of its weight in canonical order,
    [output, input] or [entries, width]; a bias has the first one. Their names are resolved in :mod:`shapes`.
    """

    canonical: str
    keras: str
    google: str | None
    hf_tf: str
    parameters: tuple[Parameter, ...]
    sizes: tuple[str, ...]
    part: str = BODY


def _embedding(name: str, parameters: tuple[Parameter, ...], *sizes: str) -> Module:
    path = f"electra/embeddings/{name}"
    return Module(f"electra.embeddings.{name}", path, f"{{embeddings}}/{name}", path, parameters, sizes)


def _encoder(canonical: str, parameters: tuple[Parameter, ...], *sizes: str) -> Module:
    path = canonical.replace(".", "/")
    return Module(
        canonical=f"electra.encoder.layer.{{layer}}.{canonical}",
        keras=f"electra/encoder/layer_{{layer}}/{path}",
        google=f"{{scope}}/encoder/layer_{{layer}}/{path}",
        hf_tf=f"electra/encoder/layer_._{{layer}}/{path}",
        parameters=parameters,
        sizes=sizes,
    )


def _cross_attention(canonical: str, parameters: tuple[Parameter, ...], *sizes: str) -> Module:
    """A module of a decoder's layers; a part of its own, for a decoder made from an encoder starts without it."""
    return replace(_encoder(f"crossattention.{canonical}", parameters, *sizes), google=None, part=CROSS_ATTENTION)


def _head(part: str, canonical: str, parameters: tuple[Parameter, ...], *sizes: str, google: str | None) -> Module:
    path = canonical.replace(".", "/")
    return Module(canonical, path, google, path, parameters, sizes, part)


_PROJECT: Final = "embeddings_project"
MODULES: Final = (
    _embedding("word_embeddings", WORD_EMBEDDING, "vocabulary", "embedding"),
    _embedding("position_embeddings", EMBEDDING, "positions", "embedding"),
    _embedding("token_type_embeddings", EMBEDDING, "types", "embedding"),
    _embedding("LayerNorm", LAYER_NORM, "embedding"),
    Module(f"electra.{_PROJECT}", f"electra/{_PROJECT}", f"{{scope}}/{_PROJECT}", f"electra/{_PROJECT}", LINEAR,
           ("hidden", "embedding")),
    _encoder("attention.self.query", LINEAR, "hidden", "hidden"),
    _encoder("attention.self.key", LINEAR, "hidden", "hidden"),
    _encoder("attention.self.value", LINEAR, "hidden", "hidden"),
    _encoder("attention.output.dense", LINEAR, "hidden", "hidden"),
    _encoder("attention.output.LayerNorm", LAYER_NORM, "hidden"),
    _cross_attention("self.query", LINEAR, "hidden", "hidden"),
    _cross_attention("self.key", LINEAR, "hidden", "hidden"),
    _cross_attention("self.value", LINEAR, "hidden", "hidden"),
    _cross_attention("output.dense", LINEAR, "hidden", "hidden"),
    _cross_attention("output.LayerNorm", LAYER_NORM, "hidden"),
    _encoder("intermediate.dense", LINEAR, "intermediate", "hidden"),
    _encoder("output.dense", LINEAR, "hidden", "intermediate"),
    _encoder("output.LayerNorm", LAYER_NORM, "hidden"),
    _head("pretraining", "discriminator_predictions.dense", LINEAR, "hidden", "hidden",
          google="discriminator_predictions/dense"),
    _head("pretraining", "discriminator_predictions.dense_prediction", LINEAR, "one", "hidden",
          google="discriminator_predictions/dense_1"),
    _head("masked_lm", "generator_predictions.dense", LINEAR, "embedding", "hidden",
          google="generator_predictions/dense"),
    _head("masked_lm", "generator_predictions.LayerNorm", LAYER_NORM, "embedding",
          google="generator_predictions/LayerNorm"),
    _head("masked_lm", "generator_lm_head", VOCABULARY_BIAS, "vocabulary", google="generator_predictions/output_bias"),
    _head("untied_lm_head", "generator_lm_head", VOCABULARY_WEIGHT, "vocabulary", "embedding", google=None),
    _head("sequence_classification", "classifier.dense", LINEAR, "hidden", "hidden", google=None),
    _head("sequence_classification", "classifier.out_proj", LINEAR, "labels", "hidden", google=None),
    _head("classification", "classifier", LINEAR, "labels", "hidden", google=None),
    _head("question_answering", "qa_outputs", LINEAR, "labels", "hidden", google=None),
    _head("google_answers", "answer_head.start_classifier", LINEAR, "one", "hidden", google=None),
    _head("google_answers", "answer_head.end_dense", LINEAR, "answer", "two_states", google=None),
    _head("google_answers", "answer_head.end_classifier", LINEAR, "one", "answer", google=None),
    _head("google_answers", "answer_head.impossible_dense", LINEAR, "answer", "two_states", google=None),
    _head("google_answers", "answer_head.impossible_classifier", LINEAR, "one", "answer", google=None),
    _head("multiple_choice", "sequence_summary.summary", LINEAR, "summary", "hidden", google=None),
)  # fmt: skip

# Which heads each class has, by the name that `architectures` in config.json uses.
ARCHITECTURE_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "ElectraModel": (),
    "ElectraForPreTraining": ("pretraining",),
    "ElectraForMaskedLM": ("masked_lm", "untied_lm_head"),
    "ElectraForCausalLM": ("masked_lm", "untied_lm_head", CROSS_ATTENTION),
    "ElectraForSequenceClassification": ("sequence_classification",),
    "ElectraForTokenClassification": ("classification",),
    "ElectraForQuestionAnswering": ("question_answering",),
    "ElectraForMultipleChoice": ("multiple_choice", "classification"),
}

# The classes with the head of a generator, whose projection is the word table again.
GENERATOR_ARCHITECTURES: Final = ("ElectraForMaskedLM", "ElectraForCausalLM")

BODY_PREFIX: Final = "electra."  # of every name in the encoder
EMBEDDINGS_PREFIX: Final = "electra.embeddings."  # the tables and their LayerNorm; the projection is not one of them
# Where a config with head="google" has another head; that for sequences is one linear layer, as for tokens.
GOOGLE_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "ElectraForSequenceClassification": ("classification",),
    "ElectraForQuestionAnswering": ("google_answers",),
}

WORD_EMBEDDINGS: Final = "electra.embeddings.word_embeddings.weight"
TIED_VOCABULARY_WEIGHT: Final = "generator_lm_head.weight"  # the word table again, unless tie_word_embeddings is off

# The TensorFlow Model Garden numbers the layers of a network; within a layer, and for heads, it has these names.
MODEL_GARDEN_EMBEDDINGS: Final = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")
MODEL_GARDEN_PROJECTION: Final = f"electra.{_PROJECT}"
MODEL_GARDEN_LAYER: Final = {
    "_attention_layer/_query_dense": "attention.self.query",
    "_attention_layer/_key_dense": "attention.self.key",
    "_attention_layer/_value_dense": "attention.self.value",
    "_attention_layer/_output_dense": "attention.output.dense",
    "_attention_layer_norm": "attention.output.LayerNorm",
    "_intermediate_dense": "intermediate.dense",
    "_output_dense": "output.dense",
    "_output_layer_norm": "output.LayerNorm",
}
MODEL_GARDEN_HEADS: Final = {
    "discriminator_projection": "discriminator_predictions.dense",
    "discriminator_head": "discriminator_predictions.dense_prediction",
    "discriminator_rtd_head/dense": "discriminator_predictions.dense",  # of TEAMS, as the next one
    "discriminator_rtd_head/rtd_head": "discriminator_predictions.dense_prediction",
    "masked_lm/dense": "generator_predictions.dense",
    "masked_lm/layer_norm": "generator_predictions.LayerNorm",
    "masked_lm/output_bias": "generator_lm_head",
}
MODEL_GARDEN_PARAMETERS: Final = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "embeddings": "weight"
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One tensor kind: its name in every form (``{layer}`` is the layer's index), and whether TF transposes it."""

    canonical: str
    keras: str
    google: str | None
    hf_tf: str
    transpose: bool
    sizes: tuple[str, ...]
    part: str


@cache
def rows() -> tuple[Row, ...]:
    """Return the table, one row a tensor kind."""
    return tuple(_row(module, parameter) for module in MODULES for parameter in module.parameters)


def _row(module: Module, parameter: Parameter) -> Row:
    return Row(
        canonical=f"{module.canonical}.{parameter.canonical}",
        keras=f"{module.keras}/{parameter.keras}",
        google=None if module.google is None else f"{module.google}/{parameter.google}".rstrip("/"),
        hf_tf=f"{module.hf_tf}/{parameter.hf_tf}",
        transpose=parameter.transpose,
        sizes=module.sizes[:1] if parameter.canonical == "bias" else module.sizes,
        part=module.part,
    )


@cache
def _rows_by_canonical() -> dict[str, Row]:
    return {row.canonical: row for row in rows()}


_CANONICAL_LAYER: Final = re.compile(r"^(electra\.encoder\.layer\.)(0|[1-9][0-9]{0,5})(\..+)$")


def layer_of(canonical: str) -> int | None:
    """Return the encoder layer a canonical name belongs to, or None."""
    match = _CANONICAL_LAYER.match(canonical)
    return int(match[2]) if match else None


def find_row(canonical: str) -> Row | None:
    """Return the row of a canonical name, or None if the table has none."""
    if "{" in canonical:  # a file could spell out the table's own placeholder
        return None
    return _rows_by_canonical().get(_CANONICAL_LAYER.sub(r"\g<1>{layer}\3", canonical))


def keras_path(canonical: str) -> str:
    """Return the Keras path of a canonical name; raises KeyError on a name that the table does not have."""
    row = find_row(canonical)
    if row is None:
        raise KeyError(canonical)
    return row.keras.format(layer=layer_of(canonical))


@cache
def google_names(scope: str, embeddings: str) -> dict[str, Row]:
    """Return the rows of one Google network by name, layers still as ``{layer}``.

    ``scope`` is where its encoder lies (``electra`` or ``generator``), ``embeddings`` the scope of its tables.
    """
    return {
        row.google.format(scope=scope, embeddings=embeddings, layer="{layer}"): row
        for row in rows()
        if row.google is not None
    }
