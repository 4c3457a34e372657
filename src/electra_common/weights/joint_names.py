"""Both networks of a pre-training run in one set of names: this library's own form, called ``joint``.

==============================================  ======================================================================
``discriminator.`` and a canonical name         a tensor of the discriminator
``generator.`` and a canonical name             a tensor of the generator
no ``generator.electra.embeddings.…`` at all    the generator's embeddings are the discriminator's, stored once
no ``generator.electra.…`` at all               the generator is the discriminator's network with another head
==============================================  ======================================================================

The optimizer's state and whatever else a run needs to go on has files of its own beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from electra_common.weights.names import COMPONENTS, DISCRIMINATOR, EMBEDDINGS_PREFIX, GENERATOR, find_row
from electra_common.weights.sharing import are_same, body_of, embeddings_of
from electra_common.weights.tensors import StoredTensor

Tensors = Mapping[str, StoredTensor]


def is_joint(names: Iterable[str]) -> bool:
    """Whether the names are those of the joint form."""
    return any(name.startswith(tuple(f"{network}.{EMBEDDINGS_PREFIX}" for network in COMPONENTS)) for name in names)


def joint_tensors(discriminator: Tensors | None, generator: Tensors | None) -> dict[str, StoredTensor]:
    """Return the tensors of both networks, or of one, under the names of the joint form.

    Embeddings that are the same in both, bit for bit, come once; so does all but the heads where that is the same.

    Raises:
        ValueError: neither network was given.
    """
    given = {name: tensors for name, tensors in zip(COMPONENTS, (discriminator, generator), strict=True) if tensors}
    if not given:
        raise ValueError("joint_tensors needs a discriminator, a generator or both")
    shared: set[str] = set()
    for part in (embeddings_of, body_of):
        if len(given) == 2 and are_same(*map(part, given.values())):
            shared = {f"{GENERATOR}.{name}" for name in part(given[GENERATOR])}
    named = {f"{network}.{name}": tensor for network, tensors in given.items() for name, tensor in tensors.items()}
    return {name: tensor.renamed(name) for name, tensor in named.items() if name not in shared}


def split_joint(tensors: Tensors) -> tuple[dict[str, dict[str, StoredTensor]], tuple[str, ...]]:
    """Return each network's tensors by canonical name, and the names that belong to neither."""
    networks: dict[str, dict[str, StoredTensor]] = {}
    unexpected: list[str] = []
    for name, tensor in tensors.items():
        network, _, canonical = name.partition(".")
        if network in COMPONENTS and find_row(canonical) is not None:
            networks.setdefault(network, {})[canonical] = tensor.renamed(canonical)
        else:
            unexpected.append(name)
    if len(networks) == 2 and not embeddings_of(networks[GENERATOR]):
        part = embeddings_of if body_of(networks[GENERATOR]) else body_of
        networks[GENERATOR].update(part(networks[DISCRIMINATOR]))
    return {network: networks[network] for network in COMPONENTS if network in networks}, tuple(unexpected)
