"""Writing shards: examples of any length, one after the other, with where each ends.

A shard is a file of three arrays, little-endian, without a header; their sizes stand in the manifest:

======== ================== =========================================================================
tokens   uint16 or uint32   ids of all examples, special tokens included, filled up to 4 bytes by zeros
ends     uint32             for each example: how many tokens it and those before it have
firsts   uint32             for each example: how many of its tokens are of type 0
======== ================== =========================================================================
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.pretraining.manifest import Shard
from electra_common.pretraining.segments import Example
from electra_common.weights.atomic import sync_folder

INDEX_DTYPE: Final = np.dtype("<u4")
MOST_TOKENS: Final = (1 << 32) - 1


@dataclass(frozen=True)
class PackedExamples:
    """Examples one after the other: ids ``[tokens]``, and for each example its length and how many are of type 0."""

    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.uint32]
    firsts: NDArray[np.uint32]
    documents: int


def pack(examples: Sequence[Example], *, cls_id: int, sep_id: int, dtype: str, documents: int) -> PackedExamples:
    """Put ``[CLS] A [SEP]`` and, where there is a second segment, ``B [SEP]`` together."""
    cls, sep = np.array([cls_id], np.int32), np.array([sep_id], np.int32)
    pieces = [np.zeros(0, np.int32)]
    for first, second in examples:
        pieces += (cls, first, sep, second, sep) if len(second) else (cls, first, sep)
    firsts = np.fromiter((len(first) + 2 for first, _ in examples), np.uint32, len(examples))
    seconds = np.fromiter((len(second) + (len(second) > 0) for _, second in examples), np.uint32, len(examples))
    return PackedExamples(
        np.concatenate(pieces).astype(np.dtype(dtype).newbyteorder("<")), firsts + seconds, firsts, documents
    )


def shard_size(tokens: int, examples: int, item_size: int) -> int:
    """Return the bytes of a shard."""
    return -(-tokens * item_size // 4) * 4 + 2 * INDEX_DTYPE.itemsize * examples


class ShardWriter:
    """Writes one shard under a temporary name, which it changes when the shard is finished and synced.

    Args:
        folder: where.
        name: of the file.
        split: of its examples.
    """

    def __init__(self, folder: Path, name: str, split: str) -> None:
        self._target, self._split = folder / name, split
        self._temporary = folder / f".{name}.{secrets.token_hex(4)}.tmp"
        self._stream: BinaryIO = open(self._temporary, "xb")  # noqa: SIM115 closed in finish and discard
        self._digest = hashlib.sha256()
        self._lengths: list[NDArray[np.uint32]] = []
        self._firsts: list[NDArray[np.uint32]] = []
        self.tokens = self.examples = self.documents = self.size = 0

    def append(self, examples: PackedExamples) -> None:
        """Add examples."""
        self._write(examples.tokens.tobytes())
        self._lengths.append(examples.lengths)
        self._firsts.append(examples.firsts)
        self.tokens += len(examples.tokens)
        self.examples += len(examples.lengths)
        self.documents += examples.documents

    def _write(self, content: bytes) -> None:
        self._stream.write(content)
        self._digest.update(content)
        self.size += len(content)

    def finish(self, blocks: int) -> Shard:
        """Close the file and give it its name; ``blocks`` is how much of the corpus is done with it."""
        self._write(bytes(-self.size % 4))
        ends = np.cumsum(np.concatenate(self._lengths), dtype=np.uint64)
        for column in (ends, np.concatenate(self._firsts)):
            self._write(column.astype(INDEX_DTYPE).tobytes())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.replace(self._temporary, self._target)
        sync_folder(self._target.parent)
        return Shard(
            self._target.name, self._split, self.documents, self.examples, self.tokens, self.size,
            self._digest.hexdigest(), blocks,
        )  # fmt: skip

    def discard(self) -> None:
        """Forget what was written."""
        with suppress(OSError):  # closing writes what is left, which a full disk refuses
            self._stream.close()
        self._temporary.unlink(missing_ok=True)
