"""Running a backend: set to what a call asks for, by one thread at a time, with errors that say what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from electra_common.tokenization.backend import Backend, Encoding
from electra_common.tokenization.call_options import CallOptions, Cut, check_room
from electra_common.tokenization.inputs import explain, is_pair
from electra_common.tokenization.windows import check_windows

_NOT_SET = object()


class Runner:
    """A backend and what it is set to, which is the same for all who use it: a backend has one runner.

    Args:
        backend: must not be set by anyone else.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._lock = threading.Lock()
        self._cut: Any = _NOT_SET

    def __reduce__(self) -> tuple[Any, ...]:
        return Runner, (self.backend,)  # the lock is this process's

    def run(self, texts: Sequence[Any], options: CallOptions, *, with_offsets: bool) -> list[Encoding]:
        """Encode texts, or pairs of them as tuples: one row each, with overflow inside.

        Raises:
            ValueError: a text is none, or rows cannot be cut as asked for.
        """
        backend = self.backend
        with self._lock:
            try:
                self._set(texts, options)
                if len(texts) == 1:  # without a hand-over to other threads, which takes longer than a short text
                    row = texts[0]
                    first, second = row if is_pair(row) and None not in row else (row, None)
                    return [backend.encode(first, second, options.is_split_into_words, options.add_special_tokens)]
                # The fast way leaves the types of a pair's overflow 0.
                is_fast = not with_offsets and not (options.overflow and any(map(is_pair, texts)))
                encode = backend.encode_batch_fast if is_fast else backend.encode_batch
                return encode(texts, options.is_split_into_words, options.add_special_tokens)
            except (TypeError, ValueError) as error:
                raise explain(texts, is_split_into_words=options.is_split_into_words) or error from None
            except Exception as error:
                if type(error) is not Exception:  # the Rust library has no class of its own for what it refuses
                    raise
                raise ValueError(_refusal(error, options.cut)) from None

    def template(self, *, is_pair: bool) -> Encoding:
        """Return a row of one token, or of a pair of one each, with what stands around; no text is sure to give one."""
        backend: Any = self.backend
        with self._lock:
            self._cut_to(None)
            kind = type(backend.encode("", None, False, False))
            tokens = [kind() for _ in range(1 + is_pair)]
            for type_id, token in enumerate(tokens):
                token.pad(1, direction="right", pad_id=0, pad_type_id=type_id, pad_token="a")
            row: Encoding = backend.post_process(*tokens)
            return row

    def _set(self, texts: Sequence[Any], options: CallOptions) -> None:
        backend, cut = self.backend, options.cut
        if backend.encode_special_tokens != options.split_special_tokens:
            backend.encode_special_tokens = options.split_special_tokens
        if cut is not None:
            self._check_cut(texts, options, cut)
        self._cut_to(cut)

    def _cut_to(self, cut: Cut | None) -> None:
        if cut == self._cut:
            return
        if cut is None:
            self.backend.no_truncation()
        else:
            self.backend.enable_truncation(cut.max_length, stride=cut.stride, strategy=cut.strategy, direction=cut.side)
        self._cut = cut

    def _check_cut(self, texts: Sequence[Any], options: CallOptions, cut: Cut) -> None:
        pairs = [text for text in texts if is_pair(text)]
        special = self.backend.num_special_tokens_to_add(bool(pairs)) if options.add_special_tokens else 0
        check_room(cut, special)
        if pairs and cut.stride:
            self._cut_to(None)
            room = cut.max_length - special
            check_windows(self.backend, pairs, cut, room, is_split_into_words=options.is_split_into_words)


def _refusal(error: Exception, cut: Cut | None) -> str:
    if cut is None or "truncat" not in str(error).lower():
        return str(error)
    return (
        f"truncation error: strategy {cut.strategy!r} cannot bring a row to max_length={cut.max_length}: "
        "the text that it cuts is missing, or too short for what must go; use 'longest_first'"
    )
