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
            encoding.pad(
                length,
                direction=self.direction,
                pad_id=self.pad_id,
                pad_type_id=self.pad_type_id,
                pad_token=self.pad_token,
            )
