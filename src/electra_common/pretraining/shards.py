"""Reading a prepared corpus: any examples by number, from files mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from electra_common.pretraining.documents import SPLITS, TRAIN
from electra_common.pretraining.manifest import Manifest, Shard, check_shard
from electra_common.pretraining.shard_writer import INDEX_DTYPE, shard_size
from electra_common.runs.folder_names import TOKENIZER_FOLDER


class _Columns(NamedTuple):
    """The arrays of a shard, mapped: ids ``[tokens]``, ends ``[examples]`` and firsts ``[examples]``."""

    path: Path
    tokens: NDArray[Any]
    ends: NDArray[np.uint32]
    firsts: NDArray[np.uint32]


class ExampleShards:
    """The examples of one split of a prepared corpus. Nothing is in memory but what was asked for.

    Attributes:
        folder: the prepared corpus.
        split: ``"train"`` or ``"held-out"``.
        max_length: most tokens of an example, the width of all rows.
        vocab_size: ids are below it.
        vocabulary_hash: SHA-256 of the vocabulary file's bytes, hexadecimal.
        tokenizer_folder: the tokenizer that made the ids.
        manifest: all that the folder says of itself.
    """

    def __init__(self, folder: Path, split: str, manifest: Manifest, shards: list[_Columns]) -> None:
        self.folder, self.split, self.manifest = folder, split, manifest
        self.max_length = manifest.max_length
        self.vocab_size: int = manifest.vocabulary["size"]
        self.vocabulary_hash: str = manifest.vocabulary["sha256"]
        self.tokenizer_folder = folder / TOKENIZER_FOLDER
        self._shards = shards
        self._first_rows = np.cumsum([0, *(len(shard.ends) for shard in shards)])

    @classmethod
    def open(cls, folder: str | Path, split: str = TRAIN, *, verify: bool = False) -> Self:
        """Open a prepared corpus.

        Args:
            folder: what ``electra pretrain prepare`` wrote.
            split: ``"train"`` or ``"held-out"``.
            verify: compare all checksums, which reads everything; sizes are compared always.

        Raises:
            ValueError: the folder is no prepared corpus, is unfinished, has no such examples, or a shard of it is
                missing, truncated or damaged.
        """
        folder = Path(folder)
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(map(repr, SPLITS))}, found {split!r}")
        manifest = Manifest.read(folder)
        if not manifest.complete:
            raise ValueError(f"{folder}: the corpus is not fully prepared; run the same command again to finish it")
        shards = manifest.of(split)
        if not shards:
            raise ValueError(f"{folder}: holds no examples of the split {split!r}")
        manifest.check_vocabulary(folder)
        for shard in shards if verify else ():
            check_shard(folder, shard)
        return cls(folder, split, manifest, [_map(folder, shard, manifest.dtype) for shard in shards])

    def __len__(self) -> int:
        return int(self._first_rows[-1])

    def rows(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.int32]]:
        """Return examples as rows, filled up with zeros.

        Args:
            indices: numbers of examples ``[n]``, in any order.

        Returns:
            ``input_ids``, ``attention_mask`` and ``token_type_ids``, int32 ``[n, max_length]``.

        Raises:
            IndexError: there is no such example.
            ValueError: a shard is damaged.
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"examples are numbered from 0 to {len(self) - 1}; found {indices.min()}, {indices.max()}")
        columns = {
            name: np.zeros((len(indices), self.max_length), np.int32)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        owners = np.searchsorted(self._first_rows, indices, side="right") - 1
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            self._fill(columns, places, self._shards[owner], indices[places] - self._first_rows[owner])
        return columns

    def _fill(
        self, columns: dict[str, NDArray[np.int32]], places: NDArray[np.intp], shard: _Columns, rows: NDArray[np.int64]
    ) -> None:
        ends = shard.ends[rows].astype(np.int64)
        starts = np.where(rows > 0, shard.ends[np.maximum(rows - 1, 0)], 0).astype(np.int64)
        firsts = shard.firsts[rows].astype(np.int64)
        lengths = ends - starts
        if lengths.min() < 1 or lengths.max() > self.max_length or ends.max() > len(shard.tokens):
            raise ValueError(f"{shard.path}: damaged: an example ends at the wrong place; prepare the corpus again")
        is_token = np.arange(self.max_length) < lengths[:, None]  # [rows, max_length]
        source = (starts[:, None] + np.arange(self.max_length))[is_token]  # [tokens of these rows]
        ids = shard.tokens[source]
        if ids.size and ids.max() >= self.vocab_size:
            raise ValueError(
                f"{shard.path}: damaged: id {ids.max()} in a vocabulary of {self.vocab_size}; prepare the corpus again"
            )
        own = np.zeros(is_token.shape, np.int32)
        own[is_token] = ids
        columns["input_ids"][places] = own
        columns["attention_mask"][places] = is_token
        columns["token_type_ids"][places] = is_token & (np.arange(self.max_length) >= firsts[:, None])


def _map(folder: Path, shard: Shard, dtype: str) -> _Columns:
    path = folder / shard.file
    item = np.dtype(dtype).newbyteorder("<")
    expected = shard_size(shard.tokens, shard.examples, item.itemsize)
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None
    if found != expected or shard.bytes != expected:
        what = "truncated" if found < expected else "damaged"
        raise ValueError(f"{path}: {what}: expected {expected} bytes, found {found}; prepare the corpus again")
    if not shard.examples:
        raise ValueError(f"{path}: damaged: a shard without examples; prepare the corpus again")
    content = np.memmap(path, np.uint8, mode="r")
    tokens, index = content[: shard.tokens * item.itemsize], content[expected - 8 * shard.examples :]
    ends, firsts = index.view(INDEX_DTYPE).reshape(2, shard.examples)
    if int(ends[-1]) != shard.tokens:
        what = f"its examples have {ends[-1]} tokens, expected {shard.tokens}"
        raise ValueError(f"{path}: damaged: {what}; prepare the corpus again")
    return _Columns(path, tokens.view(item), ends, firsts)
