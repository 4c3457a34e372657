"""From a checkpoint of any readable form to a folder in any writable one.

Streams tensor by tensor; no framework, no model, never more than one tensor in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from electra_common.config import ElectraConfig
from electra_common.weights.atomic import Content, holds, new_folder, write_files
from electra_common.weights.checkpoint import Checkpoint, architecture_of, open_checkpoint
from electra_common.weights.components import Component
from electra_common.weights.errors import CheckpointError
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.hub import TOKENIZER_FILES
from electra_common.weights.loading import match
from electra_common.weights.names import DISCRIMINATOR, GENERATOR
from electra_common.weights.own_files import is_own_file
from electra_common.weights.report import LoadReport
from electra_common.weights.saving import (
    TWO_NETWORK_FORMATS,
    check_format,
    component_config_name,
    folder_files,
    two_network_files,
)
from electra_common.weights.streaming import Rounding, SequentialReader
from electra_common.weights.tensors import StoredTensor, widest_dtype

_MAX_TOKENIZER_BYTES: Final = 64 << 20
_PASSES: Final = 3  # over every tensor: written, read back, read again from the source

Heads = int | Mapping[str, int] | None


@dataclass(frozen=True)
class Conversion:
    """What was written for one network: where, as which class, and the fingerprints before and after.

    ``rounding_error`` is the largest absolute change of a weight; 0 unless another dtype was asked for.
    """

    component: str
    folder: Path
    architecture: str
    report: LoadReport
    fingerprint_before: str
    fingerprint_after: str
    rounding_error: float = 0.0

    @property
    def unchanged(self) -> bool:
        """Whether the weights in the new folder are those of the source, bit for bit."""
        return self.fingerprint_before == self.fingerprint_after


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    component: str | None = None,
    format: str = "safetensors",
    dtype: str | None = None,
    max_shard_size: int | None = None,
    num_attention_heads: Heads = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Conversion, ...]:
    """Convert a checkpoint and verify the result by its fingerprint.

    Args:
        source: anything :func:`electra_common.open_checkpoint` opens.
        target: the new folder. A source of two networks gives ``target/discriminator`` and ``target/generator``,
            unless ``component`` names one, which then goes into ``target`` itself; ``"tf1"`` and ``"joint"`` hold both
            in one.
        component: ``"discriminator"`` or ``"generator"``; by default all there are.
        format: the form to write: ``"safetensors"``, ``"bin"``, ``"h5"``, ``"tf1"``, ``"npz"`` or ``"joint"``.
        dtype: of the weights, such as ``"bfloat16"``; None keeps the source's.
        max_shard_size: most bytes in one file, for safetensors, bin and joint; None writes one file.
        num_attention_heads: the number of heads, where the source has no config and it is not ``hidden_size // 64``;
            ``{"discriminator": 4, "generator": 1}`` where two networks are converted.
        overwrite: replace a folder that holds files.
        progress: called with (bytes done, bytes in all) as tensors are written and verified.

    Returns:
        One entry for each network written.

    Raises:
        CheckpointError: the source is unusable, or the target cannot be written. Nothing is left half-written.
        ValueError: an argument is wrong.
    """
    check_format(format, max_shard_size)
    rounding = None if dtype is None else Rounding(dtype)
    checkpoint = open_checkpoint(source)
    chosen = [checkpoint.component(component)] if component else list(checkpoint.components.values())
    if isinstance(num_attention_heads, int) and len(chosen) > 1:
        raise ValueError(f"num_attention_heads={num_attention_heads} for two networks: say which, discriminator=…")
    prepared = [_prepare(checkpoint, item, num_attention_heads, rounding) for item in chosen]
    step = _progress_step(prepared, progress)
    together = format in TWO_NETWORK_FORMATS and len(prepared) > 1
    if holds(Path(target), checkpoint.folder.resolve().parent):
        raise CheckpointError(f"{target}: a folder around the one that is converted; choose another")
    with new_folder(Path(target), overwrite=overwrite) as temporary:
        tokenizer = _tokenizer_files(checkpoint)
        if together:
            write_files(temporary, {**_files_of_both(prepared, format, max_shard_size, step), **tokenizer})
        for item in prepared:
            inner = _inner_folder(item, prepared, together)
            if not together:
                files = folder_files(
                    item.config, item.tensors, format=format, max_shard_size=max_shard_size, progress=step
                )
                write_files(temporary / inner, {**files, **tokenizer})
        return tuple(
            _verify(item, temporary, Path(target), _inner_folder(item, prepared, together), rounding, step)
            for item in prepared
        )


@dataclass(frozen=True)
class _Prepared:
    """A network that is ready to be written: ``exact`` are its tensors, ``tensors`` those in the dtype to write."""

    component: Component
    architecture: str
    config: ElectraConfig
    exact: dict[str, StoredTensor]
    tensors: dict[str, StoredTensor]
    report: LoadReport


def _prepare(checkpoint: Checkpoint, component: Component, heads: Heads, rounding: Rounding | None) -> _Prepared:
    """Match a network with its class before anything is written."""
    config = checkpoint.config_of(component, num_attention_heads=heads)
    stored = (config.architectures or (architecture_of(component),))[0]
    architecture = stored if checkpoint.stored_config(component) is not None else architecture_of(component)
    config = config.replace(architectures=(architecture,))
    report, tensors = match(checkpoint, component, config, architecture)
    if not report.is_complete or report.new:
        raise CheckpointError(report.problems() if not report.is_complete else report.new_head_warning())
    exact = SequentialReader().wrap(tensors)
    written = exact if rounding is None else rounding.wrap(exact)
    dtype = widest_dtype(tensor.dtype for tensor in written.values())
    return _Prepared(component, architecture, config.replace(dtype=dtype), exact, written, report)


def _inner_folder(item: _Prepared, prepared: list[_Prepared], together: bool) -> str:
    return "" if together or len(prepared) == 1 else item.component.name


def _files_of_both(
    prepared: list[_Prepared], format: str, max_shard_size: int | None, step: Callable[[int], None] | None
) -> dict[str, Content]:
    networks = {item.component.name: item for item in prepared}
    files = two_network_files(
        networks[DISCRIMINATOR].tensors,
        networks[GENERATOR].tensors,
        format=format,
        max_shard_size=max_shard_size,
        progress=step,
    )
    for name, item in networks.items():
        files[component_config_name(name, together=True)] = item.config.to_json().encode()
    return files


def _verify(
    item: _Prepared,
    temporary: Path,
    target: Path,
    inner: str,
    rounding: Rounding | None,
    step: Callable[[int], None] | None,
) -> Conversion:
    """Read back what was written and compare it with the source."""
    written = open_checkpoint(temporary / inner)
    # One network goes by no name: a bare encoder does not say what it was trained as.
    found = written.component(item.component.name if len(written.components) > 1 else None)
    after = fingerprint(SequentialReader().wrap(found.tensors), progress=step)
    expected = fingerprint(item.tensors, progress=step)
    if expected != after:
        raise CheckpointError(f"{target}: the {item.component.name} changed while being written; disk fault?")
    before = expected if rounding is None else fingerprint(item.exact)
    error = 0.0 if rounding is None else rounding.largest_error
    return Conversion(item.component.name, target / inner, item.architecture, item.report, before, after, error)


def _progress_step(
    prepared: list[_Prepared], progress: Callable[[int, int], None] | None
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    total = _PASSES * sum(tensor.nbytes for item in prepared for tensor in item.tensors.values())
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done = min(done + count, total)  # embeddings that two networks share are written once
        progress(done, total)

    return step


def _tokenizer_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    result = {}
    for name in TOKENIZER_FILES:
        file = checkpoint.folder / name
        if file.is_file() and is_own_file(file) and file.stat().st_size <= _MAX_TOKENIZER_BYTES:
            result[name] = file.read_bytes()
    return result
