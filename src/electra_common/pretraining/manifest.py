"""``manifest.json`` of a prepared corpus: what the folder holds, how it was made, and how much of it is finished.

While a corpus is being prepared the manifest says ``"complete": false`` and lists the shards that are finished.
Everything in it is a function of corpus and options: no times, no machine, no number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from electra_common.checksums import hash_file
from electra_common.json_files import read_json_file
from electra_common.pretraining.documents import SPLITS
from electra_common.pretraining.segments import LONGEST
from electra_common.runs.folder_names import TOKENIZER_FOLDER
from electra_common.weights.atomic import write_files
from electra_common.weights.hub import VOCABULARY_FILES

FILE_NAME: Final = "manifest.json"
FORMAT: Final = "electra pre-training examples"
VERSION: Final = 1
DTYPES: Final = ("uint16", "uint32")
_MOST_BYTES: Final = 1 << 28


@dataclass(frozen=True)
class Shard:
    """One finished file: its counts, its checksum, and how many blocks of the corpus it and those before it cover."""

    file: str
    split: str
    documents: int
    examples: int
    tokens: int
    bytes: int
    sha256: str
    blocks: int


@dataclass
class Manifest:
    """What ``manifest.json`` says.

    Args:
        max_length: most tokens of an example.
        dtype: of the ids in the shards: ``"uint16"`` or ``"uint32"``.
        vocabulary: ``file`` in the tokenizer's folder, its ``sha256``, ``size``, the number of
            ids, and ``rules_sha256`` of ``tokenizer.json``.
        options: everything that decided what is in the shards.
        sources: the files that were read: ``name``, ``bytes``, ``sha256``, ``repeat``, ``held_out``.
        shards: what is finished, in order.
        complete: whether that is all.
    """

    max_length: int
    dtype: str
    vocabulary: dict[str, Any]
    options: dict[str, Any]
    sources: list[dict[str, Any]]
    shards: list[Shard] = field(default_factory=list)
    complete: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder.

        Raises:
            ValueError: there is none, or it is damaged or of another version.
        """
        path = folder / FILE_NAME
        if not path.exists():
            raise ValueError(
                f"{folder}: no prepared corpus: there is no {FILE_NAME}; electra pretrain prepare writes one"
            )
        values = read_json_file(path, _MOST_BYTES, "prepared corpus")
        if values.get("format") != FORMAT:
            raise ValueError(f"{path}: not the manifest of a prepared corpus")
        if values.get("version") != VERSION:
            raise ValueError(f"{path}: version {values.get('version')!r}, and this program reads version {VERSION}")
        return cls._from_values(values, path)

    @classmethod
    def _from_values(cls, values: Mapping[str, Any], path: Path) -> Self:
        entries = _get(values, "shards", list, path)
        shards = [Shard(**{name: _get(entry, name, kind, path) for name, kind in _SHARD.items()}) for entry in entries]
        for shard in shards:
            if shard.split not in SPLITS or Path(shard.file).name != shard.file:
                raise ValueError(f"{path}: damaged: a shard {shard.file!r:.80} of the split {shard.split!r:.80}")
        vocabulary = _get(values, "vocabulary", dict, path)
        for name, kind in (("file", str), ("sha256", str), ("size", int)):
            _get(vocabulary, name, kind, path)
        if vocabulary["file"] not in VOCABULARY_FILES:
            raise ValueError(f"{path}: damaged: a vocabulary in {vocabulary['file']!r:.80}")
        if _get(values, "dtype", str, path) not in DTYPES:
            raise ValueError(f"{path}: damaged: dtype {values['dtype']!r:.80}")
        if not 0 < _get(values, "max_length", int, path) <= LONGEST or vocabulary["size"] > 1 << 32:
            raise ValueError(f"{path}: damaged: max_length {values['max_length']}, vocabulary of {vocabulary['size']}")
        given = {name: _get(values, name, kind, path) for name, kind in _FIELDS.items()}
        if not all(isinstance(source, dict) for source in given["sources"]):
            raise ValueError(f"{path}: damaged: expected sources as a list of objects")
        return cls(**given, dtype=values["dtype"], vocabulary=vocabulary, shards=shards)

    def write(self, folder: Path) -> None:
        """Write it in place of an older one; raises CheckpointError where that is not possible."""
        values = {"format": FORMAT, "version": VERSION, **asdict(self), "splits": self.counts()}
        write_files(folder, {FILE_NAME: (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()})

    def add(self, shard: Shard) -> None:
        """Add a finished shard; splits stay together, whichever was finished first."""
        self.shards.append(shard)
        self.shards.sort(key=lambda item: (SPLITS.index(item.split), item.blocks))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return documents, examples and tokens of each split; tokens are all that is no padding."""
        names = ("documents", "examples", "tokens")
        return {
            split: {name: sum(getattr(shard, name) for shard in self.of(split)) for name in names} for split in SPLITS
        }

    def check_vocabulary(self, folder: Path) -> None:
        """Compare the tokenizer in the folder with the one that made the ids; raises ValueError where it differs."""
        path = folder / TOKENIZER_FOLDER / self.vocabulary["file"]
        if hash_file(path) != self.vocabulary["sha256"]:
            raise ValueError(f"{path}: not the vocabulary that the examples were made with; prepare the corpus again")

    def of(self, split: str) -> list[Shard]:
        """Return the shards of a split."""
        return [shard for shard in self.shards if shard.split == split]

    def plan(self) -> dict[str, Any]:
        """Return what must be the same for a preparation to go on where another one stopped."""
        plan = asdict(self)
        del plan["shards"], plan["complete"]
        return plan


_SHARD: Final = {
    **dict.fromkeys(("file", "split", "sha256"), str),
    **dict.fromkeys(("documents", "examples", "tokens", "bytes", "blocks"), int),
}
_FIELDS: Final = {"max_length": int, "options": dict, "sources": list, "complete": bool}


def _get(of: Any, name: str, kind: type, path: Path) -> Any:
    value = of.get(name) if isinstance(of, dict) else None
    if type(value) is not kind or (isinstance(value, int) and value < 0):
        raise ValueError(f"{path}: damaged: expected {name} as {kind.__name__}, found {value!r:.80}")
    return value


def check_shard(folder: Path, shard: Shard) -> None:
    """Read a shard and compare its checksum; raises ValueError where it differs."""
    path = folder / shard.file
    if hash_file(path) != shard.sha256:
        raise ValueError(f"{path}: damaged: its checksum is not the one in {FILE_NAME}; prepare the corpus again")
