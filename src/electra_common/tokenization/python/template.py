"""What is put around the texts: ``[CLS] A [SEP]`` and ``[CLS] A [SEP] B [SEP]``."""

from __future__ import annotations

from typing import NamedTuple

from electra_common.tokenization.python.encoding import Encoding, merge


class SpecialToken(NamedTuple):
    """A token of the template."""

    text: str
    id: int

    def encoding(self, type_id: int) -> Encoding:
        """Return it as an encoding that belongs to no text."""
        return Encoding([self.id], [type_id], [self.text], [None], [(0, 0)], [1], [1])


class Template(NamedTuple):
    """The special tokens around a text or a pair; what belongs to the second text has the type 1."""

    cls: SpecialToken
    sep: SpecialToken

    def length(self, is_pair: bool) -> int:
        """How many tokens it adds."""
        return 3 if is_pair else 2

    def apply(self, encoding: Encoding, pair: Encoding | None, add_special_tokens: bool) -> Encoding:
        """Set types and sequences, and put everything together; the arguments are not changed."""
        parts = [] if not add_special_tokens else [self.cls.encoding(0)]
        for index, text in enumerate((encoding,) if pair is None else (encoding, pair)):
            part = text.copy()
            part.type_ids = [index] * len(part)
            for window in (part, *part.overflowing):
                window.set_sequence_id(index)
            parts.append(part)
            if add_special_tokens:
                parts.append(self.sep.encoding(index))
        return merge(parts)
