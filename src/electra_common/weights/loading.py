"""Deciding, before a framework builds anything, which tensor of a checkpoint goes where, and whether it all fits.

Strict: every tensor of the model and of the file is accounted for, and all problems come in one error. The exceptions
are named: a head that the checkpoint does not have is new; known leftovers are left aside. Nothing is reshaped to fit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.head_options import check_head
from electra_common.weights.checkpoint import Checkpoint, open_checkpoint
from electra_common.weights.components import Component
from electra_common.weights.errors import CheckpointError
from electra_common.weights.names import (
    ARCHITECTURE_PARTS,
    BODY,
    CROSS_ATTENTION,
    DISCRIMINATOR,
    GENERATOR,
    GENERATOR_ARCHITECTURES,
    TIED_VOCABULARY_WEIGHT,
    Row,
    find_row,
)
from electra_common.weights.report import LoadReport, WrongShape
from electra_common.weights.shapes import count_layers, expected_shapes, parts_of
from electra_common.weights.tensors import FLOATING_DTYPES, StoredTensor, widest_dtype


@dataclass(frozen=True)
class LoadPlan:
    """What a framework needs to build a model from a checkpoint.

    Attributes:
        config: the config to build with.
        tensors: ``{canonical name: tensor}`` for every weight that the checkpoint gives.
        report: the account of all tensors; ``report.new`` are those to initialise.
        dtype: the dtype of the weights in the model, such as ``"float32"``.
    """

    config: ElectraConfig
    tensors: Mapping[str, StoredTensor]
    report: LoadReport
    dtype: str


def plan_loading(
    name_or_path: str | Path,
    architecture: str,
    *,
    config: ElectraConfig | None = None,
    component: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    config_overrides: Mapping[str, Any] | None = None,
) -> LoadPlan:
    """Open a checkpoint and match it with a model class; see ``from_pretrained`` for the arguments.

    Emits one warning if a head is new.

    Raises:
        CheckpointError: the checkpoint is unusable or does not fit; one message names every tensor.
        ValueError: an argument or a config override is wrong.
    """
    if config is not None and not isinstance(config, ElectraConfig):
        raise ValueError(
            f"config must be an ElectraConfig, found a {type(config).__name__}; "
            "make one with ElectraConfig(**fields) or ElectraConfig.from_pretrained(path)"
        )
    checkpoint = open_checkpoint(
        name_or_path, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
    )
    chosen = _choose_component(checkpoint, architecture, component)
    config = _choose_config(checkpoint, chosen, config, config_overrides or {})
    config = config.replace(architectures=(architecture,))
    try:
        check_head(config, architecture)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    report, tensors = match(checkpoint, chosen, config, architecture)
    if not report.is_complete:
        raise CheckpointError(report.problems())
    if report.new:
        _check_new_size(report, config, tensors)
        warnings.warn(report.new_head_warning(), stacklevel=3)
    weights_dtype = _choose_dtype(dtype, tensors)
    return LoadPlan(replace(config, dtype=weights_dtype), tensors, report, weights_dtype)


def _check_new_size(report: LoadReport, config: ElectraConfig, tensors: Mapping[str, StoredTensor]) -> None:
    """A new head is small, or smaller than the encoder it sits on; a file of odd sizes could ask for gigabytes."""
    shapes = expected_shapes(config, (config.architectures or ("",))[0])
    new = sum(math.prod(shapes[name]) for name in report.new)
    loaded = sum(math.prod(tensor.shape) for tensor in tensors.values())
    if new > max(loaded, _SMALL_HEAD):
        raise CheckpointError(f"{report.source}: the new head would have {new} weights, the file gives only {loaded}")


def _choose_component(checkpoint: Checkpoint, architecture: str, name: str | None) -> Component:
    """Take the network that was asked for, else the one the class is for, else the one there is."""
    if name is not None:
        return checkpoint.component(name)
    wanted = GENERATOR if architecture in GENERATOR_ARCHITECTURES else DISCRIMINATOR
    return checkpoint.components.get(wanted) or checkpoint.component()


def _choose_config(
    checkpoint: Checkpoint, component: Component, config: ElectraConfig | None, overrides: Mapping[str, Any]
) -> ElectraConfig:
    if config is None:
        heads = overrides.get("num_attention_heads")
        config = checkpoint.config_of(component, num_attention_heads=heads)
    return config.replace(**overrides) if overrides else config


def _choose_dtype(dtype: str | None, tensors: Mapping[str, StoredTensor]) -> str:
    """None means float32, ``"auto"`` the widest floating dtype in the file."""
    if dtype is None:
        return "float32"
    if dtype == "auto":
        return widest_dtype(tensor.dtype for tensor in tensors.values())
    if dtype not in FLOATING_DTYPES:
        raise ValueError(f"dtype must be None, 'auto' or one of {', '.join(FLOATING_DTYPES)}, found {dtype!r}")
    return dtype


_SMALL_HEAD: Final = 1 << 22  # weights that a new head may have on any encoder, 16 MiB: Google's are wider than some
_UNUSED_HEAD: Final = "head that {} does not have"


def match(
    checkpoint: Checkpoint, component: Component, config: ElectraConfig, architecture: str
) -> tuple[LoadReport, dict[str, StoredTensor]]:
    """Compare a network's tensors with those a model class needs; return the account and the tensors that fit.

    Raises:
        CheckpointError: the config asks for more layers than the file has tensors, or for a class nobody knows.
    """
    source = str(checkpoint.path)
    if architecture not in ARCHITECTURE_PARTS:
        raise CheckpointError(f"{source}: no class {architecture!r}; known: {', '.join(ARCHITECTURE_PARTS)}")
    layers = count_layers(component.tensors, source)
    if config.num_hidden_layers > len(component.tensors):
        raise CheckpointError(f"{source}: the config asks for {config.num_hidden_layers} layers, the file has {layers}")
    expected = expected_shapes(config, architecture)
    parts = parts_of(config, architecture)
    weights = {name: tensor for name, tensor in component.tensors.items() if tensor.dtype in FLOATING_DTYPES}
    loaded = {name: tensor for name, tensor in weights.items() if expected.get(name) == tensor.shape}
    absent = [name for name in expected if name not in weights]
    new = _new_heads(absent, component, parts)
    leftovers = dict(component.leftovers)
    unexpected = [*component.unexpected, *_not_weights(component)]
    for name in weights.keys() - expected.keys():
        if _part(name) in (BODY, *parts):
            unexpected.append(name)
        else:
            leftovers[name] = _UNUSED_HEAD.format(architecture)
    tied = architecture in GENERATOR_ARCHITECTURES and config.tie_word_embeddings
    report = LoadReport(
        source=source,
        format=checkpoint.format,
        component=component.name,
        loaded=tuple(sorted(loaded)),
        new=tuple(sorted(new)),
        missing=tuple(sorted(set(absent) - new)),
        unexpected=tuple(sorted(unexpected)),
        wrong_shape=tuple(
            WrongShape(name, expected[name], weights[name].shape)
            for name in sorted(expected.keys() & weights.keys() - loaded.keys())
        ),
        tied=(TIED_VOCABULARY_WEIGHT,) if tied else (),
        leftovers=leftovers,
    )
    return report, loaded


def _part(name: str) -> str:
    row: Row | None = find_row(name)
    return row.part if row is not None else BODY


def _not_weights(component: Component) -> list[str]:
    """Tensors that bear a weight's name and hold integers: a lie about the dtype, or not a weight."""
    return [f"{name} of {item.dtype}" for name, item in component.tensors.items() if item.dtype not in FLOATING_DTYPES]


def _new_heads(absent: list[str], component: Component, parts: tuple[str, ...]) -> set[str]:
    """A head is new if the checkpoint has nothing of it; a part of a head would be a damaged checkpoint.

    So is cross-attention, whatever there is of the head.
    """
    stored = {_part(name) for name in component.tensors} & set(parts)
    new = {CROSS_ATTENTION} - stored
    if not stored - {CROSS_ATTENTION}:
        new |= {part for part in parts if part != CROSS_ATTENTION}
    return {name for name in absent if _part(name) in new}
