"""Checkpoints of the TensorFlow Model Garden's ELECTRA and TEAMS -> canonical names of both networks.

A variable is known by its path through the program's objects. An encoder numbers all its layers with weights: three
tables and a LayerNorm, a projection where the widths differ, the layers, and a pooler that ELECTRA does not use. TEAMS
has the first four and the projection, which has no bias there, in a layer 0 of their own. What the generator shares
with the discriminator is stored with the discriminator: in ELECTRA the word table, in TEAMS all embeddings and the
first layers. In TEAMS the last layers of the discriminator for replaced tokens belong to its head; those that the
encoder has in their place are for another task.

Attention kernels are [hidden, heads, size of a head] there, or [heads, size of a head, hidden]; both are folded.

Source: ``official/nlp/modeling`` and ``official/projects/teams`` in tensorflow/models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from electra_common.weights.names import (
    DISCRIMINATOR,
    GENERATOR,
    MODEL_GARDEN_EMBEDDINGS,
    MODEL_GARDEN_HEADS,
    MODEL_GARDEN_LAYER,
    MODEL_GARDEN_PARAMETERS,
    MODEL_GARDEN_PROJECTION,
    WORD_EMBEDDINGS,
    find_row,
)
from electra_common.weights.tensors import DTYPES, Array, StoredTensor

_ENCODERS: Final = {
    "encoder": DISCRIMINATOR,
    "discriminator_network": DISCRIMINATOR,
    "discriminator_mws_network": DISCRIMINATOR,
    "generator_network": GENERATOR,
}
_LAYER_PATH: Final = re.compile(
    rf"^(?:.+/)?({'|'.join(_ENCODERS)})/layer_with_weights-([0-9]{{1,4}})/(?:layer_with_weights-([0-9]{{1,4}})/)?(.+)$"
)
_OWN_LAYER: Final = re.compile(r"^(?:.+/)?discriminator_rtd_head/hidden_layers/([0-9]{1,4})/(.+)$")
_WORD_TABLE: Final = re.compile(r"^(?:.+/)?masked_lm/embedding_table$")
_LEFT_ASIDE: Final = {
    re.compile(r"^(?:.+/)?classification/"): "next-sentence head of the Model Garden",
    re.compile(r"^(?:.+/)?discriminator_mws_head/"): "head of TEAMS for multi-word selection",
}
_POOLER: Final = "pooler of the Model Garden, which ELECTRA does not use"
_OTHER_TASK: Final = "layer of TEAMS for multi-word selection"
_ATTENTION: Final = "_attention_layer/"
# "gelu" is the approximation by tanh there, in the encoders and in the generator's head.
_ACTIVATIONS: Final = {"hidden_act": "gelu_new", "generator_hidden_act": "gelu_new"}


@dataclass
class GardenNetwork:
    """One network: canonical tensors, names left aside with the reason, and what the file tells of its config."""

    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    leftovers: dict[str, str] = field(default_factory=dict)
    config_fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Encoder:
    """The parts of an encoder as they are numbered: {number: {path within: tensor}}; TEAMS nests its embeddings."""

    is_nested: bool = False
    embeddings: dict[int, dict[str, StoredTensor]] = field(default_factory=dict)
    layers: dict[int, dict[str, StoredTensor]] = field(default_factory=dict)
    dense: dict[int, dict[str, StoredTensor]] = field(default_factory=dict)


def is_model_garden(names: Iterable[str]) -> bool:
    """Whether the names are paths through the objects of the Model Garden's models."""
    return any((match := _LAYER_PATH.match(name)) and match[4].startswith(_ATTENTION) for name in names)


def model_garden_networks(tensors: Mapping[str, StoredTensor]) -> tuple[dict[str, GardenNetwork], tuple[str, ...]]:
    """Return the networks, and the names that nobody knows."""
    encoders = {DISCRIMINATOR: _Encoder(), GENERATOR: _Encoder()}
    networks = {DISCRIMINATOR: GardenNetwork(), GENERATOR: GardenNetwork()}
    own_layers: dict[int, dict[str, StoredTensor]] = {}
    unexpected: list[str] = []
    for name, tensor in tensors.items():
        if match := _LAYER_PATH.match(name):
            _sort(encoders[_ENCODERS[match[1]]], int(match[2]), match[3], match[4], tensor)
        elif match := _OWN_LAYER.match(name):
            own_layers.setdefault(int(match[1]), {})[match[2]] = tensor
        elif not (_take_head(networks, name, tensor) or _set_aside(networks, name)):
            unexpected.append(name)
    for network, encoder in encoders.items():
        unexpected += _take_embeddings(networks[network], encoder)
    unexpected += _take_layers(networks, encoders, own_layers)
    _share(networks, encoders)
    found = {name: network for name, network in networks.items() if network.tensors}
    return found, tuple(unexpected)


# Sorting names ------------------------------------------------------------------------------------------------------


def _sort(encoder: _Encoder, number: int, inner: str | None, path: str, tensor: StoredTensor) -> None:
    if inner is not None:  # the layer 0 of TEAMS
        encoder.is_nested = True
        encoder.embeddings.setdefault(int(inner), {})[path] = tensor
    elif "/" in path:
        encoder.layers.setdefault(number, {})[path] = tensor
    elif number < len(MODEL_GARDEN_EMBEDDINGS) and path in ("embeddings", "gamma", "beta"):
        encoder.embeddings.setdefault(number, {})[path] = tensor
    else:
        encoder.dense.setdefault(number, {})[path] = tensor


def _take_head(networks: Mapping[str, GardenNetwork], name: str, tensor: StoredTensor) -> bool:
    if _WORD_TABLE.match(name):
        networks[DISCRIMINATOR].tensors[WORD_EMBEDDINGS] = tensor.renamed(WORD_EMBEDDINGS)
        return True
    path, _, parameter = name.rpartition("/")
    module = next((MODEL_GARDEN_HEADS[head] for head in MODEL_GARDEN_HEADS if f"/{path}".endswith(f"/{head}")), None)
    if module is None:
        return False
    network = networks[DISCRIMINATOR if module.startswith(DISCRIMINATOR) else GENERATOR]
    return _put(network, module, parameter, tensor)


def _set_aside(networks: Mapping[str, GardenNetwork], name: str) -> bool:
    reason = next((reason for pattern, reason in _LEFT_ASIDE.items() if pattern.match(name)), None)
    if reason is not None:
        for network in networks.values():
            network.leftovers[name] = reason
    return reason is not None


def _put(network: GardenNetwork, module: str, parameter: str, tensor: StoredTensor) -> bool:
    canonical = f"{module}.{MODEL_GARDEN_PARAMETERS.get(parameter)}"
    row = find_row(canonical)
    if row is None or canonical in network.tensors:
        return False
    network.tensors[canonical] = (tensor.transposed() if row.transpose else tensor).renamed(canonical)
    return True


# Encoders -----------------------------------------------------------------------------------------------------------


def _take_embeddings(network: GardenNetwork, encoder: _Encoder) -> list[str]:
    unknown = []
    numbered = dict(enumerate(f"electra.embeddings.{name}" for name in MODEL_GARDEN_EMBEDDINGS))
    numbered[len(numbered)] = MODEL_GARDEN_PROJECTION
    first_layer = min(encoder.layers, default=0)
    projection = {number: part for number, part in encoder.dense.items() if number < first_layer}
    for number, part in {**encoder.embeddings, **projection}.items():
        for parameter, tensor in part.items():
            if number not in numbered or not _put(network, numbered[number], parameter, tensor):
                unknown.append(tensor.name)
    if encoder.is_nested:
        _complete_projection(network)
    for number in encoder.dense.keys() - projection.keys():
        network.leftovers.update({tensor.name: _POOLER for tensor in encoder.dense[number].values()})
    return unknown


def _complete_projection(network: GardenNetwork) -> None:
    """Give the projection of TEAMS, which has no bias, the one that changes nothing."""
    weight, name = network.tensors.get(f"{MODEL_GARDEN_PROJECTION}.weight"), f"{MODEL_GARDEN_PROJECTION}.bias"
    if weight is not None and len(weight.shape) == 2 and name not in network.tensors:
        shape, dtype = weight.shape[:1], DTYPES[weight.dtype]
        network.tensors[name] = replace(weight, name=name, shape=shape, read=lambda: np.zeros(shape, dtype))


def _take_layers(
    networks: Mapping[str, GardenNetwork],
    encoders: Mapping[str, _Encoder],
    own_layers: Mapping[int, Mapping[str, StoredTensor]],
) -> list[str]:
    """Number the layers from 0; those of the discriminator's head of TEAMS take the place of the encoder's last."""
    unknown: list[str] = []
    first = _first_layer(encoders[DISCRIMINATOR], encoders[DISCRIMINATOR])
    layers = {number - first: part for number, part in encoders[DISCRIMINATOR].layers.items()}
    for index, part in own_layers.items():
        number = len(layers) - len(own_layers) + index
        networks[DISCRIMINATOR].leftovers.update(
            {tensor.name: _OTHER_TASK for tensor in layers.get(number, {}).values()}
        )
        layers[number] = dict(part)
    for number, part in layers.items():
        unknown += _take_layer(networks[DISCRIMINATOR], number, part)
    first = _first_layer(encoders[GENERATOR], encoders[DISCRIMINATOR])
    for number, part in encoders[GENERATOR].layers.items():
        unknown += _take_layer(networks[GENERATOR], number - first, part)
    return unknown


def _first_layer(encoder: _Encoder, discriminator: _Encoder) -> int:
    """Return the number of layer 0, which may be stored with the other network."""
    if encoder.is_nested or (discriminator.is_nested and not encoder.embeddings):
        return 1
    after_tables = len(MODEL_GARDEN_EMBEDDINGS)
    has_projection = after_tables in encoder.dense and any(number > after_tables for number in encoder.layers)
    return after_tables + 1 if has_projection else after_tables


def _take_layer(network: GardenNetwork, number: int, part: Mapping[str, StoredTensor]) -> list[str]:
    unknown = []
    for path, tensor in part.items():
        module, _, parameter = path.rpartition("/")
        if module not in MODEL_GARDEN_LAYER or number < 0:
            unknown.append(tensor.name)
            continue
        flat = tensor
        if module.startswith(_ATTENTION):
            _note_heads(network, module, parameter, tensor)
            flat = _folded(tensor, is_output=module.endswith("_output_dense"))
        if not _put(network, f"electra.encoder.layer.{number}.{MODEL_GARDEN_LAYER[module]}", parameter, flat):
            unknown.append(tensor.name)
    return unknown


def _note_heads(network: GardenNetwork, module: str, parameter: str, tensor: StoredTensor) -> None:
    if module.endswith("_query_dense") and parameter == "kernel" and len(tensor.shape) == 3 and tensor.shape[1]:
        network.config_fields.update(num_attention_heads=tensor.shape[1], **_ACTIVATIONS)


def _folded(tensor: StoredTensor, *, is_output: bool) -> StoredTensor:
    """Make one axis of heads and their size: the first two axes of the output's kernel, else the last two."""
    shape, flat = tensor.shape, tensor.shape
    if is_output and len(shape) == 3:
        flat = (shape[0] * shape[1], shape[2])
    elif not is_output and len(shape) in (2, 3):
        flat = (*shape[:-2], shape[-2] * shape[-1])
    else:
        return tensor  # the output's bias; anything else is found out by its shape
    read = tensor.read

    def read_flat() -> Array:
        return read().reshape(flat)  # [hidden, heads, size] -> [hidden, hidden], or [heads, size, hidden]

    return replace(tensor, shape=flat, read=read_flat)


def _share(networks: Mapping[str, GardenNetwork], encoders: Mapping[str, _Encoder]) -> None:
    """Give the generator what the checkpoint stores with the discriminator: embeddings, and layers before its own."""
    discriminator, generator = networks[DISCRIMINATOR], networks[GENERATOR]
    if not generator.tensors:
        return
    shared = {"electra.embeddings.word_embeddings."}
    if not encoders[GENERATOR].embeddings:
        shared = {"electra.embeddings.", f"{MODEL_GARDEN_PROJECTION}."}
        own = [int(name.split(".")[3]) for name in generator.tensors if name.startswith("electra.encoder.layer.")]
        shared |= {f"electra.encoder.layer.{number}." for number in range(min(own, default=0))}
    for name, tensor in discriminator.tensors.items():
        if name.startswith(tuple(shared)):
            generator.tensors.setdefault(name, tensor)
