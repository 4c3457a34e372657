"""From a checkpoint of any readable form to a folder that transformers and both our frameworks open.

Streams tensor by tensor; no framework, no model, never more than one tensor in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from electra_common.config import ElectraConfig
from electra_common.weights.atomic import new_folder, write_files
from electra_common.weights.checkpoint import Checkpoint, architecture_of, open_checkpoint
from electra_common.weights.components import Component
from electra_common.weights.errors import CheckpointError
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.loading import match
from electra_common.weights.report import LoadReport
from electra_common.weights.saving import check_format, folder_files
from electra_common.weights.tensors import StoredTensor

# Files beside the weights that belong to the tokenizer and are taken along.
TOKENIZER_FILES: Final = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                          "added_tokens.json")  # fmt: skip
_MAX_TOKENIZER_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Conversion:
    """What was written for one network: where, as which class, and the fingerprints before and after."""

    component: str
    folder: Path
    architecture: str
    report: LoadReport
    fingerprint_before: str
    fingerprint_after: str

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
    num_attention_heads: int | Mapping[str, int] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Conversion, ...]:
    """Convert a checkpoint and verify the result by its fingerprint.

    Args:
        source: anything :func:`electra_common.open_checkpoint` opens.
        target: the new folder. A source of two networks gives ``target/discriminator`` and ``target/generator``,
            unless ``component`` names one, which then goes into ``target`` itself.
        component: ``"discriminator"`` or ``"generator"``; by default all there are.
        format: the form to write, ``"safetensors"``.
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
    check_format(format)
    checkpoint = open_checkpoint(source)
    chosen = [checkpoint.component(component)] if component else list(checkpoint.components.values())
    if isinstance(num_attention_heads, int) and len(chosen) > 1:
        raise ValueError(f"num_attention_heads={num_attention_heads} for two networks: say which, discriminator=…")
    prepared = [_prepare(checkpoint, item, num_attention_heads) for item in chosen]
    step = _progress_step(prepared, progress)
    done: list[Conversion] = []
    with new_folder(Path(target), overwrite=overwrite) as temporary:
        for item in prepared:
            inner = "" if len(prepared) == 1 else item.component.name
            files = folder_files(item.config, item.tensors, progress=step)
            write_files(temporary / inner, {**files, **_tokenizer_files(checkpoint)})
            after = _fingerprint_of(temporary / inner, step)
            before = fingerprint(item.tensors, progress=step)
            if before != after:
                raise CheckpointError(f"{target}: the {item.component.name} changed while being written; disk fault?")
            done.append(
                Conversion(item.component.name, Path(target) / inner, item.architecture, item.report, before, after)
            )
    return tuple(done)


@dataclass(frozen=True)
class _Prepared:
    component: Component
    architecture: str
    config: ElectraConfig
    tensors: dict[str, StoredTensor]
    report: LoadReport


def _prepare(checkpoint: Checkpoint, component: Component, heads: int | Mapping[str, int] | None) -> _Prepared:
    """Match a network with its class before anything is written."""
    config = checkpoint.config_of(component, num_attention_heads=heads)
    stored = (config.architectures or (architecture_of(component),))[0]
    architecture = stored if checkpoint.config is not None else architecture_of(component)
    config = config.replace(architectures=(architecture,))
    report, tensors = match(checkpoint, component, config, architecture)
    if not report.is_complete or report.new:
        raise CheckpointError(report.problems() if not report.is_complete else report.new_head_warning())
    dtypes = sorted({tensor.dtype for tensor in tensors.values()})
    return _Prepared(component, architecture, config.replace(dtype=dtypes[0]), tensors, report)


def _progress_step(
    prepared: list[_Prepared], progress: Callable[[int, int], None] | None
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    total = 3 * sum(tensor.nbytes for item in prepared for tensor in item.tensors.values())  # write, check, check
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return step


def _tokenizer_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    result = {}
    for name in TOKENIZER_FILES:
        file = checkpoint.folder / name
        if file.is_file() and _is_own_file(file) and file.stat().st_size <= _MAX_TOKENIZER_BYTES:
            result[name] = file.read_bytes()
    return result


def _is_own_file(file: Path) -> bool:
    """A link that leads out of the checkpoint could make us copy anything; the Hub's cache links to its own blobs."""
    real, folder = file.resolve(), file.parent.resolve()
    return real.is_relative_to(folder) or real.is_relative_to(folder.parent.parent / "blobs")


def _fingerprint_of(folder: Path, step: Callable[[int], None] | None) -> str:
    """The one network of the folder, by no name: a bare encoder does not say what it was trained as."""
    return fingerprint(open_checkpoint(folder).component().tensors, progress=step)
