"""Preparing a corpus: text in, shards out, by any number of processes, and to be gone on with after a kill.

The corpus is cut into blocks of whole documents, which one process reads and others tokenise. What comes of a block
depends on nothing but the block, and blocks are written in order: the shards are the same for any number of processes.
A shard ends where a block ends, so that a preparation that was stopped goes on behind the last finished shard.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from electra_common.pretraining.block_work import BlockWork, work_in_order
from electra_common.pretraining.documents import (
    HELD_OUT,
    SPLITS,
    TRAIN,
    Block,
    ReadingOptions,
    Source,
    read_blocks,
)
from electra_common.pretraining.manifest import FILE_NAME, TOKENIZER_FOLDER, VOCABULARY_FILES, Manifest, check_shard
from electra_common.pretraining.segments import SegmentOptions
from electra_common.pretraining.shard_writer import MOST_TOKENS, PackedExamples, ShardWriter
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.tokenization.files import folder_files
from electra_common.weights.atomic import write_files

DEFAULT_SHARD_BYTES: Final = 1 << 26
# A manifest that a kill kept from getting its name.
_UNFINISHED: Final = f".{FILE_NAME}.*.tmp"
_UINT16_IDS: Final = 1 << 16


@dataclass(frozen=True)
class Progress:
    """How far a preparation is: bytes of the files read, of all, and tokens written by this run."""

    bytes_done: int
    bytes_in_all: int
    tokens: int


Report = Callable[[Progress], None]


def prepare_corpus(
    sources: Sequence[Source],
    folder: Path,
    tokenizer: ElectraTokenizerFast,
    *,
    segments: SegmentOptions | None = None,
    reading: ReadingOptions | None = None,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    workers: int = 1,
    overwrite: bool = False,
    report: Report | None = None,
) -> Manifest:
    """Turn a corpus into shards that ``ExampleShards`` opens, or finish what a killed run left.

    Args:
        sources: the files, in order.
        folder: where to; new, empty, or what the same preparation left unfinished.
        tokenizer: gives the ids, and is copied into the folder.
        segments: how examples are cut.
        reading: how documents are found and divided.
        shard_bytes: a shard is closed when it has this many.
        workers: processes that tokenise; 1 does it in this one. A script that asks for several does so below
            ``if __name__ == "__main__":``, for each of them imports it.
        overwrite: replace a prepared corpus that is another one.
        report: called after each block.

    Returns:
        the manifest as written.

    Raises:
        ValueError: a file cannot be read, the corpus is empty, or the folder holds something else.
        CheckpointError: the folder cannot be written.
    """
    segments, reading = segments or SegmentOptions(), reading or ReadingOptions()
    if not sources:
        raise ValueError("expected at least one file to prepare")
    if workers < 1 or shard_bytes < 1:
        raise ValueError(f"workers and shard_bytes must be above 0, found {workers} and {shard_bytes}")
    for source in sources:
        if not Path(source.path).is_file():
            raise ValueError(f"{source.path}: no such file")
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise ValueError("the tokenizer has no [CLS] or no [SEP], which examples begin and end with")
    files = folder_files(tokenizer)
    plan = _plan(sources, files, tokenizer, segments, reading, shard_bytes)
    manifest = _begin(folder, plan, files, overwrite=overwrite)
    if manifest.complete:
        return manifest
    work = BlockWork(tokenizer_folder=folder / TOKENIZER_FOLDER, segments=segments, seed=reading.seed,
                     dtype=manifest.dtype)  # fmt: skip
    _Writing(folder, manifest, shard_bytes).run(
        read_blocks(sources, reading),
        work,
        workers,
        total=sum(source.repeat * Path(source.path).stat().st_size for source in sources),
        report=report or (lambda progress: None),
    )
    wants_held_out = reading.held_out > 0 or any(source.is_held_out for source in sources)
    if wants_held_out and not manifest.of(HELD_OUT):
        warnings.warn(
            f"no text was held out of {manifest.counts()[TRAIN]['documents']} documents; "
            "give a larger fraction, another seed, or files to hold out",
            stacklevel=2,
        )
    return manifest


def _plan(
    sources: Sequence[Source],
    files: dict[str, bytes],
    tokenizer: ElectraTokenizerFast,
    segments: SegmentOptions,
    reading: ReadingOptions,
    shard_bytes: int,
) -> Manifest:
    vocabulary = next(name for name in VOCABULARY_FILES if name in files)
    size = max(tokenizer.get_vocab().values()) + 1
    return Manifest(
        max_length=segments.max_length,
        dtype="uint16" if size <= _UINT16_IDS else "uint32",
        vocabulary={
            "file": vocabulary,
            "sha256": hashlib.sha256(files[vocabulary]).hexdigest(),
            "size": size,
            "rules_sha256": hashlib.sha256(files["tokenizer.json"]).hexdigest(),
        },
        options={
            **{name: value for name, value in asdict(segments).items() if name != "max_length"},
            **asdict(reading),
            "shard_bytes": shard_bytes,
        },
        sources=[
            {
                "name": Path(source.path).name,
                "bytes": Path(source.path).stat().st_size,
                "repeat": source.repeat,
                "held_out": source.is_held_out,
            }
            for source in sources
        ],
    )


def _begin(folder: Path, plan: Manifest, tokenizer_files: dict[str, bytes], *, overwrite: bool) -> Manifest:
    """Return a manifest with the shards that are there already, verified; write a new one where there are none."""
    if not (folder / FILE_NAME).exists():
        if folder.exists() and not (folder.is_dir() and set(folder.iterdir()) <= set(folder.glob(_UNFINISHED))):
            raise ValueError(f"{folder}: exists already and is no prepared corpus; choose another folder")
        manifest = plan
    else:
        manifest = Manifest.read(folder)
        if manifest.plan() == plan.plan():
            manifest.shards = _verified(folder, manifest)
        elif manifest.shards and not overwrite:
            raise ValueError(
                f"{folder}: holds a corpus of {_difference(manifest, plan)}; choose another folder or add --overwrite"
            )
        else:
            manifest = plan
    if not manifest.complete:
        manifest.write(folder)  # the first thing to change: what else is in the folder counts for nothing without it
        _clear(folder, {shard.file for shard in manifest.shards})
        write_files(folder / TOKENIZER_FOLDER, tokenizer_files)
    return manifest


def _clear(folder: Path, kept: set[str]) -> None:
    """Remove what an earlier preparation left, but for some shards."""
    shutil.rmtree(folder / TOKENIZER_FOLDER, ignore_errors=True)
    for split in SPLITS:
        for pattern in (f"{split}-*.bin", f".{split}-*.tmp", _UNFINISHED):
            for file in folder.glob(pattern):
                if file.name not in kept:
                    file.unlink()


def _difference(manifest: Manifest, plan: Manifest) -> str:
    found, wanted = manifest.plan(), plan.plan()
    for name in ("sources", "vocabulary", "max_length", "dtype"):
        if found[name] != wanted[name]:
            return f"other {name}: {found[name]} there, {wanted[name]} now"
    options = {**found["options"], **wanted["options"]}
    names = [name for name in options if found["options"].get(name) != wanted["options"].get(name)]
    return "other options: " + ", ".join(
        f"{name} {found['options'].get(name)!r} there, {wanted['options'].get(name)!r} now" for name in names
    )


def _verified(folder: Path, manifest: Manifest) -> list[Any]:
    """Return the finished shards, up to the first of a split that is not what the manifest says."""
    kept = []
    broken: set[str] = set()
    for shard in manifest.shards:
        try:
            if shard.split not in broken:
                check_shard(folder, shard)
                kept.append(shard)
        except ValueError:
            broken.add(shard.split)
    if broken:
        manifest.complete = False
    return kept


class _Writing:
    """The shards that are being written, one of each split at a time."""

    def __init__(self, folder: Path, manifest: Manifest, shard_bytes: int) -> None:
        self.folder, self.manifest, self.shard_bytes = folder, manifest, shard_bytes
        self.done = {split: max((shard.blocks for shard in manifest.of(split)), default=0) for split in SPLITS}
        self.open: dict[str, ShardWriter] = {}

    def run(self, blocks: Iterator[Block], work: BlockWork, workers: int, *, total: int, report: Report) -> None:
        tokens = number = 0
        skipped = min(self.done.values())
        try:
            for number, (place, examples) in enumerate(work_in_order(blocks, work, workers, skipped), skipped + 1):
                for split, packed in examples.items():
                    if number > self.done[split]:
                        self._append(split, packed, number)
                        tokens += len(packed.tokens)
                report(Progress(place, total, tokens))
            for split in list(self.open):
                self._close(split, number)
        except OSError as error:
            raise ValueError(f"{self.folder}: cannot be written: {error.strerror or error}") from None
        finally:
            for writer in self.open.values():
                writer.discard()
        if not self.manifest.shards:
            raise ValueError("the corpus holds no text: no examples were made")
        self.manifest.complete = True
        self.manifest.write(self.folder)

    def _append(self, split: str, packed: PackedExamples, number: int) -> None:
        if not len(packed.lengths):
            return
        writer = self.open.get(split)
        if writer is not None and writer.tokens + len(packed.tokens) > MOST_TOKENS:
            self._close(split, number - 1)
            writer = None
        if writer is None:
            name = f"{split}-{len(self.manifest.of(split)):05}.bin"
            writer = self.open[split] = ShardWriter(self.folder, name, split)
        writer.append(packed)
        if writer.size >= self.shard_bytes:
            self._close(split, number)

    def _close(self, split: str, blocks: int) -> None:
        self.manifest.add(self.open[split].finish(blocks))
        del self.open[split]
        self.manifest.write(self.folder)
