"""What becomes of one block, and doing it in several processes without losing the order or filling the memory."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from electra_common.pretraining.documents import SPLITS, Block
from electra_common.pretraining.encoding import CorpusEncoder
from electra_common.pretraining.segments import Draws, Example, SegmentOptions, cut_document
from electra_common.pretraining.shard_writer import PackedExamples, pack
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

    def __call__(self, block: Block) -> Examples:
        """Return the examples of a block, by split."""
        lines = [line for document in block.documents for line in document.lines]
        ids, ends = self._encoder.encode(lines)
        examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        documents = dict.fromkeys(SPLITS, 0)
        first_line = start = 0
        for document in block.documents:
            last_line = first_line + len(document.lines)
            own_ends = ends[first_line:last_line]
            end = int(own_ends[-1])
            draws = Draws(self._work.seed, document.number, document.part)
            examples[document.split] += cut_document(ids[start:end], own_ends - start, self._work.segments, draws)
            documents[document.split] += document.part == 0
            first_line, start = last_line, end
        return {
            split: pack(
                examples[split],
                cls_id=self._cls_id,
                sep_id=self._sep_id,
                dtype=self._work.dtype,
                documents=documents[split],
            )
            for split in SPLITS
        }


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
                waiting.append((block.place, pool.submit(_work_in_process, block)))
                if len(waiting) > 2 * workers:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        except BrokenProcessPool:
            raise ValueError("a process of the preparation was ended from outside; is there enough memory?") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


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


_worker: BlockWorker | None = None


def _begin_process(work: BlockWork) -> None:
    global _worker  # noqa: PLW0603 a process has one, made once
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
