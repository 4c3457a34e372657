"""Which tokens of a row are masked, drawn anew at every step from (seed, step, purpose, row) and nothing else.

Numpy alone. The number of slots is fixed, so that every shape of a training step is; a row uses as many as its length
asks for. Random numbers come from Philox at a counter that is computed: which process asks, how many rows it asks for
and what was drawn before change nothing.
Source: Google's ``pretrain_helpers.mask``; :data:`METHODS` says where we differ by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

WITHOUT_REPLACEMENT: Final = "without-replacement"
GOOGLE: Final = "google"  # with replacement: a position may be drawn more than once, which masks less than asked for
METHODS: Final = (WITHOUT_REPLACEMENT, GOOGLE)

# What random numbers are for: each purpose has a stream of its own.
_POSITIONS, _REPLACING, _SAMPLING = range(3)
_WORDS_OF_A_COUNTER: Final = 4  # Philox makes four 64-bit numbers of each value of its counter
_WORD: Final = 1 << 64


@dataclass(frozen=True, kw_only=True)
class MaskingRules:
    """How rows are masked.

    Attributes:
        slots: the most tokens of a row that are predicted; Google's ``max_predictions_per_seq``.
        mask_id: the id of ``[MASK]``.
        never_masked: ids that are never predicted: ``[CLS]``, ``[SEP]``, ``[MASK]``, ``[PAD]``. ``[UNK]`` may be.
        vocab_size: every id is below it.
        probability: the share of a row's real tokens that is predicted, ``[CLS]`` and ``[SEP]`` counted with them.
        replace_probability: the share of those that becomes ``[MASK]``; the others stay what they are.
        method: ``"without-replacement"``, or ``"google"``: with.

    Raises:
        ValueError: a value is out of range.
    """

    slots: int
    mask_id: int
    never_masked: frozenset[int]
    vocab_size: int
    probability: float = 0.15
    replace_probability: float = 0.85
    method: str = WITHOUT_REPLACEMENT

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"slots must be at least 1, found {self.slots}")
        for name in ("probability", "replace_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, found {getattr(self, name)!r}")
        if outside := sorted(item for item in {self.mask_id, *self.never_masked} if not 0 <= item < self.vocab_size):
            raise ValueError(f"ids {outside} are outside the vocabulary of {self.vocab_size}")
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, found {self.method!r}")


def slots_for(probability: float, length: int) -> int:
    """Return how many slots Google's code gives to rows of a length: ``int((probability + 0.005) * length)``."""
    return max(1, int((probability + 0.005) * length))


def mask_rows(rows: Arrays, rules: MaskingRules, *, seed: int, step: int, first_row: int) -> dict[str, NDArray[Any]]:
    """Mask a batch of neighbouring rows.

    Args:
        rows: ``input_ids`` and ``attention_mask`` [rows, length], and whatever else, which is passed on.
        rules: how.
        seed: of the run.
        step: of the run; the same row is masked otherwise at another step.
        first_row: the number of the first row in the whole batch of this step, over all processes.

    Returns:
        ``rows`` with ``[MASK]`` put into ``input_ids``, and ``masked_positions`` and ``masked_labels`` [rows, slots]
        int32, ``masked_weights`` [rows, slots] float32, 0 for unused slots, which point at position 0, and
        ``sampling_seeds`` [rows] int64, 32 random bits each. Slots ascend by position, but for ``"google"``.

    Raises:
        ValueError: arrays of another shape, ids outside the vocabulary, or a negative seed, step or row.
    """
    ids, real = rows["input_ids"], rows["attention_mask"] != 0
    _check_rows(ids, real, rules, (seed, step, first_row))
    streams = _Streams(seed, step, first_row, ids.shape[0])
    candidates = real & ~np.isin(ids, sorted(rules.never_masked))
    counts = _counts(real, candidates, rules)  # [rows]
    used = np.arange(rules.slots) < counts[:, None]  # [rows, slots]
    choose = _with_replacement if rules.method == GOOGLE else _without_replacement
    positions = np.where(used, choose(candidates, used, streams), 0)
    labels = np.where(used, np.take_along_axis(ids, positions, axis=1), 0)
    becomes_mask = used & (streams.uniform(_REPLACING, rules.slots) < rules.replace_probability)
    masked_ids = ids.copy()
    masked_ids[becomes_mask.nonzero()[0], positions[becomes_mask]] = rules.mask_id
    return {
        **rows,
        "input_ids": masked_ids,
        "masked_positions": positions.astype(np.int32),
        "masked_labels": labels.astype(np.int32),
        "masked_weights": used.astype(np.float32),
        "sampling_seeds": (streams.words(_SAMPLING, 1)[:, 0] >> np.uint64(32)).astype(np.int64),
    }


def _check_rows(ids: NDArray[Any], real: NDArray[Any], rules: MaskingRules, numbers: tuple[int, ...]) -> None:
    if ids.ndim != 2 or ids.shape != real.shape:
        raise ValueError(f"input_ids and attention_mask must be [rows, length], found {ids.shape} and {real.shape}")
    if ids.size and not 0 <= ids.min() <= ids.max() < rules.vocab_size:
        raise ValueError(f"input_ids must be from 0 to {rules.vocab_size - 1}, found {ids.min()} to {ids.max()}")
    if min(numbers) < 0:
        raise ValueError(f"seed, step and first_row must be at least 0, found {numbers}")


def _counts(real: NDArray[np.bool_], candidates: NDArray[np.bool_], rules: MaskingRules) -> NDArray[np.int64]:
    """How many tokens of each row are predicted; halves round to even, as TensorFlow rounds."""
    # In float32, as Google's code computes it: it decides where the product is near a half.
    wanted = np.round(np.float32(rules.probability) * real.sum(axis=1).astype(np.float32)).astype(np.int64)
    counts = np.clip(wanted, 1, rules.slots)
    available = candidates.sum(axis=1)
    limit = np.where(available > 0, rules.slots, 0) if rules.method == GOOGLE else available
    used: NDArray[np.int64] = np.minimum(counts, limit)
    return used


class _Streams:
    """Random numbers by purpose: those of a row depend on its number, not on the batch that it is asked for in."""

    def __init__(self, seed: int, step: int, first_row: int, rows: int) -> None:
        self.key = (seed % _WORD, step % _WORD)
        self.first_row, self.rows = first_row, rows

    def words(self, purpose: int, count: int) -> NDArray[np.uint64]:
        """Return [rows, count] words of 64 random bits."""
        blocks = -(-count // _WORDS_OF_A_COUNTER)
        start = self.first_row * blocks
        counter = (start % _WORD, start // _WORD, purpose, 0)
        philox = np.random.Philox(counter=np.array(counter, np.uint64), key=np.array(self.key, np.uint64))
        words: NDArray[np.uint64] = philox.random_raw(self.rows * blocks * _WORDS_OF_A_COUNTER)
        return words.reshape(self.rows, -1)[:, :count]  # [rows, blocks * 4] -> [rows, count]

    def uniform(self, purpose: int, count: int) -> NDArray[np.float64]:
        """Return [rows, count] numbers from 0 up to but not including 1."""
        return (self.words(purpose, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _without_replacement(
    candidates: NDArray[np.bool_], used: NDArray[np.bool_], streams: _Streams
) -> NDArray[np.int64]:
    """The candidates with the smallest of as many random numbers: [rows, slots], ascending where used."""
    length, slots = candidates.shape[1], used.shape[1]
    words = streams.words(_POSITIONS, length) >> np.uint64(1)
    order = np.argsort(np.where(candidates, words, np.uint64(_WORD - 1)), axis=1, kind="stable")
    order = np.pad(order[:, :slots], [(0, 0), (0, max(0, slots - length))])
    return np.sort(np.where(used, order, length), axis=1)


def _with_replacement(candidates: NDArray[np.bool_], used: NDArray[np.bool_], streams: _Streams) -> NDArray[np.int64]:
    """Each slot draws from all candidates: [rows, slots], in the order drawn."""
    available = candidates.sum(axis=1, keepdims=True)  # [rows, 1]
    drawn = (streams.uniform(_POSITIONS, used.shape[1]) * available).astype(np.int64)
    in_front = np.argsort(~candidates, axis=1, kind="stable")  # a row's candidates, ascending, then the rest
    return np.take_along_axis(in_front, drawn, axis=1)
