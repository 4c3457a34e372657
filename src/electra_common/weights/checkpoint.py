"""Opening a checkpoint of any form: what is in it, before any framework is asked to build a model.

``open_checkpoint`` recognises the format, reads names and shapes, splits the tensors into networks and finds or infers
the config of each. Array data is read only when a tensor's ``read`` is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from electra_common.config import ElectraConfig
from electra_common.config_json import read_config_file
from electra_common.weights.components import Component, find_components
from electra_common.weights.errors import CheckpointError
from electra_common.weights.hub import resolve_path
from electra_common.weights.names import (
    ARCHITECTURE_PARTS,
    BODY,
    DISCRIMINATOR,
    GENERATOR,
    GENERATOR_ARCHITECTURES,
    WORD_EMBEDDINGS,
    find_row,
)
from electra_common.weights.shapes import infer_config
from electra_common.weights.weights_file import GENERATOR_CONFIG, open_weights


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: the weights file, or the prefix of a TensorFlow checkpoint.
        format: such as ``"safetensors"``; see :data:`electra_common.weights.weights_file.FORMATS`.
        components: the networks in it, by name.
        config: the config in the file itself, else the content of a ``config.json`` beside it, or None.
        metadata: free strings stored in the file.
        generator_config: the config of the second network of a checkpoint of two, or None.
    """

    path: Path
    format: str
    components: Mapping[str, Component]
    config: ElectraConfig | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    generator_config: ElectraConfig | None = None

    @property
    def folder(self) -> Path:
        """The folder that the weights lie in."""
        return self.path.parent

    def component(self, name: str | None = None) -> Component:
        """Return a network by name; without one the discriminator, or the generator if it is alone.

        Raises:
            CheckpointError: the checkpoint has no such network.
            ValueError: not the name of a network.
        """
        if name is None:
            return self.components.get(DISCRIMINATOR) or self.components[GENERATOR]
        if name not in (DISCRIMINATOR, GENERATOR):
            raise ValueError(f"component must be {DISCRIMINATOR!r} or {GENERATOR!r}, found {name!r}")
        if name not in self.components:
            others = " and a ".join(self.components)
            raise CheckpointError(f"{self.path}: holds no {name}, only a {others}; ask for that, or for another file")
        return self.components[name]

    def config_of(
        self, component: Component, *, num_attention_heads: int | Mapping[str, int] | None = None
    ) -> ElectraConfig:
        """Return the config of a network: the one beside the weights, else one read off the shapes.

        Args:
            component: the network.
            num_attention_heads: the number of heads, which leaves no trace in the shapes; or one for each network.

        Raises:
            CheckpointError: no config, and the shapes are not those of an ELECTRA network.
            ValueError: the number of heads does not divide the hidden size.
        """
        heads = num_attention_heads
        if isinstance(heads, Mapping):
            heads = heads.get(component.name)
        config = self.stored_config(component)
        if config is not None:
            return config if heads is None else config.replace(num_attention_heads=heads)
        told = dict(component.config_fields)
        told_heads = told.pop("num_attention_heads", None)
        heads = told_heads if heads is None else heads
        config = infer_config(component.tensors, str(self.path), num_attention_heads=heads)
        return config.replace(architectures=(architecture_of(component),), **told)

    def stored_config(self, component: Component) -> ElectraConfig | None:
        """Return the config beside the weights, if it is this network's.

        One config.json beside a checkpoint of two networks describes the one that its ``architectures`` name.
        """
        if self.config is None or len(self.components) == 1:
            return self.config
        if self.generator_config is not None and component.name == GENERATOR:
            return self.generator_config
        is_generator = (self.config.architectures or ("",))[0] in GENERATOR_ARCHITECTURES
        return self.config if component.name == (GENERATOR if is_generator else DISCRIMINATOR) else None


def architecture_of(component: Component) -> str:
    """Return the class that a network's head belongs to, or ``"ElectraModel"`` where it has none, or several."""
    heads = {row.part for row in map(find_row, component.tensors) if row is not None} - {BODY}
    fitting = (name for name, parts in ARCHITECTURE_PARTS.items() if heads <= set(parts))
    return next(fitting, "ElectraModel")


def open_checkpoint(
    name_or_path: str | Path,
    *,
    verify: bool = True,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Checkpoint:
    """Open a checkpoint without reading its weights.

    Args:
        name_or_path: a folder, a file, the prefix of a TensorFlow checkpoint, or ``owner/name`` on the Hub.
        verify: check the checksums that the format has.
        revision: branch, tag or commit on the Hub.
        cache_dir: where downloads are kept.
        local_files_only: never ask the network.

    Raises:
        CheckpointError: nothing is there, the format is not known, or the files are damaged.
    """
    try:
        path = resolve_path(name_or_path, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
        return _open_path(path, verify)
    except OSError as error:  # such as a folder that may not be looked into, or a name that is too long
        raise CheckpointError(f"{name_or_path}: cannot be read: {error.strerror}") from None


def _open_path(path: Path, verify: bool) -> Checkpoint:
    weights = open_weights(path, verify=verify)
    folder = weights.path.parent
    config = weights.config or _read_config(folder / "config.json")
    architecture = config.architectures[0] if config is not None and config.architectures else None
    components = find_components(
        weights.tensors, architecture=architecture, tied=config is None or config.tie_word_embeddings
    )
    components = {
        name: replace(component, leftovers={**component.leftovers, **weights.set_aside})
        for name, component in components.items()
    }
    if not any(component.tensors for component in components.values()):
        raise CheckpointError(f"{weights.path}: {_describe_strangers(weights.tensors)}")
    generator_config = _read_config(folder / GENERATOR_CONFIG) if len(components) > 1 else None
    return Checkpoint(weights.path, weights.format, components, config, weights.metadata, generator_config)


def _describe_strangers(names: Iterable[str]) -> str:
    """Say what tensors without any name of ELECTRA's may be, and what to do with them."""
    ordered = sorted(names)
    some = ", ".join(ordered[:3]) or "nothing"
    if any(re.match(r"^([a-z_]+[./])?bert[./]", name) for name in ordered):
        advice = "these are BERT's weights: an ELECTRA cannot use them, a BERT class can"
    else:
        advice = f"expected such as {WORD_EMBEDDINGS}"
    return f"none of its {len(ordered)} tensors has a name of ELECTRA's (it holds {some}); {advice}"


def _read_config(file: Path) -> ElectraConfig | None:
    # Anything of that name must be readable: a dead link, a pipe or a folder is no reason to guess sizes from shapes.
    return ElectraConfig(**read_config_file(file)) if file.exists() or file.is_symlink() else None
