"""Checkpoints in several files as transformers cuts them: the index that says which tensor lies in which file.

``model.safetensors.index.json``, ``pytorch_model.bin.index.json``, ``tf_model.h5.index.json`` and
``flax_model.msgpack.index.json`` are one format: ``{"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}``.
An index may only name files beside itself, and must agree with them exactly.

Source: transformers 4.57 ``modeling_utils.py`` and ``modeling_tf_utils.py``; ``convert_file_size_to_int`` for sizes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from electra_common.config_json import format_json
from electra_common.json_files import read_json_file
from electra_common.weights.errors import CheckpointError
from electra_common.weights.tensors import StoredTensor

INDEX_SUFFIX: Final = ".index.json"
# The index of ELECTRA-Large has 60 kB. As objects, JSON text can take thirty times its size.
MAX_INDEX_BYTES: Final = 1 << 18
MAX_SHARDS: Final = 1000
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
_SIZE: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))? ?([A-Za-z]*)")
_UNITS: Final = {
    "": 1, "B": 1,
    "KB": 10**3, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip


@dataclass(frozen=True)
class ShardIndex:
    """What an index says.

    Attributes:
        path: the index.
        weight_map: ``{tensor: file name}``.
        total_size: bytes of all tensors together, or None where the index does not say.
    """

    path: Path
    weight_map: Mapping[str, str]
    total_size: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, each once, in the order of their names; all lie beside the index."""
        return tuple(self.path.with_name(name) for name in sorted(set(self.weight_map.values())))


# Reading ------------------------------------------------------------------------------------------------------------


def read_shard_index(path: Path) -> ShardIndex:
    """Read an index; none of the files it names is touched.

    Raises:
        CheckpointError: it cannot be read, is not an index, or names a file that is not beside it.
    """
    values = read_json_file(path, MAX_INDEX_BYTES, "index of an ELECTRA")
    weight_map = values.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path}: not an index of shards: expected a weight_map of tensor names to file names")
    for name, file in weight_map.items():
        _check_file_name(path, name, file)
    count = len(set(weight_map.values()))
    if count > MAX_SHARDS:
        raise CheckpointError(f"{path}: names {count} files, at most {MAX_SHARDS} expected")
    return ShardIndex(path, weight_map, _total_size(path, values.get("metadata", {})))


def _check_file_name(path: Path, name: str, file: object) -> None:
    """Files beside the index only: no folders, no drives, nothing hidden, nothing a file system treats specially."""
    if not isinstance(file, str) or not _FILE_NAME.fullmatch(file):
        raise CheckpointError(
            f"{path}: {name[:80]!r} is said to lie in {str(file)[:80]!r}, which is no plain name of a file; refused"
        )


def _total_size(path: Path, metadata: object) -> int | None:
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: metadata must be an object, found {type(metadata).__name__}")
    size = metadata.get("total_size")
    if isinstance(size, float) and size.is_integer():  # transformers once counted in fractions of bytes
        size = int(size)
    if size is None or (type(size) is int and size >= 0):
        return size
    raise CheckpointError(f"{path}: total_size must be a number of bytes, found {str(size)[:40]!r}")


def merge_shards(
    index: ShardIndex,
    read: Callable[[Path], Mapping[str, StoredTensor]],
    *,
    rename: Callable[[str], str] | None = None,
) -> dict[str, StoredTensor]:
    """Return the tensors of all files under their names in the files, having checked them against the index.

    Args:
        index: the index.
        read: the reader of one file.
        rename: from a name in the index to the name in the file, where the format has two (``.h5`` leaves out the
            model's name).

    Raises:
        CheckpointError: a file is missing, lacks a tensor, holds another one, or all do not have the size told.
    """
    missing = [file.name for file in index.files if not file.is_file()]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise CheckpointError(f"{index.path}: {len(missing)} of {len(index.files)} files are missing beside it: {some}")
    expected = _names_by_file(index, rename)
    tensors: dict[str, StoredTensor] = {}
    for file in index.files:
        found = read(file)
        _check_names(file, expected[file.name], found)
        tensors |= found
    _check_total_size(index, tensors)
    return tensors


def _names_by_file(index: ShardIndex, rename: Callable[[str], str] | None) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    seen: set[str] = set()
    for key, file in index.weight_map.items():
        name = key if rename is None else rename(key)
        if name in seen:
            raise CheckpointError(f"{index.path}: damaged: two of its names stand for {name[:80]!r}")
        seen.add(name)
        result.setdefault(file, set()).add(name)
    return result


def _check_names(file: Path, expected: set[str], found: Mapping[str, StoredTensor]) -> None:
    for names, problem in ((expected - found.keys(), "lacks"), (found.keys() - expected, "also holds")):
        if names:
            some = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
            raise CheckpointError(
                f"{file}: does not fit the index beside it: it {problem} {len(names)} tensors: {some}"
            )


def _check_total_size(index: ShardIndex, tensors: Mapping[str, StoredTensor]) -> None:
    """The sizes must add up; tied tensors, which are stored twice in ``.bin`` files, may have been counted once."""
    found = sum(tensor.nbytes for tensor in tensors.values())
    if index.total_size is None or found == index.total_size:
        return
    kinds = Counter((tensor.dtype, tensor.shape, tensor.nbytes) for tensor in tensors.values())
    twins = {size for (_, _, size), count in kinds.items() if count > 1}
    if found - index.total_size not in twins:
        raise CheckpointError(f"{index.path}: its files hold {found} bytes of tensors, expected {index.total_size}")


# Writing ------------------------------------------------------------------------------------------------------------


def plan_shards(tensors: Mapping[str, StoredTensor], max_shard_size: int) -> list[list[str]]:
    """Return the names for each file: in the order given, as many as fit; a tensor too large for any has its own.

    Args:
        tensors: the tensors, in the order in which they shall be stored.
        max_shard_size: the most bytes of data in one file; headers come on top.

    Raises:
        ValueError: the size is not positive.
    """
    if max_shard_size <= 0:
        raise ValueError(f"max_shard_size must be positive, found {max_shard_size}")
    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > max_shard_size:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += tensor.nbytes
    return shards


def shard_file_name(stem: str, suffix: str, index: int, count: int) -> str:
    """Return a file's name as transformers has it: ``model-00001-of-00003.safetensors``, or ``model.safetensors``.

    Args:
        stem: ``"model"``, ``"pytorch_model"`` or ``"tf_model"``.
        suffix: with its dot.
        index: which file, from 1.
        count: how many there are; a single one has no number.

    Raises:
        ValueError: no such file.
    """
    if not 1 <= index <= count <= 99_999:
        raise ValueError(f"file {index} of {count}: expected 1 to the count, and at most 99999")
    return f"{stem}{suffix}" if count == 1 else f"{stem}-{index:05d}-of-{count:05d}{suffix}"


def index_file_name(stem: str, suffix: str) -> str:
    """Return the name of the index: ``model.safetensors.index.json``."""
    return f"{stem}{suffix}{INDEX_SUFFIX}"


def index_json(shards: Sequence[Sequence[str]], file_names: Sequence[str], total_size: int) -> str:
    """Return the index's text.

    Args:
        shards: the names in each file.
        file_names: the files, in the same order.
        total_size: bytes of all tensors together.
    """
    weight_map = {name: file for names, file in zip(shards, file_names, strict=True) for name in names}
    return format_json({"metadata": {"total_size": total_size}, "weight_map": weight_map})


def parse_size(text: str | int) -> int:
    """Return a number of bytes: ``"5GB"`` (10^9), ``"500MB"``, ``"1GiB"`` (2^30), ``"1.5GB"``, ``"4096"`` or a number.

    Raises:
        ValueError: not a size, not positive, or in bits (transformers reads ``"5Gb"`` as an eighth of ``"5GB"``).
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None or match[3] not in _UNITS:
        raise ValueError(
            f"{str(text)[:40]!r} is not a size: expected a number and B, KB, MB, GB, KiB, MiB or GiB{_hint(match)}"
        )
    whole, fraction, unit = match[1], match[2] or "", _UNITS[match[3]]
    size, rest = divmod(int(whole + fraction) * unit, int("1" + "0" * len(fraction)))
    if rest or not size:
        raise ValueError(f"{str(text)[:40]!r} is not a whole number of bytes above zero")
    return size


def _hint(match: re.Match[str] | None) -> str:
    known = {unit.upper(): unit for unit in _UNITS}
    unit = known.get(match[3].upper()) if match is not None else None
    return f"; for bytes write {match[1]}{unit}" if match is not None and unit else ""
