"""All groups and datasets of an HDF5 file of weights, by path.

Source: HDF5 File Format Specification Version 3.0, section I.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.hdf5 import MAX_OBJECTS, Hdf5File
from electra_common.weights.formats.hdf5_data import LAYOUT, Span, open_dataset
from electra_common.weights.formats.hdf5_messages import Attribute, parse_attributes
from electra_common.weights.tensors import StoredTensor

MAX_DEPTH: Final = 32
# Weights hardly compress; what expands more than this was made to fill memory.
MAX_EXPANSION: Final = 8
_SLACK_BYTES: Final = 1 << 16

Attributes = dict[str, Attribute]


def walk(file: Hdf5File) -> tuple[dict[str, Attributes], dict[str, StoredTensor]]:
    """Return the attributes of all groups and all datasets by path."""
    attributes: dict[str, Attributes] = {}
    datasets: dict[str, StoredTensor] = {}
    spans: list[Span] = []
    seen: set[int] = set()
    waiting = [("", 0, file.root)]
    while waiting:
        path, depth, address = waiting.pop()
        if address in seen or len(seen) + len(waiting) >= MAX_OBJECTS or depth > MAX_DEPTH:
            raise CheckpointError(f"damaged: {path[:200]}: a second name of one object, or far too many objects")
        seen.add(address)
        messages = file.messages(address)
        if any(kind == LAYOUT for kind, _ in messages):
            datasets[path], used = open_dataset(file, path, messages)
            spans += used
            continue
        attributes[path] = parse_attributes(messages)
        for name, target in file.links(messages).items():
            waiting.append((_join(file, path, name), depth + 1, target))
    _check_spans(file, datasets, spans)
    return attributes, datasets


def _join(file: Hdf5File, group: str, name: str) -> str:
    """Return the path of a member, paid for: each repeats the names of all groups around it."""
    letters = len(group) + 1 + len(name)
    # One wide character makes all of them four bytes wide.
    file.spend(letters if group.isascii() and name.isascii() else 4 * letters, "a path")
    return f"{group}/{name}" if group else name


def _check_spans(file: Hdf5File, datasets: Mapping[str, StoredTensor], spans: list[Span]) -> None:
    """Refuse tensors that share bytes or expand beyond reason: a small file could otherwise ask for a huge model."""
    for (_, end), (start, _) in pairwise(sorted(spans)):
        if start < end:
            raise CheckpointError(f"damaged: two tensors overlap at byte {start}")
    total = sum(tensor.nbytes for tensor in datasets.values())
    if total > MAX_EXPANSION * file.file.size + _SLACK_BYTES:
        raise CheckpointError(f"{total} bytes of tensors in a file of {file.file.size}: refused as a bomb")
