"""What a tokenizer returns: columns by name, and the alignment of tokens, words and characters."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from electra_common.tokenization.alignment import LazyRows
from electra_common.tokenization.backend import Encoding
from electra_common.tokenization.tensors import as_tensor


class CharSpan(NamedTuple):
    """Characters ``start`` to ``end`` (not included) of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens ``start`` to ``end`` (not included) of a row."""

    start: int
    end: int


class BatchEncoding(UserDict[str, Any]):
    """Columns such as ``input_ids`` by name, as items and as attributes; and where each token lies in its text.

    An index gives the :class:`~.backend.Encoding` of a row, a slice the columns cut to some rows. Methods about
    alignment take ``(row, index)``, or the index alone where there is one row; both may count from the end.
    Offsets are indices of characters in the text as it was given; where the text came as words, in each word.

    Args:
        data: the columns.
        encodings: one for each row; without them there is no alignment.
        tensor_type: ``"np"``, ``"pt"`` or ``"tf"`` to convert the columns.
        prepend_batch_axis: make a row of its own out of each column.
        is_fast: whether the rows come from the Rust library.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encodings: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        *,
        is_fast: bool = False,
    ) -> None:
        self.data = {} if data is None else dict(data)
        self._rows: Sequence[Encoding] | None = [encodings] if hasattr(encodings, "ids") else encodings  # type: ignore[list-item]
        self.is_fast = is_fast
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @classmethod
    def _of(cls, data: dict[str, Any], rows: Sequence[Encoding] | None, is_fast: bool) -> BatchEncoding:
        """Make one without looking at the arguments: a call's result, for which every microsecond counts."""
        result = cls.__new__(cls)
        result.data = data
        result._rows = rows
        result.is_fast = is_fast
        return result

    def __getitem__(self, item: str | int | slice) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if isinstance(item, slice):
            return {name: column[item] for name, column in self.data.items()}
        return self._row(item)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "data" or name not in self.data:
            columns = ", ".join(self.__dict__.get("data", ())) or "none"
            raise AttributeError(f"BatchEncoding has no column {name!r}; it has {columns}")
        return self.data[name]

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, dict | UserDict):
            return NotImplemented
        return self._of({**self.data, **other}, self._rows, self.is_fast)

    def __ror__(self, other: Any) -> Any:
        if not isinstance(other, dict | UserDict):
            return NotImplemented
        return self._of({**other, **self.data}, self._rows, self.is_fast)

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "rows": self._rows, "is_fast": self.is_fast}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data = state["data"]
        self._rows = state["rows"]
        self.is_fast = state["is_fast"]

    # Rows -------------------------------------------------------------------------------------------------------------

    @property
    def encodings(self) -> list[Encoding] | None:
        """One for each row, or None where there is no alignment."""
        return None if self._rows is None else list(self._rows)

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs; None where there is no alignment."""
        return self._rows[0].n_sequences if self._rows else None

    def _row(self, index: int) -> Encoding:
        if self._rows is None:
            raise ValueError(
                "no alignment: this BatchEncoding was made from columns alone (by pad, prepare_for_model or by hand); "
                "call a tokenizer on texts instead"
            )
        return self._rows[_positive(index, len(self._rows), "row")]

    def _row_and_index(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """``(row, index)``, or the index alone, which means row 0."""
        return (self._row(0), first) if second is None else (self._row(first), second)

    def _row_and_token(self, first: int, second: int | None) -> tuple[Encoding, int]:
        row, token = self._row_and_index(first, second)
        return row, _positive(token, len(row), "token")

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the pieces of a row."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token 0 or 1, the sequence it belongs to; None for special tokens."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token the index of its word in its sequence; None for special tokens."""
        return self._row(batch_index).word_ids

    # Tokens -----------------------------------------------------------------------------------------------------------

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return the sequence, 0 or 1, that a token belongs to; None for special tokens."""
        row, token = self._row_and_token(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return the index of a token's word in its sequence; None for special tokens."""
        row, token = self._row_and_token(batch_or_token_index, token_index)
        return row.word_ids[token]

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """Return the characters that a token stands for; None for special tokens."""
        row, token = self._row_and_token(batch_or_token_index, token_index)
        return CharSpan(*row.offsets[token]) if row.sequence_ids[token] is not None else None

    # Words ------------------------------------------------------------------------------------------------------------

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Return the tokens of a word; None where it was cut off."""
        row, word = self._row_and_index(batch_or_word_index, word_index)
        word = self._word(row, word, sequence_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Return the characters of a word; None where it was cut off."""
        row, word = self._row_and_index(batch_or_word_index, word_index)
        word = self._word(row, word, sequence_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    @staticmethod
    def _word(row: Encoding, word: int, sequence: int) -> int:
        if word >= 0:
            return word
        words = [
            index
            for index, owner in zip(row.word_ids, row.sequence_ids, strict=True)
            if owner == sequence and index is not None
        ]
        return _positive(word, max(words, default=-1) + 1, "word")

    # Characters -------------------------------------------------------------------------------------------------------

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the token that a character belongs to; None for white space and what was cut off."""
        row, char = self._row_and_char(batch_or_char_index, char_index, sequence_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the word that a character belongs to; None for white space and what was cut off."""
        row, char = self._row_and_char(batch_or_char_index, char_index, sequence_index)
        return row.char_to_word(char, sequence_index)

    def _row_and_char(self, first: int, second: int | None, sequence: int) -> tuple[Encoding, int]:
        row, char = self._row_and_index(first, second)
        if char < 0:
            if not isinstance(self._rows, LazyRows):
                raise ValueError("characters cannot be counted from the end here: the text is not known")
            length = self._rows.text_length(0 if second is None else first, sequence)
            char = _positive(char, length, "character")
        return row, char

    # Tensors ----------------------------------------------------------------------------------------------------------

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Convert all columns in place, and return self.

        Raises:
            ValueError: a column's rows differ in length.
        """
        if tensor_type is not None:
            for name, column in self.data.items():
                self.data[name] = as_tensor([column] if prepend_batch_axis else column, tensor_type, name=name)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move all PyTorch tensors to a device, in place, and return self.

        Raises:
            ValueError: a column is no PyTorch tensor.
        """
        for name, column in self.data.items():
            if not hasattr(column, "to"):
                raise ValueError(f"{name} is a {type(column).__name__}, not a PyTorch tensor; pass return_tensors='pt'")
            self.data[name] = column.to(device, non_blocking=non_blocking)
        return self


def _positive(index: int, count: int, what: str) -> int:
    if not -count <= index < count:
        raise IndexError(f"{what} {index} of {count}")
    return index % count
