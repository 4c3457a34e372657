"""The peer for preparing a corpus: Google's algorithm, as a script would run it on transformers' tokenizer.

Written from the description of ``build_pretraining_dataset.py``: lines are tokenised one by one, or a thousand at a
time, which is faster; examples are put together on lists. It writes padded rows of 16-bit ids in place of TFRecords,
which is less work than Google's script has. Several processes work on files of their own, as Google's do.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_LINES_AT_ONCE = 1000
_CLS, _SEP = 101, 102


def prepare(parts: list[Path], folder: Path, vocabulary: str, *, batched: bool, max_length: int = 128) -> int:
    """Prepare each file in a process of its own, or in this one if there is one; return how many tokens were read."""
    arguments = [
        (part, folder / f"{number}.rows", vocabulary, batched, max_length) for number, part in enumerate(parts)
    ]
    if len(parts) == 1:
        return _prepare_file(*arguments[0])
    with multiprocessing.get_context("spawn").Pool(len(parts)) as pool:
        counts = pool.starmap(_prepare_file, arguments)
        pool.close()
        pool.join()
    return sum(counts)


def _prepare_file(part: Path, target: Path, vocabulary: str, batched: bool, max_length: int) -> int:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread a process, as on our side
    from transformers import BertTokenizer

    tokenizer = BertTokenizer(vocabulary)
    lines = _batched_lines(part, tokenizer) if batched else _single_lines(part, tokenizer)
    tokens = 0
    with open(part, encoding="utf-8"), open(target, "wb") as stream:
        builder = _Builder(stream, max_length)
        for ids in lines:
            tokens += len(ids or ())
            builder.add(ids)
        builder.add(None)
    return tokens


def _single_lines(part: Path, tokenizer: Any) -> Iterator[list[int] | None]:
    """Yield the ids of each line, None for a blank one."""
    with open(part, encoding="utf-8") as stream:
        for line in stream:
            stripped = line.strip()
            yield tokenizer.convert_tokens_to_ids(tokenizer.tokenize(stripped)) if stripped else None


def _batched_lines(part: Path, tokenizer: Any) -> Iterator[list[int] | None]:
    def encode(lines: list[str]) -> Iterator[list[int] | None]:
        texts = [line for line in lines if line]
        options = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
        rows = iter(tokenizer(texts, verbose=False, **options)["input_ids"] if texts else ())
        for line in lines:
            yield next(rows) if line else None

    waiting: list[str] = []
    with open(part, encoding="utf-8") as stream:
        for line in stream:
            waiting.append(line.strip())
            if len(waiting) == _LINES_AT_ONCE:
                yield from encode(waiting)
                waiting = []
    yield from encode(waiting)


class _Builder:
    def __init__(self, stream: BinaryIO, max_length: int) -> None:
        self._stream, self._max_length = stream, max_length
        self._lines: list[list[int]] = []
        self._count, self._target = 0, max_length
        self._random = random.Random(0)

    def add(self, ids: list[int] | None) -> None:
        if ids is None:
            if self._lines:
                self._emit()
            return
        self._lines.append(ids)
        self._count += len(ids)
        if self._count >= self._target:
            self._emit()

    def _emit(self) -> None:
        first_target = 100_000 if self._random.random() < 0.1 else (self._target - 3) // 2
        first: list[int] = []
        second: list[int] = []
        for line in self._lines:
            if (
                not first
                or len(first) + len(line) < first_target
                or (not second and len(first) < first_target and self._random.random() < 0.5)
            ):
                first += line
            else:
                second += line
        first = first[: self._max_length - 2]
        second = second[: max(0, self._max_length - len(first) - 3)]
        self._lines, self._count = [], 0
        is_shorter = self._random.random() < 0.05
        self._target = self._random.randint(5, self._max_length) if is_shorter else self._max_length
        self._write(first, second)

    def _write(self, first: list[int], second: list[int]) -> None:
        row = np.zeros((3, self._max_length), np.uint16)  # ids, mask, types
        ids = [_CLS, *first, _SEP, *([*second, _SEP] if second else [])]
        row[0, : len(ids)] = ids
        row[1, : len(ids)] = 1
        row[2, len(first) + 2 : len(ids)] = 1
        self._stream.write(row.tobytes())
