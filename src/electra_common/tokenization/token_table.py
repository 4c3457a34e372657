"""The tokens of a tokenizer: their ids, which of them are special, which were added, and text made of them again."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, overload

from tokenizers import AddedToken

from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.backend import Backend
from electra_common.tokenization.tensors import as_lists

_ADDITIONAL = ("additional_special_tokens", "extra_special_tokens")
# The Rust library takes no ids from here on.
_ID_LIMIT: Final = 1 << 32
# What transformers replaces in a whole text, one after the other. A decoder of WordPiece does so within each piece.
_CLEAN_UP: Final = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"),
    (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class TokenTable:
    """What a tokenizer knows without any text; the part of it that :class:`~.base.TokenizerBase` builds on."""

    bos_token = special.Token("bos_token")
    eos_token = special.Token("eos_token")
    unk_token = special.Token("unk_token")
    sep_token = special.Token("sep_token")
    pad_token = special.Token("pad_token")
    cls_token = special.Token("cls_token")
    mask_token = special.Token("mask_token")
    bos_token_id = special.TokenId("bos_token")
    eos_token_id = special.TokenId("eos_token")
    unk_token_id = special.TokenId("unk_token")
    sep_token_id = special.TokenId("sep_token")
    pad_token_id = special.TokenId("pad_token")
    cls_token_id = special.TokenId("cls_token")
    mask_token_id = special.TokenId("mask_token")

    def __init__(self, backend: Backend, *, clean_up_tokenization_spaces: bool) -> None:
        self._backend = backend
        self._is_shared = False
        self._special: dict[str, str] = {}
        self._additional: list[str] = []
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces

    @property
    def backend_tokenizer(self) -> Any:
        """What does the work: ``tokenizers.Tokenizer``, or its twin in Python."""
        return self._backend

    def _own_backend(self) -> Backend:
        """Return the backend, to be changed; what earlier calls returned keeps the one it was made with."""
        if self._is_shared:
            self._backend = copy.deepcopy(self._backend)
            self._is_shared = False
        return self._backend

    def _on_change(self) -> None:
        """Called after tokens were added."""

    # Vocabulary -------------------------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of pieces, without added tokens; ``len(tokenizer)`` counts those too."""
        return self._backend.get_vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        """Return the highest id and 1, the rows of embeddings that a model needs, even where ids are left out."""
        return max(self._last_piece, max(self._backend.get_added_tokens_decoder(), default=-1)) + 1

    @cached_property
    def _last_piece(self) -> int:
        return max(self._backend.get_vocab(with_added_tokens=False).values(), default=-1)

    @property
    def _leaves_ids_out(self) -> bool:
        return self._last_piece >= self.vocab_size

    @property
    def vocab(self) -> dict[str, int]:
        """``{token: id}``, added tokens included."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """Return ``{token: id}``, added tokens included."""
        return self._backend.get_vocab(with_added_tokens=True)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """``{id: token}`` of all tokens that are matched in the text before it is split; special ones among them."""
        return dict(self._backend.get_added_tokens_decoder())

    def get_added_vocab(self) -> dict[str, int]:
        """Return ``{token: id}`` of those."""
        return {token.content: index for index, token in sorted(self.added_tokens_decoder.items())}

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Make whole tokens of some texts; return how many were new to the vocabulary.

        A model's embeddings then need ``resize_token_embeddings(len(tokenizer))``.

        Args:
            new_tokens: texts, or ``tokenizers.AddedToken`` for those that take white space along, stand for whole
                words only, or are matched in the text as it was before normalisation.
            special_tokens: match them in the text as it was, and count them as special.

        Raises:
            ValueError: ids are left out below the last piece's, and a new token would get one that is taken.
        """
        tokens = [new_tokens] if isinstance(new_tokens, str | AddedToken) else list(new_tokens)
        if not tokens:
            return 0
        self._check_next_ids(tokens)
        backend = self._own_backend()
        count = backend.add_special_tokens(tokens) if special_tokens else backend.add_tokens(tokens)
        self._on_change()
        return count

    def _check_next_ids(self, tokens: Iterable[str | AddedToken]) -> None:
        """Refuse new tokens one of which would get a piece's id: the library counts pieces, and does not look."""
        if not self._leaves_ids_out:
            return
        new = {text for text in map(_content, tokens) if text and self._backend.token_to_id(text) is None}
        first = max(self.vocab_size, max(self._backend.get_added_tokens_decoder(), default=-1) + 1)
        for index in range(first, first + len(new)):
            if (owner := self._backend.id_to_token(index)) is not None:
                raise ValueError(f"a new token would get the id {index}, which {owner!r} has")

    # Special tokens ---------------------------------------------------------------------------------------------------

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by name; return how many were new to the vocabulary.

        Args:
            special_tokens_dict: such as ``{"pad_token": "<pad>"}``; a list for ``additional_special_tokens``, None
                for a token there is to be no more.
            replace_additional_special_tokens: forget the earlier ones, rather than add to them.

        Raises:
            ValueError: a name that no special token has, or what is no token. Then nothing was changed.
        """
        return self._name_special_tokens(special_tokens_dict, replace_additional=replace_additional_special_tokens)

    def _name_special_tokens(
        self, tokens: Mapping[str, Any], *, replace_additional: bool = True, as_added: Collection[str] = ()
    ) -> int:
        """Do what :meth:`add_special_tokens` does; of the additional ones, some stay as they were added."""
        for name, value in tokens.items():
            _check_special(name, value)
        named, additional = dict(self._special), self._additional
        new: list[str | AddedToken] = []
        for name, value in tokens.items():
            if name in _ADDITIONAL:
                kept = [] if replace_additional else additional
                additional = list(dict.fromkeys([*kept, *map(_content, value)]))
                new += [token for token in value if _content(token) not in as_added]
            elif value is None:
                named.pop(name, None)
            else:
                named[name] = _content(value)
                new.append(value)
        count = self.add_tokens(self._as_special(new), special_tokens=True)
        self._special, self._additional = named, additional
        if {"cls_token", "sep_token"} & set(tokens) and self.cls_token and self.sep_token:
            self._set_template(self.cls_token, self.sep_token)
        self._on_change()
        return count

    def _as_special(self, tokens: Iterable[str | AddedToken]) -> list[AddedToken]:
        """A text becomes a special token that is matched as it stands; one that is special already stays as it is."""
        known = {t.content: t for t in self._backend.get_added_tokens_decoder().values() if t.special}
        return [
            known.get(token, AddedToken(token, special=True, normalized=False)) if isinstance(token, str) else token
            for token in tokens
        ]

    def _set_template(self, cls_token: str, sep_token: str) -> None:
        """Put these around texts, where the rules are WordPiece's; a ``tokenizer.json`` keeps its own."""
        raise NotImplementedError

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a name."""
        return list(self._additional)

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[str | AddedToken]) -> None:
        self.add_special_tokens({"additional_special_tokens": tokens})

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """``{name: token}``, with a list under ``additional_special_tokens`` if there are any."""
        named: dict[str, Any] = {name: self._special[name] for name in special.NAMES if name in self._special}
        return {**named, "additional_special_tokens": list(self._additional)} if self._additional else named

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        named = [self._special[name] for name in special.NAMES if name in self._special]
        return list(dict.fromkeys([*named, *self._additional]))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Between tokens, ids and text -------------------------------------------------------------------------------------

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Return the id of a token, or of each of several; that of the unknown token for what is none."""
        if isinstance(tokens, str):
            index = self._backend.token_to_id(tokens)
            return self.unk_token_id if index is None else index  # type: ignore[return-value]
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: int | Iterable[int], skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or of each of several; None for an id outside the vocabulary."""
        if isinstance(ids, int):
            return self._token_of(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._token_of(int(index)) for index in ids if int(index) not in skipped]

    def _token_of(self, index: int) -> str | None:
        return self._backend.id_to_token(index) if index < _ID_LIMIT else None

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Return the text that the tokenizer's decoder makes of tokens."""
        decoder = self._backend.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    def _clean_up(self, text: str) -> str:
        for blank, joined in _CLEAN_UP:
            text = text.replace(blank, joined)
        return text

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """Return the text of a row of ids, or of each of several rows: lists, arrays or tensors.

        Args:
            token_ids: an id, a row or rows of them.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: take out blanks around apostrophes and before punctuation in the whole text,
                but for BPE, whose texts have their blanks as they were; None for the tokenizer's own setting. Whatever
                is set, WordPiece's decoder joins punctuation to the word before it, unless a file says it does not.

        Raises:
            ValueError: an id is negative or not a whole number.
        """
        ids = as_lists(token_ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        ids = [ids] if isinstance(ids, int) else ids
        if not all(isinstance(index, int) and index >= 0 for index in ids):
            raise ValueError(
                f"ids are whole numbers from 0, found {next(i for i in ids if not isinstance(i, int) or i < 0)!r}"
            )
        clean_up = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        skipped = self._skipped_ids if skip_special_tokens else ()
        tokens = [token for index in ids if index not in skipped and (token := self._token_of(index)) is not None]
        text = self.convert_tokens_to_string(tokens)
        return self._clean_up(text) if clean_up else text

    @cached_property
    def _skipped_ids(self) -> frozenset[int]:
        """What :meth:`decode` leaves out; to ask the backend for its added tokens takes time where there are many."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(index for index, token in added.items() if token.special)

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """Return the text of each of several rows; see :meth:`decode`."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in as_lists(sequences)]


def _check_special(name: str, value: Any) -> None:
    """Refuse a name that no special token has, and what is no token, or no list of them."""
    if name in _ADDITIONAL:
        if not isinstance(value, list | tuple) or not all(isinstance(token, str | AddedToken) for token in value):
            raise ValueError(f"{name} must be a list of texts or AddedTokens, found {value!r:.80}")
    elif name not in special.NAMES:
        raise ValueError(f"no special token is called {name!r}; known: {', '.join((*special.NAMES, *_ADDITIONAL))}")
    elif not isinstance(value, str | AddedToken | None):
        raise ValueError(f"{name} must be a text, an AddedToken or None, found {value!r:.80}")


def _content(token: str | AddedToken) -> str:
    return token.content if isinstance(token, AddedToken) else token
