"""Tokenizing beside transformers: throughput and memory over a real text, and the latency of one short text.

Both run in one process, taking turns, so that a machine that slows down slows both.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ratios
from electra_common.text_files import read_lines

SHORT_TEXT: Final = "How are you today?"
_MEGABYTES: Final = 10
_CALLS: Final = 2000
_BATCH: Final = {"padding": True, "truncation": True, "max_length": 512, "return_tensors": "np"}
# What a tokenizer's result takes once the call is over, in a process of its own: the operating system's account.
_MEMORY: Final = """
import gc, sys
from benchmarks.tokenization import MAKERS, load_texts
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
tokenizer = MAKERS[sys.argv[1]](sys.argv[2])
texts = load_texts(sys.argv[3], 4)
tokenizer(texts[:64], padding=True)
gc.collect()
before = resident()
encoded = tokenizer(texts, truncation=True, max_length=512, padding=True, return_tensors="np")
gc.collect()
print((resident() - before) * 1024 / int(encoded["attention_mask"].sum()))
"""


def _ours(vocabulary: str) -> Any:
    from electra_common import ElectraTokenizerFast

    return ElectraTokenizerFast(vocabulary)


def _ours_in_python(vocabulary: str) -> Any:
    from electra_common import ElectraTokenizer

    return ElectraTokenizer(vocabulary)


def _theirs(vocabulary: str) -> Any:
    from transformers import BertTokenizer

    return BertTokenizer(vocabulary)


MAKERS: Final[dict[str, Callable[[str], Any]]] = {
    "ElectraTokenizerFast": _ours,
    "transformers": _theirs,
    "ElectraTokenizer": _ours_in_python,
}


@dataclass(frozen=True)
class Tokenizing:
    """One tokenizer's figures; ratios are to transformers, turn by turn: least, median, greatest."""

    name: str
    megabytes_per_second: float
    throughput_ratio: tuple[float, float, float]
    microseconds: float
    latency_ratio: tuple[float, float, float]
    bytes_per_token: float
    memory_ratio: float


def load_texts(corpus: str | Path, megabytes: int) -> list[str]:
    """Return the first megabytes of a text file, a line each, without empty lines."""
    texts, size = [], 0
    for line in read_lines(corpus):
        if line:
            texts.append(line)
            size += len(line.encode())
        if size >= megabytes << 20:
            break
    return texts


def measure_tokenizing(corpus: Path, vocabulary: Path, rounds: int) -> list[Tokenizing]:
    """Measure all tokenizers over a corpus, which should have 10 MB."""
    texts = load_texts(corpus, _MEGABYTES)
    size = sum(len(text.encode()) for text in texts) / 1e6
    tokenizers = {name: make(str(vocabulary)) for name, make in MAKERS.items()}
    throughput = _in_turn(tokenizers, rounds, lambda tokenizer: tokenizer(texts, **_BATCH))
    latency = _in_turn(tokenizers, rounds, _many_calls)
    memory = {name: _memory(name, vocabulary, corpus) for name in MAKERS}
    peer = "transformers"
    return [
        Tokenizing(
            name=name,
            megabytes_per_second=size / statistics.median(throughput[name]),
            throughput_ratio=ratios(throughput[peer], throughput[name]),
            microseconds=statistics.median(latency[name]) / _CALLS * 1e6,
            latency_ratio=ratios(latency[name], latency[peer]),
            bytes_per_token=memory[name],
            memory_ratio=memory[name] / memory[peer],
        )
        for name in MAKERS
    ]


def _many_calls(tokenizer: Any) -> None:
    for _ in range(_CALLS):
        tokenizer(SHORT_TEXT)


def _in_turn(tokenizers: dict[str, Any], rounds: int, work: Callable[[Any], object]) -> dict[str, Sequence[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in tokenizers}
    for turn in range(rounds + 1):
        for name, tokenizer in tokenizers.items():
            gc.collect()
            started = time.perf_counter()
            work(tokenizer)
            if turn:  # the first one warms caches up
                seconds[name].append(time.perf_counter() - started)
    return dict(seconds)


def _memory(name: str, vocabulary: Path, corpus: Path) -> float:
    command = [sys.executable, "-c", _MEMORY, name, str(vocabulary), str(corpus)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
