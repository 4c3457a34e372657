"""Opening a checkpoint of any form: what is in it, before any framework is asked to build a model.

``open_checkpoint`` recognises the format, reads names and shapes, splits the tensors into networks and finds or infers
the config of each. Array data is read only when a tensor's ``read`` is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from electra_common.config import ElectraConfig
from electra_common.config_json import read_config_file
from electra_common.weights.components import (
    COMPONENTS,
    DISCRIMINATOR,
    GENERATOR,
    Component,
    google_components,
    is_google,
    transformers_component,
)
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.bundle_paths import find_prefix, is_bundle_index
from electra_common.weights.formats.safetensors import looks_like_safetensors, read_safetensors
from electra_common.weights.formats.tf1_bundle import read_bundle
from electra_common.weights.hub import resolve_path
from electra_common.weights.names import ARCHITECTURE_PARTS, BODY, find_row
from electra_common.weights.shapes import infer_config
from electra_common.weights.tensors import StoredTensor

SAFETENSORS: Final = "safetensors"
TF1: Final = "tf1"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: the weights file, or the prefix of a TensorFlow checkpoint.
        format: ``"safetensors"`` or ``"tf1"``.
        components: the networks in it, by name.
        config: the content of a ``config.json`` beside the weights, or None.
        metadata: free strings stored in the file.
    """

    path: Path
    format: str
    components: Mapping[str, Component]
    config: ElectraConfig | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

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
            raise CheckpointError(f"{self.path}: holds no {name}, only a {' and a '.join(self.components)}")
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
        if self.config is not None and self.has_config_for(component):
            return self.config if heads is None else self.config.replace(num_attention_heads=heads)
        config = infer_config(component.tensors, str(self.path), num_attention_heads=heads)
        return config.replace(architectures=(architecture_of(component),))

    def has_config_for(self, component: Component) -> bool:
        """Whether the config beside the weights is this network's.

        One config.json beside a checkpoint of two networks describes the one that its ``architectures`` name.
        """
        if self.config is None or len(self.components) == 1:
            return self.config is not None
        is_generator = (self.config.architectures or ("",))[0] == "ElectraForMaskedLM"
        return component.name == (GENERATOR if is_generator else DISCRIMINATOR)


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
    file = _safetensors_file(path)
    if file is not None:
        return _open_safetensors(file, verify)
    prefix = find_prefix(path)
    if prefix is not None:
        return _open_bundle(prefix, verify)
    expected = "model.safetensors, or a TensorFlow checkpoint (model.ckpt-N.index)"
    raise CheckpointError(f"{path}: no checkpoint found; expected {expected}{_inner_checkpoints(path)}")


def _inner_checkpoints(path: Path) -> str:
    """Say where checkpoints are, if they lie one folder deeper: that is what converting two networks leaves."""
    inner = [name for name in COMPONENTS if (path / name / "model.safetensors").is_file()]
    return f"; there are some in its folders {' and '.join(inner)}" if inner else ""


def _safetensors_file(path: Path) -> Path | None:
    if path.is_dir():
        file = path / "model.safetensors"
        return file if file.is_file() else None
    if not path.is_file() or is_bundle_index(path):
        return None
    try:
        with open(path, "rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    return path if looks_like_safetensors(start) or path.suffix == ".safetensors" else None


def _read_config(folder: Path) -> ElectraConfig | None:
    # Anything of that name must be readable: a dead link, a pipe or a folder is no reason to guess sizes from shapes.
    file = folder / "config.json"
    return ElectraConfig(**read_config_file(file)) if file.exists() or file.is_symlink() else None


def _open_safetensors(file: Path, verify: bool) -> Checkpoint:
    tensors, metadata = read_safetensors(file, verify=verify)
    if metadata.get("format", "pt") not in ("pt", "np"):
        raise CheckpointError(
            f"{file}: holds the tensors of another framework (format {metadata['format'][:20]!r}, expected 'pt')"
        )
    config = _read_config(file.parent)
    component = transformers_component(
        tensors,
        architecture=config.architectures[0] if config is not None and config.architectures else None,
        tied=config is None or config.tie_word_embeddings,
    )
    _check_is_electra(file, component.tensors, tensors)
    return Checkpoint(file, SAFETENSORS, {component.name: component}, config, metadata)


def _open_bundle(prefix: Path, verify: bool) -> Checkpoint:
    tensors, _ = read_bundle(prefix, verify=verify)
    components = google_components(tensors) if is_google(tensors) else {}
    _check_is_electra(prefix, components, tensors)
    return Checkpoint(prefix, TF1, components, _read_config(prefix.parent))


def _check_is_electra(path: Path, found: Mapping[str, object], tensors: Mapping[str, StoredTensor]) -> None:
    if not found:
        some = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise CheckpointError(f"{path}: none of its {len(tensors)} tensors has a name of ELECTRA's (it holds {some})")
