"""What ``ElectraTokenizer`` and ``ElectraTokenizerFast`` share: construction from parts, loading and saving."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypedDict

from tokenizers import AddedToken, Tokenizer

from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.backend import Backend
from electra_common.tokenization.columns import MODEL_FIELDS
from electra_common.tokenization.files import TokenizerFolder, find_tokenizer, folder_files
from electra_common.tokenization.id_calls import IdCalls
from electra_common.tokenization.vocabulary import read_vocabulary
from electra_common.tokenization.wordpiece_settings import WordPieceSettings, check_flags, pieces_for
from electra_common.weights.atomic import write_files
from electra_common.weights.errors import CheckpointError

_NAMED_LATER: Final = ("bos_token", "eos_token", "additional_special_tokens")


class TokenizerOptions(TypedDict, total=False):
    """Arguments that both constructors take beside the rules of tokenization."""

    model_max_length: int | None
    padding_side: str
    truncation_side: str
    model_input_names: Sequence[str]
    split_special_tokens: bool
    additional_special_tokens: Sequence[str | AddedToken]
    name_or_path: str


class TokenizerBase(IdCalls):
    """A tokenizer with everything a user calls, on a backend that a subclass makes."""

    rules: WordPieceSettings | None

    def __init__(
        self,
        backend: Backend,
        tokens: Mapping[str, str | AddedToken | None],
        *,
        never_split: Sequence[str] | None,
        clean_up_tokenization_spaces: bool,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        model_input_names: Sequence[str] = MODEL_FIELDS,
        split_special_tokens: bool = False,
        additional_special_tokens: Sequence[str | AddedToken] = (),
        name_or_path: str = "",
    ) -> None:
        check_flags({"split_special_tokens": split_special_tokens})
        for name, texts in (("never_split", never_split or ()), ("model_input_names", model_input_names)):
            is_collection = isinstance(texts, Collection) and not isinstance(texts, str)
            if not is_collection or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{name} must be a list of texts, found {texts!r:.80}")
        super().__init__(
            backend,
            model_max_length=model_max_length,
            padding_side=padding_side,
            truncation_side=truncation_side,
            model_input_names=model_input_names,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            split_special_tokens=split_special_tokens,
            name_or_path=name_or_path,
        )
        self._config_extra: dict[str, Any] = {}
        self.never_split = list(never_split or ())
        named = {name: token for name, token in tokens.items() if token is not None}
        self.add_special_tokens({**named, "additional_special_tokens": additional_special_tokens})
        if self.never_split:
            self._keep_whole(self.never_split)

    def _keep_whole(self, words: Sequence[str]) -> None:
        """Match words in the text as they stand; they must be pieces, or they would need new rows of embeddings."""
        if missing := [word for word in words if self._backend.token_to_id(word) is None]:
            raise ValueError(
                f"never_split: {', '.join(map(repr, missing))} not in the vocabulary; add_tokens makes new tokens"
            )
        special_ids = {index for index, token in self.added_tokens_decoder.items() if token.special}
        plain = [word for word in words if self._backend.token_to_id(word) not in special_ids]  # the others are whole
        self.add_tokens([AddedToken(word, single_word=True, normalized=False) for word in plain])

    # Loading and saving -----------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> Self:
        """Load a tokenizer: a folder with any of its files, a ``vocab.txt``, a ``tokenizer.json``, or a Hub name.

        Args:
            name_or_path: a folder, a file, or ``owner/name`` on the Hub.
            revision: branch, tag or commit on the Hub.
            cache_dir: where downloads are kept.
            local_files_only: never ask the network.
            **overrides: arguments of the constructor, in place of what the files say.

        Raises:
            CheckpointError: no vocabulary is there, or a file is damaged or contradicts another.
            TypeError: an argument that the constructor does not have.
        """
        path = find_tokenizer(name_or_path, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
        folder = TokenizerFolder.read(path)
        settings = folder.arguments()
        # Ids are given out in order, so what the files list comes before special tokens that are only named.
        later: dict[str, Any] = {name: None for name in folder.absent_tokens() if name not in overrides}
        later |= {name: settings.pop(name) for name in _NAMED_LATER if name in settings}
        later |= {name: overrides.pop(name) for name in _NAMED_LATER if name in overrides}
        try:
            tokenizer = cls._from_folder(folder, settings, {"name_or_path": str(name_or_path), **overrides})
            tokenizer._name_special_tokens(later, as_added=folder.plain_tokens(tokenizer.added_tokens_decoder))
        except CheckpointError:
            raise
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from None
        tokenizer._config_extra = folder.unknown_settings()
        return tokenizer

    @classmethod
    def _from_folder(cls, folder: TokenizerFolder, settings: dict[str, Any], overrides: dict[str, Any]) -> Self:
        """Make a tokenizer of files with the tokens they add, their settings, and what the caller says instead."""
        raise NotImplementedError

    @classmethod
    def _from_vocabulary(cls, folder: TokenizerFolder, arguments: Mapping[str, Any]) -> Self:
        assert folder.vocabulary is not None
        return cls._from_pieces(read_vocabulary(folder.vocabulary), folder, arguments, {})

    @classmethod
    def _from_pieces(
        cls,
        pieces: Mapping[str, int],
        folder: TokenizerFolder,
        arguments: Mapping[str, Any],
        added: Mapping[int, AddedToken],
        unk_token: str | None = None,
    ) -> Self:
        """Make a tokenizer of pieces, and then of what was added to them: a special token may be one of those.

        Args:
            pieces: of the model.
            folder: lists added tokens, and is named in errors.
            arguments: of the constructor.
            added: more of them, of a ``tokenizer.json``, by their ids.
            unk_token: the piece that stands for unknown words, if ``unk_token`` among the arguments may be another.
        """
        names = {name: arguments[name] for name in special.ELECTRA if arguments.get(name) is not None}
        wanted = names if unk_token is None else {**names, "unk_token": unk_token}
        at_first = pieces_for(wanted, pieces, folder.added_tokens(added), str(folder.path))
        tokenizer = cls(pieces, **{**arguments, **at_first})  # type: ignore[arg-type]
        folder.add_tokens_to(tokenizer, added)
        tokenizer.add_special_tokens({name: token for name, token in names.items() if token is not at_first[name]})
        return tokenizer

    def save_pretrained(self, folder: str | Path) -> tuple[str, ...]:
        """Write all files that a tokenizer has, as transformers names them, and return their paths.

        ``vocab.txt`` for WordPiece that leaves no ids out, ``tokenizer.json``, ``tokenizer_config.json``,
        ``special_tokens_map.json`` and, if tokens were added, ``added_tokens.json``.

        Raises:
            CheckpointError: the folder cannot be written, or an added token would be read with another id.
        """
        files = folder_files(self)
        write_files(Path(folder), files)
        return tuple(str(Path(folder) / name) for name in files)

    def save_vocabulary(self, folder: str | Path) -> tuple[str, ...]:
        """Write ``vocab.txt`` alone, and return its path.

        Raises:
            CheckpointError: the folder cannot be written, or the vocabulary is not WordPiece's or leaves ids out.
        """
        files = {name: content for name, content in folder_files(self).items() if name == "vocab.txt"}
        if not files:
            raise CheckpointError(
                "only WordPiece that leaves no ids out has a vocab.txt; save_pretrained writes a tokenizer.json"
            )
        write_files(Path(folder), files)
        return tuple(str(Path(folder) / name) for name in files)

    def settings(self) -> dict[str, Any]:
        """Return the arguments of the constructor that ``tokenizer_config.json`` keeps."""
        return {
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "model_input_names": list(self.model_input_names),
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "split_special_tokens": self.split_special_tokens,
            **{name: self._special.get(name) for name in special.NAMES if name in {*special.ELECTRA, *self._special}},
            **({"additional_special_tokens": list(self._additional)} if self._additional else {}),
            **({"never_split": self.never_split} if self.never_split else {}),
            **self._rule_settings(),
            **self._config_extra,
        }

    def _rule_settings(self) -> dict[str, Any]:
        """Return what the constructor was told of the rules of tokenization."""
        raise NotImplementedError

    def _rust_tokenizer(self) -> Tokenizer:
        """Return the Rust library's tokenizer that does the same."""
        raise NotImplementedError
