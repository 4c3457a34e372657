"""Calling a tokenizer on rows of ids that are already there: special tokens, cutting, filling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from electra_common.tokenization.batch_encoding import BatchEncoding
from electra_common.tokenization.call_options import check_tensors, resolve_cut_and_fill
from electra_common.tokenization.columns import (
    ATTENTION_MASK,
    INPUT_IDS,
    LENGTH,
    SPECIAL_TOKENS_MASK,
    TOKEN_TYPE_IDS,
)
from electra_common.tokenization.sequences import check_widths, pad_columns, truncate
from electra_common.tokenization.tensors import as_lists
from electra_common.tokenization.text_calls import TextCalls


class IdCalls(TextCalls):
    """The methods of a tokenizer that take ids instead of texts."""

    # Special tokens around sequences ----------------------------------------------------------------------------------

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens a row of one text, or of a pair, has."""
        return self._backend.num_special_tokens_to_add(pair)

    @property
    def max_len_single_sentence(self) -> int:
        """Most tokens of a text that the model takes, beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Most tokens of a pair of texts that the model takes, beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return a row: ``[CLS] A [SEP]``, or ``[CLS] A [SEP] B [SEP]``."""
        if token_ids_1 is None:
            return self._single_layout.ids(token_ids_0)
        return self._pair_layout.ids(token_ids_0, token_ids_1)

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return that row's token types: 0 for the first sequence, 1 for the second and the ``[SEP]`` behind it."""
        if token_ids_1 is None:
            return self._single_layout.type_ids(token_ids_0)
        return self._pair_layout.type_ids(token_ids_0, token_ids_1)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for each special token of that row; or of ``token_ids_0``, if that is such a row already.

        Raises:
            ValueError: two sequences that already have special tokens.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError("a row that already has its special tokens comes alone: leave token_ids_1 out")
            special = set(self.all_special_ids)
            return [int(int(index) in special) for index in token_ids_0]
        if token_ids_1 is None:
            return self._single_layout.special_tokens_mask(token_ids_0)
        return self._pair_layout.special_tokens_mask(token_ids_0, token_ids_1)

    # Cutting ----------------------------------------------------------------------------------------------------------

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Take ids away on the tokenizer's truncation side; return both sequences, and what was cut off.

        What was cut off begins with ``stride`` ids of what was kept. It is empty for a pair and ``"longest_first"``.

        Raises:
            ValueError: a sequence is too short, or the strategy is unknown.
        """
        return truncate(
            list(ids),
            None if pair_ids is None else list(pair_ids),
            remove=num_tokens_to_remove,
            strategy=truncation_strategy,
            stride=stride,
            side=self.truncation_side,
        )

    def prepare_for_model(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
    ) -> BatchEncoding:
        """Make a row of ids: cut, special tokens added, filled; the arguments are those of a call on text.

        With ``return_overflowing_tokens`` what is cut off is in ``overflowing_tokens``, and how many ids had to go in
        ``num_truncated_tokens``. As in transformers, both are there only where ids were cut off, and not among tensors.

        Raises:
            ValueError: an argument is wrong, or overflow is asked for where two sequences are cut at once.
        """
        cut, _ = resolve_cut_and_fill(
            padding=padding, truncation=truncation, max_length=max_length, stride=stride,
            pad_to_multiple_of=pad_to_multiple_of, padding_side=self._side(padding_side),
            truncation_side=self.truncation_side, model_max_length=self.model_max_length, verbose=verbose,
        )  # fmt: skip
        if return_overflowing_tokens and pair_ids is not None and cut is not None and cut.strategy == "longest_first":
            raise ValueError("what 'longest_first' cuts off a pair is not returned; use 'only_first' or 'only_second'")
        row = [ids] if pair_ids is None else [ids, pair_ids]
        special = self.num_special_tokens_to_add(pair_ids is not None) if add_special_tokens else 0
        excess = 0 if cut is None else sum(map(len, row)) + special - cut.max_length
        first, second, cut_off = self.truncate_sequences(
            ids, pair_ids, excess, "do_not_truncate" if cut is None else cut.strategy, stride
        )
        columns = self._columns_of_ids(first, second, add_special_tokens)
        wanted = {TOKEN_TYPE_IDS: return_token_type_ids, SPECIAL_TOKENS_MASK: return_special_tokens_mask}
        for name, is_wanted in wanted.items():
            if not (name in self.model_input_names if is_wanted is None else is_wanted):
                del columns[name]
        result: dict[str, Any] = self.pad(
            columns, padding=padding, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side, return_attention_mask=return_attention_mask, verbose=False,
        ).data  # fmt: skip
        if return_overflowing_tokens and cut_off and return_tensors is None:
            result.update(overflowing_tokens=cut_off, num_truncated_tokens=excess)
        if return_length:
            result[LENGTH] = len(result[INPUT_IDS])
        return BatchEncoding(result, tensor_type=return_tensors, prepend_batch_axis=prepend_batch_axis)

    def _columns_of_ids(self, first: list[int], second: list[int] | None, with_special: bool) -> dict[str, list[int]]:
        if with_special:
            return {
                INPUT_IDS: self.build_inputs_with_special_tokens(first, second),
                TOKEN_TYPE_IDS: self.create_token_type_ids_from_sequences(first, second),
                SPECIAL_TOKENS_MASK: self.get_special_tokens_mask(first, second),
            }
        ids = first + (second or [])
        return {
            INPUT_IDS: ids,
            TOKEN_TYPE_IDS: [0] * len(first) + [1] * len(second or ()),
            SPECIAL_TOKENS_MASK: [0] * len(ids),
        }

    # Filling ----------------------------------------------------------------------------------------------------------

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Fill rows that are already encoded; fit for the ``collate_fn`` of a PyTorch ``DataLoader``.

        Filled are the columns that a call returns, and with -100 ``labels`` that have one whole number for each token;
        others are left alone.

        Args:
            encoded_inputs: columns, or a list of rows that are columns each; lists, arrays or tensors.
            padding: as in a call, as are the other arguments.
            max_length: with ``padding="max_length"``, by default ``model_max_length``.
            pad_to_multiple_of: fill to a multiple of this.
            padding_side: by default the tokenizer's.
            return_attention_mask: by default as ``model_input_names`` says.
            return_tensors: by default what the columns are: lists, arrays or tensors.
            verbose: warn where ``max_length`` has no effect.

        Raises:
            ValueError: no ``input_ids``, columns of different numbers of rows, or one to make a tensor of that is left
                alone and has rows of different lengths.
        """
        if not isinstance(encoded_inputs, Mapping):
            names = list(encoded_inputs[0]) if encoded_inputs else []
            encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in names}
        if INPUT_IDS not in encoded_inputs:
            raise ValueError(f"expected columns with {INPUT_IDS}, found {', '.join(encoded_inputs) or 'none'}")
        return_tensors = check_tensors(return_tensors) or _kind_of(encoded_inputs[INPUT_IDS])
        columns = {name: as_lists(column) for name, column in encoded_inputs.items()}
        _, fill = resolve_cut_and_fill(
            padding=padding, truncation=False, max_length=max_length, stride=0,
            pad_to_multiple_of=pad_to_multiple_of, padding_side=self._side(padding_side),
            truncation_side=self.truncation_side, model_max_length=self.model_max_length, verbose=verbose,
        )  # fmt: skip
        if fill is not None and self.pad_token_id is None:
            raise ValueError("cannot fill rows: there is no padding token; set tokenizer.pad_token")
        is_single = bool(columns[INPUT_IDS]) and not isinstance(columns[INPUT_IDS][0], list)
        if is_single:
            columns = {name: [column] for name, column in columns.items()}
        wanted = ATTENTION_MASK in self.model_input_names if return_attention_mask is None else return_attention_mask
        filled: dict[str, Any] = pad_columns(columns, fill=fill, padding=self._padding, with_mask=wanted)
        if fill is not None and return_tensors is not None:
            check_widths(filled)
        if is_single:
            filled = {name: column[0] for name, column in filled.items()}
        return BatchEncoding(filled, tensor_type=return_tensors)

    def _side(self, padding_side: str | None) -> str:
        return self.padding_side if padding_side is None else padding_side


def _kind_of(column: Any) -> str | None:
    """Return which kind of tensor a column is, or consists of; None for lists."""
    sample = column[0] if isinstance(column, list | tuple) and column else column
    return {"torch": "pt", "tensorflow": "tf", "numpy": "np"}.get(type(sample).__module__.partition(".")[0])
