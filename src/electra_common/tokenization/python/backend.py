"""``PythonBackend``: text to ids with the interface of ``tokenizers.Tokenizer``, in Python.

What it is for: standing where a ``tokenizers.Tokenizer`` with BERT's parts could stand, with the same result for every
call. What it is not: the public tokenizer classes, which put their call surface on top of either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from tokenizers import AddedToken

from electra_common.tokenization.python.decoding import WordPieceDecoder
from electra_common.tokenization.python.encoding import Encoding, merge
from electra_common.tokenization.python.inputs import Words, check_text, check_words, text_and_pair
from electra_common.tokenization.python.normalization import Normalizer
from electra_common.tokenization.python.padding import Padding
from electra_common.tokenization.python.pipeline import Pipeline
from electra_common.tokenization.python.template import SpecialToken, Template
from electra_common.tokenization.python.truncation import Direction, Truncation, TruncationStrategy
from electra_common.tokenization.python.unicode_tables import Compat
from electra_common.tokenization.python.wordpiece_model import WordPieceModel

_LONGEST_WORD: Final[dict[Compat, int]] = {"rust": 100, "google": 200}


class PythonBackend:
    """BERT's tokenizer in Python.

    Args:
        vocabulary: {piece: id}.
        lowercase: fold case.
        strip_accents: drop accents; None does what ``lowercase`` does.
        tokenize_chinese_chars: make each ideograph a word.
        clean_text: drop control characters.
        unk_token: stands for a word that the vocabulary cannot spell.
        sep_token: ends each text.
        pad_token: fills up rows.
        cls_token: starts each row.
        mask_token: stands for a hidden piece.
        max_input_chars_per_word: a longer word is unknown; None is 100, or 200 by Google's rules.
        wordpiece_prefix: starts every piece that continues a word.
        cleanup: decoding takes out the blanks before punctuation and in English contractions.
        compat: ``"rust"`` follows the ``tokenizers`` library, its Unicode tables included, ``"google"`` the original
            code with this Python's Unicode tables.

    Raises:
        ValueError: the vocabulary lacks ``unk_token``, ``cls_token`` or ``sep_token``, or ``compat`` is unknown.

    Source: the behaviour of ``tokenizers.Tokenizer`` made of WordPiece, BertNormalizer, BertPreTokenizer and
    TemplateProcessing; the rules of google-research/electra for ``compat="google"``.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        clean_text: bool = True,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        max_input_chars_per_word: int | None = None,
        wordpiece_prefix: str = "##",
        cleanup: bool = True,
        compat: Compat = "rust",
    ) -> None:
        if compat not in _LONGEST_WORD:
            raise ValueError(f"compat={compat!r}: must be one of {', '.join(map(repr, _LONGEST_WORD))}")
        if missing := [token for token in (unk_token, cls_token, sep_token) if token not in vocabulary]:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}, without which no text has ids; add them")
        longest = _LONGEST_WORD[compat] if max_input_chars_per_word is None else max_input_chars_per_word
        normalizer = Normalizer(lowercase, strip_accents, tokenize_chinese_chars, clean_text, compat)
        self._model = WordPieceModel(dict(vocabulary), unk_token, wordpiece_prefix, longest)
        self._pieces = {number: piece for piece, number in vocabulary.items()}
        self._pipeline = Pipeline(normalizer, self._model)
        self._added = self._pipeline.added
        self._template = Template(*(SpecialToken(token, vocabulary[token]) for token in (cls_token, sep_token)))
        self._truncation: Truncation | None = None
        self._padding: Padding | None = None
        self.decoder = WordPieceDecoder(wordpiece_prefix, cleanup)
        self.add_special_tokens([pad_token, unk_token, cls_token, sep_token, mask_token])

    # Encoding

    def encode(
        self,
        sequence: str | Words,
        pair: str | Words | None = None,
        is_pretokenized: bool = False,
        add_special_tokens: bool = True,
    ) -> Encoding:
        """Encode a text or a pair.

        Args:
            sequence: a text, or its words.
            pair: the second text, or its words.
            is_pretokenized: the texts are given as words. Then offsets count from the start of each word.
            add_special_tokens: put ``[CLS]`` and ``[SEP]`` around the texts.

        Raises:
            TypeError: a text is not a str, or words are not a list or tuple of str.
            ValueError: a text has a lone surrogate, or truncation is not possible as asked for.
        """
        encoding = self._encode_one(sequence, is_pretokenized, type_id=0)
        second = None if pair is None else self._encode_one(pair, is_pretokenized, type_id=1)
        return self.post_process(encoding, second, add_special_tokens)

    def encode_batch(
        self, inputs: Sequence[object], is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> list[Encoding]:
        """Encode many texts or pairs, and pad all to one length if padding is on.

        Args:
            inputs: each a text or a pair of texts; with ``is_pretokenized``, lists of words or pairs of them.
            is_pretokenized: as for ``encode``.
            add_special_tokens: as for ``encode``.

        Raises:
            TypeError: as ``encode``; the message has the index of the first wrong input.
            ValueError: as ``encode``.
        """
        if isinstance(inputs, str) or not isinstance(inputs, Sequence):
            raise TypeError(f"a batch must be a list of texts or pairs, not {type(inputs).__name__}")
        texts = [text_and_pair(item, is_pretokenized, index) for index, item in enumerate(inputs)]
        encodings = [self.encode(text, pair, is_pretokenized, add_special_tokens) for text, pair in texts]
        if self._padding:
            self._padding.apply(encodings)
        return encodings

    encode_batch_fast = encode_batch

    def post_process(
        self, encoding: Encoding, pair: Encoding | None = None, add_special_tokens: bool = True
    ) -> Encoding:
        """Truncate, put the special tokens around the texts, and pad; the arguments are not changed.

        Raises:
            ValueError: truncation is not possible as asked for.
        """
        if self._truncation:
            reserved = self.num_special_tokens_to_add(pair is not None) if add_special_tokens else 0
            encoding, pair = self._truncation.apply(encoding, pair, reserved)
        processed = self._template.apply(encoding, pair, add_special_tokens)
        if self._padding:
            self._padding.apply([processed])
        return processed

    def set_template(self, cls_token: str, sep_token: str) -> None:
        """Put other special tokens around texts from now on.

        Raises:
            KeyError: a token is not in the vocabulary.
        """
        ids = self.get_vocab()
        self._template = Template(*(SpecialToken(token, ids[token]) for token in (cls_token, sep_token)))

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """How many tokens stand around a text or a pair."""
        return self._template.length(is_pair)

    def _encode_one(self, sequence: str | Words, is_pretokenized: bool, type_id: int) -> Encoding:
        if not is_pretokenized:
            return self._pipeline.encode(check_text(sequence), type_id=type_id, word=None)
        texts = check_words(sequence)
        return merge(self._pipeline.encode(text, type_id=type_id, word=word) for word, text in enumerate(texts))

    # Truncation and padding

    @property
    def truncation(self) -> dict[str, object] | None:
        """The settings of truncation, None where it is off."""
        return asdict(self._truncation) if self._truncation else None

    def enable_truncation(
        self,
        max_length: int,
        *,
        stride: int = 0,
        strategy: TruncationStrategy = "longest_first",
        direction: Direction = "right",
    ) -> None:
        """Make windows of long texts from now on.

        Args:
            max_length: of a window, special tokens included; where they alone are longer, nothing is truncated.
            stride: how many tokens each window shares with the one before.
            strategy: which text of a pair is truncated.
            direction: the side on which the first window loses tokens.

        Raises:
            ValueError: an unknown strategy or direction, a negative number, or a stride that is longer than a window.
        """
        truncation = Truncation(max_length, stride, strategy, direction)
        room = max_length - self.num_special_tokens_to_add(False)
        if 0 <= room < stride:
            raise ValueError(f"stride={stride} is more than the {room} tokens for which {max_length=} leaves room")
        self._truncation = truncation

    def no_truncation(self) -> None:
        """Do not truncate from now on."""
        self._truncation = None

    @property
    def padding(self) -> dict[str, object] | None:
        """The settings of padding, None where it is off."""
        return asdict(self._padding) if self._padding else None

    def enable_padding(
        self,
        direction: Direction = "right",
        pad_id: int = 0,
        pad_type_id: int = 0,
        pad_token: str = "[PAD]",
        length: int | None = None,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        """Pad from now on.

        Args:
            direction: the side that is filled.
            pad_id: fills the ids.
            pad_type_id: fills the types.
            pad_token: fills the tokens.
            length: to fill up to; None takes the longest row of the batch.
            pad_to_multiple_of: then fill on to a multiple of this.

        Raises:
            ValueError: an unknown direction or a negative number.
        """
        self._padding = Padding(direction, pad_id, pad_type_id, pad_token, length, pad_to_multiple_of)

    def no_padding(self) -> None:
        """Do not pad from now on."""
        self._padding = None

    # Vocabulary

    @property
    def encode_special_tokens(self) -> bool:
        """Whether special tokens in a text are split like any other text."""
        return not self._added.match_special

    @encode_special_tokens.setter
    def encode_special_tokens(self, value: bool) -> None:
        self._added.match_special = not value

    def add_tokens(self, tokens: Sequence[str | AddedToken]) -> int:
        """Add tokens that are found in a text before it is split; return how many are new or now match otherwise.

        Raises:
            TypeError: a token is neither a str nor an ``AddedToken``.
        """
        return self._added.add([_added_token(token) for token in tokens])

    def add_special_tokens(self, tokens: Sequence[str | AddedToken]) -> int:
        """Add tokens that decoding can leave out; an ``AddedToken`` is made ``special``.

        Raises:
            TypeError: a token is neither a str nor an ``AddedToken``.
        """
        added = [_added_token(token) for token in tokens]
        for token in added:
            token.special = True
        return self._added.add(added)

    def get_added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Return the added tokens by id."""
        return {number: AddedToken(**rules._asdict()) for number, rules in sorted(self._added.rules.items())}

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return {token: id}."""
        return dict(self._model.vocabulary) | (self._added.ids if with_added_tokens else {})

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """Return how many tokens there are."""
        pieces = self._model.vocabulary
        return len(pieces) + (sum(token not in pieces for token in self._added.ids) if with_added_tokens else 0)

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, None where there is no such token."""
        return self._added.ids.get(token, self._model.vocabulary.get(token))

    def id_to_token(self, id: int) -> str | None:
        """Return the token of an id, None where there is none.

        Raises:
            OverflowError: the id is negative.
        """
        if id < 0:
            raise OverflowError(f"id {id}: must not be negative")
        return self._added.text_of(id) if id in self._added.rules else self._pieces.get(id)

    # Decoding

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text of ids; ids without a token are passed over.

        Raises:
            OverflowError: an id is negative.
        """
        pieces = [piece for piece in map(self.id_to_token, ids) if piece is not None]
        if skip_special_tokens:
            pieces = [piece for piece in pieces if not self._added.is_special(piece)]
        return self.decoder.decode(pieces)

    def decode_batch(self, sequences: Sequence[Sequence[int]], skip_special_tokens: bool = True) -> list[str]:
        """Return the text of each row of ids.

        Raises:
            OverflowError: an id is negative.
        """
        return [self.decode(ids, skip_special_tokens) for ids in sequences]


def _added_token(token: str | AddedToken) -> AddedToken:
    if not isinstance(token, str | AddedToken):
        raise TypeError(f"a token must be a str or an AddedToken, not {type(token).__name__}")
    return AddedToken(token) if isinstance(token, str) else token
