"""From the names in a file to canonical names: which networks a checkpoint holds, and which tensors are whose.

A Google checkpoint holds a discriminator and usually a generator, with one set of embeddings that both use, and so does
our joint form. A transformers checkpoint holds one network. Every tensor of the file ends in one of three places: a
canonical tensor, a leftover with its reason, or an unexpected name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from electra_common.weights.flax_names import flax_tensors
from electra_common.weights.joint_names import is_joint, split_joint
from electra_common.weights.keras_names import keras_file_tensors, keras_tensors
from electra_common.weights.model_garden_names import is_model_garden, model_garden_networks
from electra_common.weights.names import (
    BODY,
    BODY_PREFIX,
    DISCRIMINATOR,
    GENERATOR,
    GENERATOR_ARCHITECTURES,
    TIED_VOCABULARY_WEIGHT,
    WORD_EMBEDDINGS,
    find_row,
    google_names,
)
from electra_common.weights.tensors import StoredTensor
from electra_common.weights.transformers_tf import transformers_tf_tensors, two_networks

_GOOGLE_LAYER: Final = re.compile(r"^([a-z]+/encoder/layer_)(0|[1-9][0-9]{0,5})(/.+)$")
_OPTIMIZER_SLOT: Final = re.compile(r"^(.+)/adam_[mv]$")
# Scopes of Google's code whose networks this library does not build, with what they are.
_FOREIGN_SCOPES: Final = {
    "task_specific/": "head of Google's fine-tuning code",
    "generator_ltr/": "Electric's left-to-right generator",
    "generator_rtl/": "Electric's right-to-left generator",
    "cloze_predictions/": "Electric's cloze head",
}
_BUFFERS: Final = ("electra.embeddings.position_ids", "electra.embeddings.token_type_ids")
_BUFFER: Final = "buffer that older transformers stored; computed, not learned"
_OLD_NORM_NAMES: Final = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclass(frozen=True)
class Component:
    """One network of a checkpoint.

    Attributes:
        name: ``"discriminator"`` or ``"generator"``.
        tensors: ``{canonical name: tensor}``.
        leftovers: ``{name in the file: why it is left aside}``.
        unexpected: names in the file that nobody knows.
        config_fields: what the form tells of the network's config beyond the shapes.
    """

    name: str
    tensors: Mapping[str, StoredTensor]
    leftovers: Mapping[str, str] = field(default_factory=dict)
    unexpected: tuple[str, ...] = ()
    config_fields: Mapping[str, Any] = field(default_factory=dict)


def is_google(names: Mapping[str, StoredTensor]) -> bool:
    """Whether the names are those of Google's TF1 code."""
    return "electra/embeddings/word_embeddings" in names


def find_components(
    tensors: Mapping[str, StoredTensor], *, architecture: str | None, tied: bool
) -> dict[str, Component]:
    """Return the networks that the tensors of a file belong to, whichever program named them.

    Args:
        tensors: by the names in the file.
        architecture: the class that a config beside the weights names.
        tied: whether the config ties the vocabulary projection to the word table.
    """
    if is_google(tensors):
        return google_components(tensors)
    if is_model_garden(tensors):
        return model_garden_components(tensors)
    if is_joint(tensors):
        return joint_components(tensors)
    if both := two_networks(tensors):
        components = [transformers_component(part, architecture=None, tied=tied) for part in both.values()]
    else:
        components = [transformers_component(tensors, architecture=architecture, tied=tied)]
    return {component.name: component for component in components}


def google_components(tensors: Mapping[str, StoredTensor]) -> dict[str, Component]:
    """Split the tensors of a Google checkpoint into its networks.

    With ``untied_generator`` off the generator is the discriminator's network with another head; a plain masked
    language model has only that head; with a uniform generator there is none.
    """
    has_generator_scope = any(name.startswith("generator/") for name in tensors)
    has_generator_head = any(name.startswith("generator_predictions/") for name in tensors)
    has_discriminator_head = any(name.startswith("discriminator_predictions/") for name in tensors)
    result = {}
    if has_discriminator_head or has_generator_scope or not has_generator_head:
        result[DISCRIMINATOR] = _google_component(DISCRIMINATOR, "electra", tensors)
    if has_generator_scope or has_generator_head:
        result[GENERATOR] = _google_component(GENERATOR, "generator" if has_generator_scope else "electra", tensors)
    return result


def _google_component(name: str, scope: str, tensors: Mapping[str, StoredTensor]) -> Component:
    own_embeddings = f"{scope}/embeddings"
    untied = any(key.startswith(f"{own_embeddings}/") for key in tensors)
    known = google_names(scope, own_embeddings if untied else "electra/embeddings")
    head = "pretraining" if name == DISCRIMINATOR else "masked_lm"
    found: dict[str, StoredTensor] = {}
    leftovers: dict[str, str] = {}
    unexpected: list[str] = []
    for key, tensor in tensors.items():
        match = _GOOGLE_LAYER.match(key)
        row = known.get(_google_template(key))
        if row is not None and row.part in (BODY, head):
            canonical = row.canonical.format(layer=match[2] if match else None)
            moved = tensor.transposed() if row.transpose else tensor
            found[canonical] = moved.renamed(canonical)
        elif reason := _google_leftover(key, tensors):
            leftovers[key] = reason
        else:
            unexpected.append(key)
    return Component(name, found, leftovers, tuple(unexpected))


def _google_template(key: str) -> str:
    """Return the name as the table has it, with ``{layer}`` for the layer's index."""
    # A file could spell out the placeholder itself; that is nobody's name.
    return "" if "{" in key else _GOOGLE_LAYER.sub(r"\g<1>{layer}\3", key)


def _google_leftover(key: str, tensors: Mapping[str, StoredTensor]) -> str | None:
    """Return why a name of Google's that is not in the component is fine, or None if nobody knows it."""
    slot = _OPTIMIZER_SLOT.match(key)
    if slot and slot[1] in tensors:
        return "Adam slot"
    if key == "global_step":
        return "training step"
    for scope, reason in _FOREIGN_SCOPES.items():
        if key.startswith(scope):
            return reason
    template = _google_template(key)
    for scope, other in (("electra", DISCRIMINATOR), ("generator", GENERATOR)):
        row = google_names(scope, f"{scope}/embeddings").get(template)
        if row is not None:
            owner = {"pretraining": DISCRIMINATOR, "masked_lm": GENERATOR}.get(row.part, other)
            return f"belongs to the {owner}"
    return None


def model_garden_components(tensors: Mapping[str, StoredTensor]) -> dict[str, Component]:
    """Split the tensors of a checkpoint of the TensorFlow Model Garden's into its networks."""
    networks, unexpected = model_garden_networks(tensors)
    return {
        name: Component(name, found.tensors, found.leftovers, unexpected, found.config_fields)
        for name, found in networks.items()
    }


def joint_components(tensors: Mapping[str, StoredTensor]) -> dict[str, Component]:
    """Split the tensors of this library's joint form into its networks."""
    networks, unexpected = split_joint(tensors)
    result = {}
    for name, found in networks.items():
        foreign = {key: f"belongs to the {other}" for other in networks if other != name for key in tensors
                   if key.startswith(f"{other}.") and key not in unexpected}  # fmt: skip
        result[name] = Component(name, found, foreign, unexpected)
    return result


def transformers_component(tensors: Mapping[str, StoredTensor], *, architecture: str | None, tied: bool) -> Component:
    """Bring the tensors of a transformers checkpoint, of whichever framework, to canonical names.

    ``ElectraModel`` is stored without the prefix ``electra.``; old files say gamma and beta, keep ``position_ids``,
    and hold a projection that the model does not use where embedding and hidden width agree.
    """
    named, unexpected = _to_torch_names(tensors)
    headless = not any(name.startswith(BODY_PREFIX) for name in named)
    found: dict[str, StoredTensor] = {}
    leftovers: dict[str, str] = {}
    unknown: list[str] = list(unexpected)
    for key, tensor in named.items():
        canonical = _transformers_name(key, headless)
        if canonical in _BUFFERS:
            leftovers[key] = _BUFFER
        elif find_row(canonical) is None or canonical in found:
            unknown.append(key)
        else:
            found[canonical] = tensor.renamed(canonical)
    if tied and _is_tied_copy(found):
        del found[TIED_VOCABULARY_WEIGHT]
        leftovers[TIED_VOCABULARY_WEIGHT] = "copy of the word embeddings"
    _drop_stray_projection(found, leftovers)
    return Component(_transformers_kind(found, architecture), found, leftovers, tuple(unknown))


def _to_torch_names(tensors: Mapping[str, StoredTensor]) -> tuple[Mapping[str, StoredTensor], tuple[str, ...]]:
    """Bring names of transformers' other frameworks to torch's; those without a counterpart come second."""
    for table, translate in (
        ("embeddings/word_embeddings/weight", transformers_tf_tensors),
        ("embeddings/word_embeddings/weight:0", transformers_tf_tensors),
        ("embeddings/word_embeddings/embeddings", keras_tensors),
        ("embeddings/word_embeddings/vars/0", keras_file_tensors),
    ):
        before = next((name.removesuffix(table) for name in tensors if name.endswith(f"/{table}")), None)
        if before is not None:
            return translate({_without_model_name(name, before): tensor for name, tensor in tensors.items()})
    if any(name.endswith("embeddings/word_embeddings/embedding") for name in tensors):
        return flax_tensors(tensors)
    return tensors, ()


def _without_model_name(name: str, before: str) -> str:
    """Drop the name of the outermost model, which is the user's to choose; a bare encoder may bear another name."""
    model_name = before.removesuffix("electra/")
    return name.removeprefix(model_name) if model_name != before else f"electra/{name.removeprefix(before)}"


def _transformers_name(key: str, headless: bool) -> str:
    for old, new in _OLD_NORM_NAMES.items():
        if key.endswith(old):
            key = key.removesuffix(old) + new
    body = key.startswith(("embeddings.", "embeddings_project.", "encoder."))
    return f"electra.{key}" if headless and body else key


def _transformers_kind(found: Mapping[str, StoredTensor], architecture: str | None) -> str:
    if any(name.startswith("generator_") for name in found):
        return GENERATOR
    return GENERATOR if architecture in GENERATOR_ARCHITECTURES else DISCRIMINATOR


def _is_tied_copy(found: Mapping[str, StoredTensor]) -> bool:
    copy, table = found.get(TIED_VOCABULARY_WEIGHT), found.get(WORD_EMBEDDINGS)
    if copy is None or table is None or (copy.shape, copy.dtype) != (table.shape, table.dtype):
        return False
    # Bytes, not values: a NaN equals itself here.
    first, second = (np.ascontiguousarray(tensor.read()).reshape(-1).view(np.uint8) for tensor in (copy, table))
    return bool(np.array_equal(first, second))


def _drop_stray_projection(found: dict[str, StoredTensor], leftovers: dict[str, str]) -> None:
    """Transformers 2 allocated the projection even where E == H, so the released base and large files hold one."""
    weight = found.get("electra.embeddings_project.weight")
    if weight is None or len(weight.shape) != 2 or weight.shape[0] != weight.shape[1]:
        return
    for name in ("electra.embeddings_project.weight", "electra.embeddings_project.bias"):
        if found.pop(name, None) is not None:
            leftovers[name] = "projection that is not used where embedding and hidden width agree"
