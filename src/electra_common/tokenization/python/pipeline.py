"""From one text to its tokens: added tokens, normalization, words, pieces, in this order.

What it is for: tokens with offsets and word ids. What it is not: anything about pairs, special tokens around a text,
truncation or padding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from electra_common.tokenization.python.added_tokens import AddedTokens
from electra_common.tokenization.python.encoding import Encoding
from electra_common.tokenization.python.normalization import AlignedText, Normalizer
from electra_common.tokenization.python.splitting import words
from electra_common.tokenization.python.unicode_tables import character_table
from electra_common.tokenization.python.wordpiece_model import Piece, WordPieceModel

# No rule reaches over these characters, so that what was found for the stretch between two of them can be remembered.
_STRETCH: Final = re.compile(r"[^ \t\n\r]+")
_REMEMBERED_STRETCHES: Final = 50_000
_LONGEST_REMEMBERED: Final = 40


class Tokens(NamedTuple):
    """The tokens of a stretch of text: columns of one length, with offsets and words counted from its start."""

    ids: Sequence[int]
    texts: Sequence[str]
    offsets: Sequence[tuple[int, int]]
    words: Sequence[int]
    word_count: int


class Pipeline:
    """All that happens to one text.

    Args:
        normalizer: text to aligned text.
        model: word to pieces.
    """

    def __init__(self, normalizer: Normalizer, model: WordPieceModel) -> None:
        self.normalizer = normalizer
        self.model = model
        self.added = AddedTokens(model.vocabulary, normalizer)
        self._remembered: dict[str, Tokens] = {}

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_remembered": {}}

    def encode(self, text: str, *, type_id: int, word: int | None) -> Encoding:
        """Return the tokens of a text, all of the type; with ``word``, all of that word."""
        encoding = Encoding()
        word_count = 0
        for place, found in self._stretches(text):
            encoding.ids += found.ids
            encoding.tokens += found.texts
            encoding.offsets += [(start + place, end + place) for start, end in found.offsets]
            encoding.word_ids += [index + word_count for index in found.words]
            word_count += found.word_count
        length = len(encoding)
        if word is not None:
            encoding.word_ids = [word] * length
        encoding.type_ids = [type_id] * length
        encoding.attention_mask = [1] * length
        encoding.special_tokens_mask = [0] * length
        return encoding

    def _stretches(self, text: str) -> Iterator[tuple[int, Tokens]]:
        """Yield (place in the text, tokens) of each stretch of it."""
        for start, end, number in self.added.split(text, normalized=False):
            if number is not None:
                yield start, Tokens([number], [text[start:end]], [(0, end - start)], [0], 1)
            elif self.added.has_normalized:  # these may have blanks in them
                yield start, self._tokens(text[start:end])
            else:
                for stretch in _STRETCH.finditer(text, start, end):
                    yield stretch.start(), self._remembered_tokens(stretch.group())

    def _remembered_tokens(self, stretch: str) -> Tokens:
        found = self._remembered.get(stretch)
        if found is None:
            found = self._tokens(stretch)
            if len(stretch) <= _LONGEST_REMEMBERED:
                if len(self._remembered) >= _REMEMBERED_STRETCHES:
                    self._remembered.clear()
                self._remembered[stretch] = found
        return found

    def _tokens(self, text: str) -> Tokens:
        aligned = self.normalizer(text)
        ids, texts, offsets, word_ids = [], [], [], []
        count = 0
        for start, pieces in self._words(aligned):
            for piece in pieces:
                ids.append(piece.id)
                texts.append(piece.text)
                offsets.append(aligned.span(start + piece.start, start + piece.end))
                word_ids.append(count)
            count += 1
        return Tokens(ids, texts, offsets, word_ids, count)

    def _words(self, aligned: AlignedText) -> Iterator[tuple[int, Sequence[Piece]]]:
        """Yield (start, pieces) of each word; an added token is a word of one piece."""
        table = character_table(self.normalizer.compat)
        for start, end, number in self.added.split(aligned.text, normalized=True):
            part = aligned.text[start:end]
            if number is None:
                for first, stop in words(part, table):
                    yield start + first, self.model(part[first:stop])
            elif part:
                yield start, [Piece(number, part, 0, len(part))]
