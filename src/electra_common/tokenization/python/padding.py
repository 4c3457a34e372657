"""How short rows of tokens are filled up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from electra_common.tokenization.python.encoding import Encoding
from electra_common.tokenization.python.truncation import Direction, check_choice, check_size


@dataclass(frozen=True)
class Padding:
    """How to pad; see ``PythonBackend.enable_padding``."""

    direction: Direction = "right"
    pad_id: int = 0
    pad_type_id: int = 0
    pad_token: str = "[PAD]"
    length: int | None = None
    pad_to_multiple_of: int | None = None

    def __post_init__(self) -> None:
        check_choice("direction", self.direction, Direction)
        for name in ("pad_id", "pad_type_id", "length", "pad_to_multiple_of"):
            if (value := getattr(self, name)) is not None:
                check_size(name, value)

    def apply(self, encodings: Sequence[Encoding]) -> None:
        """Fill all up to the fixed length or the longest, and on to the next multiple; longer ones stay."""
        if not encodings:
            return
        length = max(map(len, encodings)) if self.length is None else self.length
        if self.pad_to_multiple_of:
            length += -length % self.pad_to_multiple_of
        for encoding in encodings:
            self._fill(encoding, length)

    def _fill(self, encoding: Encoding, length: int) -> None:
        for window in encoding.overflowing:
            self._fill(window, length)
        missing = length - len(encoding)
        if missing <= 0:
            return
        filling: dict[str, list[object]] = {
            "ids": [self.pad_id],
            "type_ids": [self.pad_type_id],
            "tokens": [self.pad_token],
            "word_ids": [None],
            "offsets": [(0, 0)],
            "special_tokens_mask": [1],
            "attention_mask": [0],
        }
        for name, value in filling.items():
            column = getattr(encoding, name)
            at = len(column) if self.direction == "right" else 0
            column[at:at] = value * missing
        if self.direction == "left":
            ranges = encoding.sequence_ranges.items()
            encoding.sequence_ranges = {i: range(r.start + missing, r.stop + missing) for i, r in ranges}
