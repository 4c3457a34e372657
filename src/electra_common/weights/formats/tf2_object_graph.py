"""TensorFlow 2 checkpoints, as ``tf.train.Checkpoint`` writes them: a bundle and the graph of objects it was made from.

The keys of such a bundle are paths through the program's objects (``model/electra/…/.ATTRIBUTES/VARIABLE_VALUE``). The
graph, a protocol buffer in one string tensor, says what the variable behind each key was called, and which variables
belong to an optimizer. Cycles and shared nodes are normal in it.

Source: tensorflow/core/protobuf/trackable_object_graph.proto in TensorFlow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.bundle_paths import index_of
from electra_common.weights.formats.protobuf import expect_bytes, expect_integer, fields
from electra_common.weights.formats.tf1_bundle import read_bundle, read_string
from electra_common.weights.tensors import StoredTensor

GRAPH_KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
# ELECTRA-Large with Adam makes a graph of 240 kB with 1600 nodes and 4000 references. The limits bound the time that a
# file can ask for.
MAX_GRAPH_BYTES: Final = 4 << 20
MAX_NODES: Final = 1 << 15
MAX_REFERENCES: Final = 1 << 16  # of all nodes: children, attributes and slots
_MAX_FIELDS: Final = 16  # of one reference; TensorFlow knows at most five

SAVE_COUNTER: Final = "save counter"
OPTIMIZER_STATE: Final = "optimizer state"
OPTIMIZER_SLOT: Final = "optimizer slot"
PROGRAM_STATE: Final = "number of the program's own, such as a step"
NOT_A_VARIABLE: Final = "not a variable of the object graph"

_VARIABLE: Final = "VARIABLE_VALUE"
_VARIABLE_SUFFIX: Final = f"/.ATTRIBUTES/{_VARIABLE}"
# An optimizer is known by its slots or by its step counter: Keras 3 and late Keras 2 call that _iterations; OptimizerV2
# calls it iter, a name that others may use too.
_OPTIMIZER_CHILDREN: Final = ({"_iterations"}, {"iter", "learning_rate"})
# The optimizer's list of the weights it trains. They are the model's, whatever path they were saved under.
_TRAINED_WEIGHTS: Final = "_trainable_variables"
# Attention of the TensorFlow Model Garden, in a functional model of Keras 2.
_NUMBERED_LAYER: Final = re.compile(r"/layer_with_weights-[0-9]+/_attention_layer/")
_SAVE_COUNTER_NAME: Final = "save_counter"  # in the root node, if tf.train.Checkpoint.save made the file


def is_object_graph(names: Iterable[str]) -> bool:
    """Whether a bundle with these names (numeric or not) is a TF2 object-graph checkpoint."""
    return GRAPH_KEY in names


def read_object_graph(prefix: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the numeric tensors of a TF2 checkpoint by variable name, and which of them are no weights.

    A tensor is called what its variable was called (``dense/kernel``, without ``:0``). Where the graph gives no name,
    or one name to several variables, it is called by its path through the objects instead (``model/layer/kernel``).
    So are all of the TensorFlow Model Garden, where names in one network and in another are the same.

    Args:
        prefix: the path without ``.index``.
        verify: check each tensor's CRC-32C when it is read. The graph's own is always checked.

    Returns:
        ``{name: tensor}`` of everything numeric; and ``{name: reason}`` of those among them that are not weights: the
        save counter, an optimizer's state and slots, and what is no variable.

    Raises:
        CheckpointError: a file is missing, truncated, damaged or contradicts itself, or has no object graph.
    """
    tensors, _ = read_bundle(prefix, verify=verify)
    message = read_string(prefix, GRAPH_KEY, max_bytes=MAX_GRAPH_BYTES)
    index = index_of(prefix)
    if message is None:
        raise CheckpointError(f"{index}: not a TF2 object-graph checkpoint: it has no string {GRAPH_KEY}")
    try:
        graph = _read_graph(message, tensors)
        names = _names(tensors, graph)
        reasons = _reasons(graph, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{index}: the object graph: {error}") from None
    named = {names[key]: tensor.renamed(names[key]) for key, tensor in tensors.items()}
    unlisted = {key: NOT_A_VARIABLE for key in tensors if key not in graph.variables}
    return named, {names[key]: reason for key, reason in {**unlisted, **reasons}.items()}


# Reading the graph --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Variable:
    """What the graph says of one key of the bundle."""

    node: int
    full_name: str


@dataclass
class _Graph:
    """Nodes as messages, read again when they are visited: as objects they could take many times the file's size."""

    nodes: list[bytes]
    variables: dict[str, _Variable] = field(default_factory=dict)  # by key of the bundle
    keys: dict[int, list[str]] = field(default_factory=dict)  # of a node's variables
    optimizers: list[int] = field(default_factory=list)

    def children(self, node: int) -> Iterator[tuple[int, str]]:
        """Yield ``(node, local name)`` of all that a node refers to."""
        for number, _, value in fields(self.nodes[node]):
            if number == 1:
                (child,), (name,) = _reference(expect_bytes(value, "a child"), nodes=(1,), texts=(2,))
                yield self.check(child), name

    def slots(self, node: int) -> Iterator[tuple[int, int, str]]:
        """Yield ``(weight's node, slot's node, slot name)`` of an optimizer."""
        for number, _, value in fields(self.nodes[node]):
            if number == 3:
                (weight, slot), (name,) = _reference(expect_bytes(value, "a slot"), nodes=(1, 3), texts=(2,))
                yield self.check(weight), self.check(slot), name

    def check(self, node: int) -> int:
        """Return a node's number; raises CheckpointError if there is no such node."""
        if not 0 <= node < len(self.nodes):
            raise CheckpointError(f"damaged: node {node} of {len(self.nodes)}")
        return node


def _read_graph(message: bytes, tensors: Mapping[str, StoredTensor]) -> _Graph:
    graph = _Graph([])
    for number, _, value in fields(message):
        if number == 1:
            graph.nodes.append(expect_bytes(value, "a node"))
            if len(graph.nodes) > MAX_NODES:
                raise CheckpointError(f"more than {MAX_NODES} nodes")
    if sum(1 for node in graph.nodes for _ in islice(fields(node), MAX_REFERENCES + 1)) > MAX_REFERENCES:
        raise CheckpointError(f"more than {MAX_REFERENCES} references")
    for node in range(len(graph.nodes)):
        _read_attributes(graph, node, tensors)
        # What everything hangs on is no optimizer, whatever its parts are called.
        if node > 0 and _is_optimizer(graph, node):
            graph.optimizers.append(node)
    return graph


def _is_optimizer(graph: _Graph, node: int) -> bool:
    children = {name for _, name in graph.children(node)}
    has_slots = any(True for _ in graph.slots(node))
    return has_slots or any(names <= children for names in _OPTIMIZER_CHILDREN)


def _read_attributes(graph: _Graph, node: int, tensors: Mapping[str, StoredTensor]) -> None:
    """Note the variables of a node. Attributes of other kinds are a program's state, and no weights."""
    for number, _, value in fields(graph.nodes[node]):
        if number != 2:
            continue
        _, (name, full_name, key) = _reference(expect_bytes(value, "an attribute"), nodes=(), texts=(1, 2, 3))
        if name != _VARIABLE or key not in tensors:
            continue
        if key in graph.variables:
            raise CheckpointError(f"damaged: {key[:80]!r} belongs to two variables")
        graph.variables[key] = _Variable(node, full_name.removesuffix(":0"))
        graph.keys.setdefault(node, []).append(key)


def _reference(message: bytes, *, nodes: tuple[int, ...], texts: tuple[int, ...]) -> tuple[list[int], list[str]]:
    """Return what a message has in some fields: node numbers (proto3 leaves out 0) and texts."""
    numbers, names = dict.fromkeys(nodes, 0), dict.fromkeys(texts, "")
    for count, (number, _, value) in enumerate(fields(message)):
        if count == _MAX_FIELDS:
            raise CheckpointError(f"damaged: a reference of more than {_MAX_FIELDS} fields")
        if number in numbers:
            numbers[number] = expect_integer(value, "a node number")
        elif number in names:
            names[number] = _text(expect_bytes(value, "a name"))
    return list(numbers.values()), list(names.values())


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"damaged: the name {value[:80]!r} is not UTF-8") from None


# Naming and sorting ---------------------------------------------------------------------------------------------------


def _names(tensors: Mapping[str, StoredTensor], graph: _Graph) -> dict[str, str]:
    """Return ``{key: name}``, every name once."""
    if any(_NUMBERED_LAYER.search(key) for key in tensors):
        return {key: _object_path(key) for key in tensors}
    times = Counter(variable.full_name for variable in graph.variables.values())
    result: dict[str, str] = {}
    for key in tensors:
        variable = graph.variables.get(key)
        full_name = variable.full_name if variable is not None else ""
        result[key] = full_name if full_name and times[full_name] == 1 else _object_path(key)
    repeated = [name for name, count in Counter(result.values()).items() if count > 1]
    if repeated:
        raise CheckpointError(f"several tensors are called {repeated[0][:80]!r}")
    return result


def _object_path(key: str) -> str:
    """Return the local names that a key is made of: TensorFlow writes ``/`` in a name as ``.S`` and ``.`` as ``..``."""
    path = key.removesuffix(_VARIABLE_SUFFIX)
    return path.replace("..", "\x00").replace(".S", "/").replace("\x00", ".") if path != key else key


def _reasons(graph: _Graph, tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """Return ``{key: reason}`` of all variables that are not a model's."""
    if not graph.nodes:
        return {}
    slots = {slot: name for node in graph.optimizers for _, slot, name in graph.slots(node)}
    # A weight may be saved under the optimizer's path, if that is the shorter one or the only one.
    weights = _reachable(graph, [0], barred={*graph.optimizers, *slots}) | _trained_weights(graph)
    reasons = dict.fromkeys(_reachable(graph, graph.optimizers, barred=weights), OPTIMIZER_STATE)
    reasons.update({node: f"{OPTIMIZER_SLOT} {name}" for node, name in slots.items() if node not in weights})
    single = {node for node, keys in graph.keys.items() if all(tensors[key].shape == () for key in keys)}
    reasons.update({node: PROGRAM_STATE for node, _ in graph.children(0) if node in single})
    reasons.update({node: SAVE_COUNTER for node, name in graph.children(0) if name == _SAVE_COUNTER_NAME})
    return {key: reason for node, reason in reasons.items() for key in graph.keys.get(node, ())}


def _trained_weights(graph: _Graph) -> set[int]:
    """Return the nodes of all weights that an optimizer refers to."""
    weights = {weight for node in graph.optimizers for weight, _, _ in graph.slots(node)}
    # A set: in a file that lies, many references could lead to one huge list.
    lists = {child for node in graph.optimizers for child, name in graph.children(node) if name == _TRAINED_WEIGHTS}
    for node in lists:
        weights.update(child for child, _ in graph.children(node))
    return weights


def _reachable(graph: _Graph, starts: Iterable[int], *, barred: set[int]) -> set[int]:
    """Return the nodes that lie behind some nodes, without passing through barred ones."""
    found = set(starts) - barred
    waiting = list(found)
    while waiting:
        for child, _ in graph.children(waiting.pop()):
            if child not in found and child not in barred:
                found.add(child)
                waiting.append(child)
    return found
