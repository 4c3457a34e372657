"""From canonical tensors of one or both networks to the variables of one Google checkpoint.

The way back of :func:`electra_common.weights.components.google_components`: what is written here, that function splits
into the same networks again. Names come from the table in :mod:`names`; tensors are renamed and transposed, and only
compared, where two networks may share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from electra_common.weights.components import google_components, is_google
from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import BODY, DISCRIMINATOR, GENERATOR, Row, find_row, layer_of
from electra_common.weights.sharing import are_same, body_without_embeddings, embeddings_of
from electra_common.weights.tensors import StoredTensor

_HEADS: Final = {DISCRIMINATOR: "pretraining", GENERATOR: "masked_lm"}
_MAIN_SCOPE: Final = "electra"  # the discriminator's, or that of a network which is alone
_GENERATOR_SCOPE: Final = "generator"

Tensors = Mapping[str, StoredTensor]


def google_tensors(discriminator: Tensors | None, generator: Tensors | None) -> dict[str, StoredTensor]:
    """Return the variables of a Google checkpoint by name, kernels as [input, output].

    Embeddings that are the same in both networks, bit for bit, are written once, as ``electra/embeddings``; others as
    ``generator/embeddings`` beside them. Networks that differ in nothing but their heads are written as one with two
    heads, which is what Google's code makes of ``untied_generator=False``. A generator alone lies where a masked
    language model of Google's lies: under ``electra``.

    Args:
        discriminator: ``{canonical name: tensor}``, or None.
        generator: ``{canonical name: tensor}``, or None.

    Raises:
        CheckpointError: Google's checkpoints have no place for some of the tensors; the message names them.
        ValueError: neither network was given.
    """
    networks = {DISCRIMINATOR: discriminator, GENERATOR: generator}
    given = {name: tensors for name, tensors in networks.items() if tensors is not None}
    if not given:
        raise ValueError("google_tensors needs a discriminator, a generator or both")
    for name, tensors in given.items():
        _check_names(name, tensors)
    result: dict[str, StoredTensor] = {}
    if discriminator is not None:
        result.update(_google_variables(discriminator, _MAIN_SCOPE, _MAIN_SCOPE))
    if generator is not None:
        scope, embeddings = (_MAIN_SCOPE, _MAIN_SCOPE) if discriminator is None else _scopes(discriminator, generator)
        result.update(_google_variables(generator, scope, embeddings))
    _check_way_back(result, given)
    return result


def _check_names(component: str, tensors: Tensors) -> None:
    """Refuse what Google's code never had: heads of fine-tuning, a projection of its own, the other network's head."""
    homeless = []
    for name in tensors:
        row = find_row(name)
        if row is None or row.google is None or row.part not in (BODY, _HEADS[component]):
            homeless.append(name)
    if homeless:
        raise CheckpointError(f"a Google checkpoint has no place in its {component} for {', '.join(sorted(homeless))}")


def _row(canonical: str) -> Row:
    row = find_row(canonical)
    assert row is not None  # _check_names has seen to it
    return row


def _google_variables(tensors: Tensors, scope: str, embeddings: str) -> dict[str, StoredTensor]:
    """Return a network's variables; ``embeddings`` is the scope that its embeddings lie in."""
    result = {}
    for canonical, tensor in tensors.items():
        row = _row(canonical)
        name = str(row.google).format(scope=scope, embeddings=f"{embeddings}/embeddings", layer=layer_of(canonical))
        result[name] = (tensor.transposed() if row.transpose else tensor).renamed(name)
    return result


def _scopes(discriminator: Tensors, generator: Tensors) -> tuple[str, str]:
    """Return the scopes of the generator's encoder and of its embeddings beside a discriminator."""
    bodies = [body_without_embeddings(tensors) for tensors in (discriminator, generator)]
    if not are_same(embeddings_of(discriminator), embeddings_of(generator)):
        return _GENERATOR_SCOPE, _GENERATOR_SCOPE
    if are_same(*bodies):
        return _MAIN_SCOPE, _MAIN_SCOPE
    # Without anything in a scope of its own a generator would be taken for the discriminator with another head.
    return _GENERATOR_SCOPE, _MAIN_SCOPE if bodies[1] else _GENERATOR_SCOPE


def _check_way_back(result: Mapping[str, StoredTensor], given: Mapping[str, Tensors]) -> None:
    """Refuse networks that would be read back as others, such as a generator that has neither head nor company."""
    found = {name: set(component.tensors) for name, component in google_components(result).items()}
    if not is_google(result) or found != {name: set(tensors) for name, tensors in given.items()}:
        wanted = " and ".join(f"a {name} of {len(tensors)}" for name, tensors in given.items())
        got = " and ".join(f"a {name} of {len(names)}" for name, names in found.items())
        raise CheckpointError(
            f"as a Google checkpoint, {wanted} tensors would be read back as {got}: parts are missing"
        )
