"""One encoded text or pair: ids, and for each token its text, offsets, word and sequence.

What it is for: the fields and methods of ``tokenizers.Encoding``, with the same results. What it is not: any rule for
where to cut (``truncation.py``) or how far to fill (``padding.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

Span = tuple[int, int]

# The fields with an entry for each token.
_COLUMNS = ("ids", "type_ids", "tokens", "word_ids", "offsets", "special_tokens_mask", "attention_mask")


@dataclass(slots=True)
class Encoding:
    """The tokens of a text or of a pair of texts; all lists are of one length, [tokens].

    Attributes:
        ids: the vocabulary's.
        type_ids: 0 for the first text, 1 for the second.
        tokens: the pieces as text.
        word_ids: index of the word in its text, None for what comes from no text.
        offsets: (start, end) in the original text, in characters.
        special_tokens_mask: 1 for what the template or padding put in.
        attention_mask: 0 for padding.
        overflowing: the windows that truncation cut off, each an encoding of its own.
        sequence_ranges: {index of the text: where its tokens stand}; empty means one text that is all of it.
    """

    ids: list[int] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    word_ids: list[int | None] = field(default_factory=list)
    offsets: list[Span] = field(default_factory=list)
    special_tokens_mask: list[int] = field(default_factory=list)
    attention_mask: list[int] = field(default_factory=list)
    overflowing: list[Encoding] = field(default_factory=list)
    sequence_ranges: dict[int, range] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        names = ", ".join(item.name for item in fields(self))
        return f"Encoding(num_tokens={len(self)}, attributes=[{names}])"

    @property
    def n_sequences(self) -> int:
        """How many texts are in it."""
        return len(self.sequence_ranges) or 1

    @property
    def sequence_ids(self) -> list[int | None]:
        """For each token the index of its text; None for what comes from no text."""
        found: list[int | None] = [None] * len(self)
        for index in range(self.n_sequences):
            for position in self._tokens_of(index):
                found[position] = index
        return found

    def set_sequence_id(self, sequence_id: int) -> None:
        """Declare all tokens to be of the text of this index."""
        self.sequence_ranges[sequence_id] = range(len(self))

    def copy(self) -> Encoding:
        """Return an encoding that shares nothing which changes."""
        columns = {name: list(getattr(self, name)) for name in _COLUMNS}
        windows = [window.copy() for window in self.overflowing]
        return Encoding(**columns, overflowing=windows, sequence_ranges=dict(self.sequence_ranges))

    def part(self, start: int, stop: int) -> Encoding:
        """Return some of the tokens; of which texts they are is not kept."""
        return Encoding(**{name: getattr(self, name)[start:stop] for name in _COLUMNS})

    def pad(
        self, length: int, *, direction: str = "right", pad_id: int = 0, pad_type_id: int = 0, pad_token: str = "[PAD]"
    ) -> None:
        """Fill this and its overflowing windows up to a length, in place; what is longer stays as it is."""
        for window in self.overflowing:
            window.pad(length, direction=direction, pad_id=pad_id, pad_type_id=pad_type_id, pad_token=pad_token)
        missing = length - len(self)
        if missing <= 0:
            return
        filling = (pad_id, pad_type_id, pad_token, None, (0, 0), 1, 0)
        for name, value in zip(_COLUMNS, filling, strict=True):
            column = getattr(self, name)
            at = len(column) if direction == "right" else 0
            column[at:at] = [value] * missing
        if direction == "left":
            ranges = self.sequence_ranges.items()
            self.sequence_ranges = {index: range(at.start + missing, at.stop + missing) for index, at in ranges}

    def append(self, other: Encoding) -> None:
        """Put another encoding behind this one; their overflowing windows are combined, each with each."""
        windows = []
        for window in self.overflowing:
            windows += [window.followed_by(part) for part in (other, *other.overflowing)]
        first = replace(self, overflowing=list(self.overflowing))
        windows += [first.followed_by(part) for part in other.overflowing]
        length = len(self)
        for index, tokens in other.sequence_ranges.items():
            self.sequence_ranges[index] = range(length + tokens.start, length + tokens.stop)
        for name in _COLUMNS:
            getattr(self, name).extend(getattr(other, name))
        self.overflowing = windows

    def followed_by(self, other: Encoding) -> Encoding:
        """Return this encoding followed by another one."""
        both = self.copy()
        both.append(other)
        return both

    def _tokens_of(self, sequence: int) -> range:
        return self.sequence_ranges.get(sequence, range(len(self)))

    def token_to_sequence(self, token_index: int) -> int | None:
        """Return the index of the text that a token comes from."""
        if _unsigned(token_index) > len(self):
            return None
        if not self.sequence_ranges:
            return 0
        return next((index for index, tokens in self.sequence_ranges.items() if token_index in tokens), None)

    def token_to_chars(self, token_index: int) -> Span | None:
        """Return the offsets of a token that comes from a text."""
        if self.token_to_sequence(token_index) is None or token_index >= len(self):
            return None
        return self.offsets[token_index]

    def token_to_word(self, token_index: int) -> int | None:
        """Return the index of the word that a token is of."""
        if self.token_to_sequence(token_index) is None or token_index >= len(self):
            return None
        return self.word_ids[token_index]

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """Return the first token that covers a character of a text."""
        _unsigned(char_pos), _unsigned(sequence_index)
        for index in self._tokens_of(sequence_index):
            start, end = self.offsets[index]
            if start <= char_pos < end:
                return index
        return None

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """Return the index of the word that covers a character of a text."""
        token = self.char_to_token(char_pos, sequence_index)
        return None if token is None else self.token_to_word(token)

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> Span | None:
        """Return (first, last + 1) of the tokens of a word."""
        _unsigned(word_index), _unsigned(sequence_index)
        found = []
        for index in self._tokens_of(sequence_index):
            word = self.word_ids[index]
            if word is not None and word > word_index:
                break
            if word == word_index:
                found.append(index)
        return (found[0], found[-1] + 1) if found else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> Span | None:
        """Return the offsets of a word."""
        tokens = self.word_to_tokens(word_index, sequence_index)
        return tokens and (self.offsets[tokens[0]][0], self.offsets[tokens[1] - 1][1])


def merge(encodings: Iterable[Encoding]) -> Encoding:
    """Join encodings, one after the other."""
    merged = Encoding()
    for encoding in encodings:
        merged.append(encoding)
    return merged


def _unsigned(number: int) -> int:
    if not isinstance(number, int):
        raise TypeError(f"an index must be an int, not {type(number).__name__}")
    if number < 0:
        raise OverflowError(f"index {number}: must not be negative")
    return number
