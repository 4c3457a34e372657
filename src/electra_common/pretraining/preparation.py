"""Preparing a corpus: text in, shards out, by any number of processes, and to be gone on with after a kill.

The corpus is cut into blocks of whole documents, which one process reads and others tokenise. What comes of a block
depends on nothing but the block, and blocks are written in order: the shards are the same for any number of processes.
A shard ends where a block ends, so that a preparation that was stopped goes on behind the last finished shard. By then
the files must not have changed.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from electra_common.pretraining.block_work import BlockWork, work_in_order
from electra_common.pretraining.corpus_plan import (
    check_sources,
    is_same,
    plan_corpus,
    tell_difference,
    with_checksums,
)
from electra_common.pretraining.documents import (
    HELD_OUT,
    SPLITS,
    TRAIN,
    Block,
    ReadingOptions,
    Source,
    read_blocks,
)
from electra_common.pretraining.manifest import FILE_NAME, Manifest, check_shard
from electra_common.pretraining.segments import SegmentOptions
from electra_common.pretraining.shard_writer import MOST_TOKENS, PackedExamples, ShardWriter
from electra_common.runs.folder_lock import LOCK_FILE, lock_folder, refuse_links
from electra_common.runs.folder_names import TOKENIZER_FOLDER
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.tokenization.files import folder_files
from electra_common.weights.atomic import write_files

DEFAULT_SHARD_BYTES: Final = 1 << 26
# A manifest that a kill kept from getting its name.
_UNFINISHED: Final = f".{FILE_NAME}.*.tmp"


@dataclass(frozen=True)
class Progress:
    """How far a preparation is: bytes of the files read, of all, and tokens written by this run.

    While ``is_checking``, the files are read for their checksums, and nothing is written.
    """

    bytes_done: int
    bytes_in_all: int
    tokens: int = 0
    is_checking: bool = False


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
        sources: the files, in order, each once.
        folder: where to; held against other preparations; new, empty, or what the same preparation left unfinished.
        tokenizer: gives the ids, and is copied into the folder.
        segments: how examples are cut.
        reading: how documents are found and divided.
        shard_bytes: a shard is closed when it has this many.
        workers: processes that tokenise; 1 does it in this one. A script that asks for several does so below
            ``if __name__ == "__main__":``, for each of them imports it.
        overwrite: begin anew, in the place of a prepared corpus, be it the same one.
        report: called as the files are checked, and after each block that is not in the finished shards.

    Returns:
        the manifest as written.

    Raises:
        ValueError: a file cannot be read or is there twice, the corpus is empty, another preparation writes to the
            folder, or it holds something else or links.
        CheckpointError: the folder cannot be written.
    """
    segments, reading = segments or SegmentOptions(), reading or ReadingOptions()
    report = report or (lambda progress: None)
    if workers < 1 or shard_bytes < 1:
        raise ValueError(f"workers and shard_bytes must be above 0, found {workers} and {shard_bytes}")
    check_sources(sources)
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise ValueError("the tokenizer has no [CLS] or no [SEP], which examples begin and end with")
    files = folder_files(tokenizer)
    _check_folder(folder)
    plan = plan_corpus(sources, tokenizer, files, segments, reading, shard_bytes)
    if not overwrite:
        _refuse_another(folder, plan)
    in_all = sum(facts["bytes"] for facts in plan.sources)
    plan = with_checksums(plan, sources, lambda done: report(Progress(done, in_all, is_checking=True)))
    if not overwrite and (finished := _finished(folder, plan)) is not None:
        return finished
    with _held(folder):
        manifest = _begin(folder, plan, files, overwrite=overwrite)
        if manifest.complete:
            return manifest
        work = BlockWork(tokenizer_folder=folder / TOKENIZER_FOLDER, segments=segments, seed=reading.seed,
                         dtype=manifest.dtype)  # fmt: skip
        _Writing(folder, manifest, shard_bytes).run(read_blocks(sources, reading), work, workers, report)
    wants_held_out = reading.held_out > 0 or any(source.is_held_out for source in sources)
    if wants_held_out and not manifest.of(HELD_OUT):
        warnings.warn(
            f"no text was held out of {manifest.counts()[TRAIN]['documents']} documents; "
            "give a larger fraction, another seed, or files to hold out",
            stacklevel=2,
        )
    return manifest


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is not new or empty and has no prepared corpus, finished or not."""
    if folder.exists() and not (folder / FILE_NAME).exists() and not (folder.is_dir() and _is_empty(folder)):
        raise ValueError(f"{folder}: exists already and is no prepared corpus; choose another folder")


def _refuse_another(folder: Path, plan: Manifest) -> None:
    """Refuse a folder with shards of a corpus that is not the planned one."""
    there = Manifest.read(folder) if (folder / FILE_NAME).exists() else plan
    if there.shards and not is_same(there, plan):
        what = tell_difference(there, plan)
        raise ValueError(f"{folder}: holds a corpus of {what}; choose another folder or add --overwrite")


def _finished(folder: Path, plan: Manifest) -> Manifest | None:
    """Return the manifest of a corpus that is there as planned, so that nothing is left to write."""
    if not (folder / FILE_NAME).exists():
        return None
    there = Manifest.read(folder)
    is_whole = there.complete and is_same(there, plan) and _verified(folder, there) == there.shards
    return there if is_whole else None


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, made if it is not there, against other preparations; refuse one in which links stand."""
    refuse_links(folder.iterdir() if folder.is_dir() else ())
    with _writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, "preparation"):
        yield


def _is_empty(folder: Path) -> bool:
    return all(item.name == LOCK_FILE or fnmatchcase(item.name, _UNFINISHED) for item in folder.iterdir())


def _begin(folder: Path, plan: Manifest, tokenizer_files: dict[str, bytes], *, overwrite: bool) -> Manifest:
    """Return a manifest with the shards that are there already, verified; write a new one where there are none."""
    # Only what reads as a prepared corpus is overwritten.
    there = Manifest.read(folder) if (folder / FILE_NAME).exists() else plan
    manifest = plan
    if not overwrite:
        _refuse_another(folder, plan)
        if is_same(there, plan):
            manifest = there
            manifest.shards = _verified(folder, manifest)
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


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Tell as an error of the folder what the system refuses meanwhile."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written: {error.strerror or error}") from None


class _Writing:
    """The shards that are being written, one of each split at a time."""

    def __init__(self, folder: Path, manifest: Manifest, shard_bytes: int) -> None:
        self.folder, self.manifest, self.shard_bytes = folder, manifest, shard_bytes
        self.done = {split: max((shard.blocks for shard in manifest.of(split)), default=0) for split in SPLITS}
        self.open: dict[str, ShardWriter] = {}

    def run(self, blocks: Iterator[Block], work: BlockWork, workers: int, report: Report) -> None:
        total = sum(source["repeat"] * source["bytes"] for source in self.manifest.sources)
        tokens = number = 0
        skipped, reached = min(self.done.values()), max(self.done.values())
        try:
            results = work_in_order(self._left_to_do(blocks), work, workers, skipped)
            for number, (place, examples) in enumerate(results, skipped + 1):
                with _writing_to(self.folder):
                    for split, packed in examples.items():
                        self._append(split, packed, number)
                tokens += sum(len(packed.tokens) for packed in examples.values())
                if number > reached:
                    report(Progress(place, total, tokens))
            with _writing_to(self.folder):
                for split in list(self.open):
                    self._close(split, number)
        finally:
            for writer in self.open.values():
                writer.discard()
        if not self.manifest.shards:
            raise ValueError("the corpus holds no text: no examples were made")
        self.manifest.complete = True
        self.manifest.write(self.folder)

    def _left_to_do(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield the blocks without what finished shards already hold; one split may be far ahead of the other."""
        for number, block in enumerate(blocks, 1):
            block.documents = [document for document in block.documents if number > self.done[document.split]]
            block.ready = [example for example in block.ready if number > self.done[example.split]]
            yield block

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
