"""Calling a tokenizer: texts in, :class:`~.batch_encoding.BatchEncoding` out.

Arguments, defaults and results are transformers'. What is not a backend's business is done here, once: arguments,
filling, tensors, alignment. Alignment is not computed by a call, but when it is asked for (see :mod:`.alignment`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Final, Self

from electra_common.tokenization.alignment import LazyRows
from electra_common.tokenization.backend import Backend, Encoding
from electra_common.tokenization.batch_encoding import BatchEncoding
from electra_common.tokenization.call_options import (
    NO_MAX_LENGTH,
    CallOptions,
    check_side,
    check_tensors,
    resolve_cut_and_fill,
)
from electra_common.tokenization.columns import (
    ATTENTION_MASK,
    INPUT_IDS,
    LENGTH,
    MODEL_FIELDS,
    OFFSET_MAPPING,
    OVERFLOW_MAPPING,
    SPECIAL_TOKENS_MASK,
    TOKEN_TYPE_IDS,
    Frame,
    Padding,
    as_arrays,
    as_lists,
)
from electra_common.tokenization.inputs import gather, is_pair
from electra_common.tokenization.row_layout import RowLayout
from electra_common.tokenization.runner import Runner
from electra_common.tokenization.tensors import as_tensor
from electra_common.tokenization.token_table import TokenTable

_MAX_REMEMBERED_CALLS: Final = 256


class TextCalls(TokenTable):
    """Encodes texts; all but the way from text to tokens, which is the backend's."""

    is_fast = False

    def __init__(
        self,
        backend: Backend,
        *,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        model_input_names: Sequence[str] = MODEL_FIELDS,
        pad_token_type_id: int = 0,
        clean_up_tokenization_spaces: bool = False,
        split_special_tokens: bool = False,
        name_or_path: str = "",
    ) -> None:
        super().__init__(backend, clean_up_tokenization_spaces=clean_up_tokenization_spaces)
        self.model_max_length = NO_MAX_LENGTH if model_max_length is None else model_max_length
        self.padding_side = check_side("padding_side", padding_side)
        self.truncation_side = check_side("truncation_side", truncation_side)
        self.model_input_names = list(model_input_names)
        self.pad_token_type_id = pad_token_type_id
        self.split_special_tokens = split_special_tokens
        self.name_or_path = name_or_path
        self._runner = Runner(backend)
        self._known_calls: dict[Any, CallOptions] = {}
        self._warned_of_length = False

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # a backend, and what it is set to, belongs to one tokenizer

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not name.startswith("_"):  # such as padding_side, which calls take as their default
            self._forget()

    def _on_change(self) -> None:
        if self._runner.backend is not self._backend:
            self._runner = Runner(self._backend)
        self._forget()

    def _forget(self) -> None:
        """Give up what was worked out from settings and tokens."""
        self.__dict__["_known_calls"] = {}
        for name in ("_single_layout", "_pair_layout", "_padding", "_unfilled", "_skipped_ids"):
            self.__dict__.pop(name, None)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} tokens, model_max_length={self.model_max_length}, "
            f"special_tokens={self.special_tokens_map})"
        )

    # Calls ------------------------------------------------------------------------------------------------------------

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of either.

        Args:
            text: a text or a list of texts; with ``is_split_into_words`` a list of words or a list of such lists.
            text_pair: second sequences, in the shape of ``text``.
            text_target: texts whose ids are returned as ``labels``; or instead of ``text``.
            text_pair_target: their second sequences.
            add_special_tokens: ``[CLS]`` in front and ``[SEP]`` behind each sequence.
            padding: ``True`` or ``"longest"`` fills to the longest row, ``"max_length"`` to ``max_length``.
            truncation: ``True`` or ``"longest_first"``, ``"only_first"``, ``"only_second"``: which sequence is cut.
            max_length: number of tokens of a row, special ones included; by default ``model_max_length``. Given
                alone, it cuts.
            stride: how many tokens a row of overflow repeats of the one before.
            is_split_into_words: the texts are lists of words.
            pad_to_multiple_of: fill to a multiple of this.
            padding_side: ``"right"`` or ``"left"``; by default the tokenizer's.
            return_tensors: ``"np"``, ``"pt"`` or ``"tf"``; None for lists.
            return_token_type_ids: by default as ``model_input_names`` says.
            return_attention_mask: by default as ``model_input_names`` says.
            return_overflowing_tokens: make further rows of what is cut off, and say in
                ``overflow_to_sample_mapping`` which text each row is of.
            return_special_tokens_mask: 1 for special tokens and padding.
            return_offsets_mapping: start and end of each token in its text, in characters.
            return_length: number of tokens of each row, padding included.
            verbose: warn where an argument has no effect or a row is too long for the model.
            split_special_tokens: read special tokens in the text as plain text; by default the tokenizer's.

        Raises:
            ValueError: an argument or a text is not what was expected.
        """
        call = (
            add_special_tokens, padding, truncation, max_length, stride, is_split_into_words, pad_to_multiple_of,
            padding_side, return_tensors, return_token_type_ids, return_attention_mask, return_overflowing_tokens,
            return_special_tokens_mask, return_offsets_mapping, return_length, verbose, split_special_tokens,
            tuple(self.model_input_names),
        )  # fmt: skip
        options = self._known_calls.get(call) or self._resolve(call)
        if text_target is None and text is not None:
            if options.is_plain and type(text) is str and text_pair is None:
                return self._encode_one(text, options)
            return self._encode(text, text_pair, options)
        if text_target is None:
            raise ValueError("nothing to encode, found text=None and text_target=None: pass one of them")
        target = self._encode(text_target, text_pair_target, options)
        if text is None:
            return target
        encoded = self._encode(text, text_pair, options)
        encoded["labels"] = target[INPUT_IDS]
        return encoded

    def encode(self, text: str | Sequence[str], text_pair: str | Sequence[str] | None = None, **options: Any) -> Any:
        """Return the ids of one text, or pair; the options are those of a call."""
        return self.encode_plus(text, text_pair, **options)[INPUT_IDS]

    def encode_plus(
        self, text: str | Sequence[str], text_pair: str | Sequence[str] | None = None, **options: Any
    ) -> BatchEncoding:
        """Encode one text, or pair; the options are those of a call.

        Raises:
            ValueError: the text is a batch.
        """
        if not isinstance(text, str) and not (
            options.get("is_split_into_words") and all(isinstance(word, str) for word in text)
        ):
            raise ValueError(f"expected one text, found {text!r:.60}; call the tokenizer itself for a batch")
        return self(text, text_pair, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs: Sequence[Any], **options: Any) -> BatchEncoding:
        """Encode a batch of texts, or of pairs as tuples; the options are those of a call.

        Raises:
            ValueError: the input is one text.
        """
        if isinstance(batch_text_or_text_pairs, str):
            raise ValueError(f"expected a list of texts, found one text: {batch_text_or_text_pairs!r:.60}")
        return self(list(batch_text_or_text_pairs), **options)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """Return the pieces of a text; the options are those of a call."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    # How a call is carried out ----------------------------------------------------------------------------------------

    def _resolve(self, call: tuple[Any, ...]) -> CallOptions:
        """Work out what the arguments of a call mean; the same arguments are asked about once."""
        (special, padding, truncation, max_length, stride, words, multiple, side, tensors, types, mask, overflow,
         special_mask, offsets, length, verbose, split_special, names) = call  # fmt: skip
        cut, fill = resolve_cut_and_fill(
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            pad_to_multiple_of=multiple,
            padding_side=self.padding_side if side is None else side,
            truncation_side=self.truncation_side,
            model_max_length=self.model_max_length,
            verbose=verbose,
        )
        if fill is not None and self.pad_token_id is None:
            raise ValueError("cannot fill rows: there is no padding token; set tokenizer.pad_token")
        wanted = {
            INPUT_IDS: True,
            TOKEN_TYPE_IDS: TOKEN_TYPE_IDS in names if types is None else types,
            ATTENTION_MASK: ATTENTION_MASK in names if mask is None else mask,
            SPECIAL_TOKENS_MASK: special_mask,
            OFFSET_MAPPING: offsets,
            LENGTH: length,
        }
        fields = tuple(name for name, is_wanted in wanted.items() if is_wanted)
        has_lists = fill is None and tensors is None and not (words or overflow)
        options = CallOptions(
            cut=cut,
            fill=fill,
            add_special_tokens=special,
            is_split_into_words=words,
            split_special_tokens=self.split_special_tokens if split_special is None else split_special,
            fields=fields,
            overflow=overflow,
            tensors=check_tensors(tensors),
            warn_beyond=self.model_max_length if verbose and max_length is None else None,
            is_plain=has_lists and fields == MODEL_FIELDS and self._single_layout.has_zero_types,
        )
        if len(self._known_calls) < _MAX_REMEMBERED_CALLS:
            self._known_calls[call] = options
        return options

    def _encode_one(self, text: str, options: CallOptions) -> BatchEncoding:
        """What :meth:`_encode` does for a plain call of one text, whose latency people wait for, in half the time."""
        runner = self._runner
        (row,) = rows = runner.run([text], options, with_offsets=False)
        self._warn_of_length(rows, options)
        ids = row.ids
        columns = {INPUT_IDS: ids, TOKEN_TYPE_IDS: [0] * len(ids), ATTENTION_MASK: [1] * len(ids)}
        self.__dict__["_is_shared"] = True
        lazy = LazyRows(partial(_align, runner, options, self._unfilled), [text])
        return BatchEncoding._of(columns, lazy, self.is_fast)

    def _encode(self, text: Any, pair: Any, options: CallOptions) -> BatchEncoding:
        if type(text) is str and pair is None and not options.is_split_into_words:
            texts, is_single = [text], True
        else:
            texts, is_single = gather(text, pair, is_split_into_words=options.is_split_into_words)
        runner = self._runner
        rows = runner.run(texts, options, with_offsets=OFFSET_MAPPING in options.fields)
        places = None
        if options.overflow:
            places = [(index, place) for index, row in enumerate(rows) for place in range(1 + len(row.overflowing))]
            rows = [item for row in rows for item in (row, *row.overflowing)]
        self._warn_of_length(rows, options)
        frame = self._unfilled if options.fill is None else Frame.of(rows, options.fill, self._padding)
        build = as_lists if options.tensors is None else as_arrays
        all_types_zero = self._single_layout.has_zero_types and not any(map(is_pair, texts))
        columns: dict[str, Any] = build(rows, options.fields, frame, all_types_zero=all_types_zero)
        if places is not None:
            columns[OVERFLOW_MAPPING] = [text for text, _ in places]
        if options.tensors is not None:
            columns = {name: as_tensor(column, options.tensors, name=name) for name, column in columns.items()}
        elif is_single and places is None:
            columns = {name: column if name == LENGTH else column[0] for name, column in columns.items()}
        self.__dict__["_is_shared"] = True
        lazy = LazyRows(partial(_align, runner, options, frame), texts, places)
        return BatchEncoding._of(columns, lazy, self.is_fast)

    def _warn_of_length(self, rows: Sequence[Encoding], options: CallOptions) -> None:
        limit = options.warn_beyond
        if limit is None or limit >= NO_MAX_LENGTH or self._warned_of_length:
            return
        longest = max(map(len, rows), default=0)
        if longest > limit:
            self._warned_of_length = True
            warnings.warn(f"a row has {longest} tokens, the model takes {limit}; pass truncation=True", stacklevel=4)

    def row_layout(self, texts: int) -> RowLayout:
        """Return where special tokens stand in a row of one text, or of two."""
        return self._single_layout if texts == 1 else self._pair_layout

    @cached_property
    def _padding(self) -> Padding:
        return Padding(self.pad_token_id or 0, self.pad_token_type_id, self.pad_token or "")

    @cached_property
    def _unfilled(self) -> Frame:
        return Frame(None, "right", self._padding)

    @cached_property
    def _single_layout(self) -> RowLayout:
        return RowLayout(self._runner.template(is_pair=False))

    @cached_property
    def _pair_layout(self) -> RowLayout:
        return RowLayout(self._runner.template(is_pair=True))


def _align(runner: Runner, options: CallOptions, frame: Frame, text: Any) -> list[Encoding]:
    """Encode a text once more, with offsets, as its rows are in a call's result."""
    (row,) = runner.run([text], options, with_offsets=True)
    if frame.width is not None:
        row.pad(
            frame.width,
            direction=frame.side,
            pad_id=frame.padding.token_id,
            pad_type_id=frame.padding.token_type_id,
            pad_token=frame.padding.token,
        )
    return [row, *row.overflowing]
