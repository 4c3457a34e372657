"""What becomes of one block, and doing it in several processes without losing the order or filling the memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from electra_common.pretraining.documents import SPLITS, Block, Document
from electra_common.pretraining.encoding import CorpusEncoder
from electra_common.pretraining.segments import Draws, Example, SegmentOptions, cut_document
from electra_common.pretraining.shard_writer import PackedExamples, pack
from electra_common.pretraining.tfrecord import Record, parse_example
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast

_THREADS: Final = "TOKENIZERS_PARALLELISM"
Examples = dict[str, PackedExamples]


@dataclass(frozen=True)
class BlockWork:
    """What is done to each block: everything that a process needs to know."""

    tokenizer_folder: Path
    segments: SegmentOptions
    seed: int
    dtype: str


class BlockWorker:
    """Tokenises the documents of a block and cuts them into examples."""

    def __init__(self, work: BlockWork) -> None:
        self._work = work
        tokenizer = ElectraTokenizerFast.from_pretrained(work.tokenizer_folder)
        self._encoder = CorpusEncoder(tokenizer)
        assert isinstance(tokenizer.cls_token_id, int)
        assert isinstance(tokenizer.sep_token_id, int)
        self._cls_id, self._sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._generator = np.random.Philox(key=0)
        self._vocab_size = max(tokenizer.get_vocab().values()) + 1

    def __call__(self, block: Block) -> Examples:
        """Return the examples of a block, by split."""
        examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        documents = dict.fromkeys(SPLITS, 0)
        for document, cut in zip(block.documents, self._cut(block.documents), strict=True):
            examples[document.split] += cut
            documents[document.split] += document.part == 0
        for item in block.ready:
            examples[item.split].append(self._unpack(item.record))
        ids = {"cls_id": self._cls_id, "sep_id": self._sep_id}
        return {
            split: pack(examples[split], **ids, dtype=self._work.dtype, documents=documents[split]) for split in SPLITS
        }

    def _cut(self, documents: list[Document]) -> Iterator[list[Example]]:
        """Yield the examples of each document; all lines are tokenised together, which is faster."""
        ids, ends = self._encoder.encode([line for document in documents for line in document.lines])
        line = start = 0
        for document in documents:
            own_ends = ends[line : line + len(document.lines)]
            line, end = line + len(document.lines), int(own_ends[-1])
            draws = Draws(self._work.seed, document.number, document.part, generator=self._generator)
            yield cut_document(ids[start:end], own_ends - start, self._work.segments, draws)
            start = end

    def _unpack(self, record: Record) -> Example:
        ids, first = parse_example(record, self._work.segments.max_length)
        frame = [*ids[:1].tolist(), *ids[first - 1 : first].tolist(), *ids[-1:].tolist()]
        if len(ids) < 2 or first < 2 or frame != [self._cls_id, self._sep_id, self._sep_id]:
            raise ValueError(
                f"{record.place}: expected {self._cls_id} first and {self._sep_id} behind each segment, which are the "
                f"tokenizer's [CLS] and [SEP]; found {frame}; is it the tokenizer of these records?"
            )
        if ids.min() < 0 or ids.max() >= self._vocab_size:
            raise ValueError(f"{record.place}: ids {ids.min()} to {ids.max()}; the vocabulary has {self._vocab_size}")
        return ids[1 : first - 1].astype(np.int32), ids[first:-1].astype(np.int32)


def work_in_order(
    blocks: Iterator[Block], work: BlockWork, workers: int, skip: int = 0
) -> Iterator[tuple[int, Examples]]:
    """Yield what comes of each block, in order, with the block's place in the files.

    Args:
        blocks: read only as far as the processes need.
        work: what is done to each.
        workers: processes; 1 works in this one.
        skip: leave out as many blocks in front.

    Raises:
        ValueError: a block cannot be read, or a process ended by force.
    """
    remaining = (block for number, block in enumerate(blocks) if number >= skip)
    if workers == 1:
        with _one_thread():
            worker = BlockWorker(work)
            for block in remaining:
                yield block.place, worker(block)
        return
    with (
        _one_thread(),
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_process, (work,)) as pool,
    ):
        waiting: deque[tuple[int, Future[Examples]]] = deque()
        try:
            for block in remaining:
                with _interrupts_wait():  # the first one begins the processes
                    waiting.append((block.place, pool.submit(_work_in_process, block)))
                if len(waiting) > 2 * workers:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        except BrokenProcessPool:
            raise ValueError(
                "a process of the preparation did not start or was ended from outside; is there enough memory, and "
                'does a script that asks for several workers do so below `if __name__ == "__main__":`?'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _first(waiting: deque[tuple[int, Future[Examples]]]) -> tuple[int, Examples]:
    place, future = waiting.popleft()
    return place, future.result()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the Rust library to one thread, here and in processes begun here: the processes share the processors."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait while processes are begun: they inherit that and never hear it, this one does afterwards."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield  # Windows has no mask, and only the main thread hears
        return
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))  # libraries' threads have no mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


_worker: BlockWorker | None = None


def _begin_process(work: BlockWork) -> None:
    global _worker  # noqa: PLW0603 a process has one, made once
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that began this one, which ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = BlockWorker(work)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work_in_process(block: Block) -> Examples:
    assert _worker is not None
    return _worker(block)
