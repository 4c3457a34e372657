"""The files of a tokenizer, as transformers lays them out; any subset with a vocabulary in it can be read.

========================= ==============================================================================
``vocab.txt``             WordPiece's pieces
``tokenizer.json``        the whole tokenizer as the Rust library writes it
``tokenizer_config.json`` arguments of the constructor; newer ones hold the added tokens as well
``special_tokens_map.json`` names of special tokens, where the config does not say
``added_tokens.json``     ``{token: id}`` of what was added to the vocabulary
========================= ==============================================================================

All of it is untrusted; sizes are checked before anything is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders

from electra_common.config_json import read_config_file
from electra_common.json_files import read_json_file, read_small_file
from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.vocabulary import check_ids_stay, vocabulary_bytes
from electra_common.weights.errors import CheckpointError
from electra_common.weights.hub import TOKENIZER_FILES, resolve_path
from electra_common.weights.own_files import is_own_file

if TYPE_CHECKING:
    from electra_common.tokenization.base import TokenizerBase

MAX_JSON_BYTES: Final = 64 << 20
_TOKEN_FIELDS: Final = ("lstrip", "rstrip", "single_word", "normalized", "special")
_ARGUMENTS: Final = frozenset({
    "do_lower_case", "strip_accents", "tokenize_chinese_chars", "never_split", "compat", "model_max_length",
    "padding_side", "truncation_side", "model_input_names", "split_special_tokens", "additional_special_tokens",
    "add_prefix_space", "trim_offsets", "clean_up_tokenization_spaces", *special.NAMES,
})  # fmt: skip
# Of these transformers makes a BertTokenizer, with a decoder of its own in place of the file's.
_CLASSES_OF_BERT: Final = ("BertTokenizer", "BertTokenizerFast", "ElectraTokenizer", "ElectraTokenizerFast")
_ANY_CLASS: Final = "PreTrainedTokenizerFast"
# Written anew, or of no meaning to this library.
_NOT_KEPT: Final = frozenset({
    "tokenizer_class", "added_tokens_decoder", "name_or_path", "special_tokens_map_file", "tokenizer_file",
    "vocab_file", "extra_special_tokens", "max_len", "do_basic_tokenize", "backend", "is_local",
})  # fmt: skip


def find_tokenizer(
    name_or_path: str | Path, *, revision: str | None, cache_dir: str | Path | None, local_files_only: bool
) -> Path:
    """Return the local folder or file of a tokenizer; see :func:`electra_common.weights.hub.resolve_path`."""
    return resolve_path(
        name_or_path,
        revision=revision,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        only=("config.json", *TOKENIZER_FILES),  # the config says how long a model's inputs may be
    )


def open_rust_tokenizer(file: Path) -> Tokenizer:
    """Read a ``tokenizer.json``.

    Raises:
        CheckpointError: the file cannot be read, or is not one.
    """
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{file}: over {MAX_JSON_BYTES >> 20} MiB, too large for a tokenizer")
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: cannot be read as a tokenizer: {error}") from None
    _check_ids(file, content)
    try:
        return Tokenizer.from_str(content)
    except BaseException as error:  # a panic of the Rust library is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise CheckpointError(f"{file}: not a tokenizer that the tokenizers library reads: {error}") from None


def _check_ids(file: Path, content: str) -> None:
    """Refuse an id that no vocabulary of the file's size has: the library makes room for every smaller one."""
    try:
        vocabulary = json.loads(content)["model"]["vocab"]
        highest = max(vocabulary.values())
        is_too_high = highest > len(content)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return  # the library says what is wrong with it, or it is of a kind that counts its pieces
    if is_too_high:
        raise CheckpointError(
            f"{file}: an id of its vocabulary is {highest}, more than {len(content)} characters can list"
        )


class ListedToken(NamedTuple):
    """An added token that files list: its id, and whether they say how it is matched."""

    number: int
    token: AddedToken
    is_exact: bool


_NONE_ADDED: Final[Mapping[int, AddedToken]] = {}


@dataclass
class TokenizerFolder:
    """What the files of a tokenizer say."""

    path: Path
    vocabulary: Path | None
    tokenizer: Path | None
    config: dict[str, Any] = field(default_factory=dict)
    special: dict[str, Any] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)
    max_positions: int | None = None

    @classmethod
    def read(cls, path: Path) -> TokenizerFolder:
        """Look at a folder, or at one file of it, which is then the vocabulary.

        Raises:
            CheckpointError: there is no vocabulary, or a file is damaged.
        """
        is_folder = path.is_dir()
        folder = path if is_folder else path.parent
        vocabulary, tokenizer = folder / "vocab.txt", folder / "tokenizer.json"
        if not is_folder:
            is_json = path.suffix == ".json"
            vocabulary, tokenizer = (Path(), path) if is_json else (path, Path())
        result = cls(
            path,
            vocabulary if vocabulary.is_file() else None,
            tokenizer if tokenizer.is_file() else None,
            _read_json(folder / "tokenizer_config.json"),
            _read_json(folder / "special_tokens_map.json"),
            _read_json(folder / "added_tokens.json"),
            _max_positions(folder / "config.json"),
        )
        if result.vocabulary is None and result.tokenizer is None:
            raise CheckpointError(f"{path}: holds no tokenizer; expected vocab.txt or tokenizer.json")
        if any(not isinstance(index, int) for index in result.added.values()):
            raise CheckpointError(f"{folder / 'added_tokens.json'}: expected {{token: id}}")
        return result

    def open_tokenizer(self) -> Tokenizer:
        """Read the ``tokenizer.json``; WordPiece decodes as transformers' ``AutoTokenizer`` would for this folder.

        Raises:
            CheckpointError: the file cannot be read, or is not one.
        """
        assert self.tokenizer is not None
        result = open_rust_tokenizer(self.tokenizer)
        name = self.config.get("tokenizer_class")
        is_of_bert = self.max_positions is not None if name is None else name in _CLASSES_OF_BERT
        if is_of_bert and isinstance(result.decoder, decoders.WordPiece):
            result.decoder = decoders.WordPiece(prefix=result.decoder.prefix, cleanup=True)
        return result

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a constructor that the files give.

        Raises:
            CheckpointError: a setting that this library does not have.
        """
        if self.config.get("do_basic_tokenize", True) is not True:
            raise CheckpointError(f"{self.path}: do_basic_tokenize=false is not supported: such text comes as words")
        named = {name: value for name, value in self.special.items() if name in _ARGUMENTS}
        result = {**named, **{name: value for name, value in self.config.items() if name in _ARGUMENTS}}
        extra = self.config.get("extra_special_tokens", self.special.get("extra_special_tokens"))
        if isinstance(extra, list) and extra:
            result["additional_special_tokens"] = extra
        flagged = self._flagged_tokens()
        for name in special.NAMES:
            if name in result:
                result[name] = self._token(result[name], flagged)
        if (listed := result.get("additional_special_tokens")) is not None:
            if not isinstance(listed, list):
                raise CheckpointError(f"{self.path}: additional_special_tokens: expected a list, found {listed!r:.80}")
            result["additional_special_tokens"] = [self._token(token, flagged) for token in listed]
        limit = result.get("model_max_length", self.config.get("max_len", self.max_positions))
        check_length_limit(self.path, limit)
        # transformers writes 1e30 for "none", as a whole number or not.
        result["model_max_length"] = None if limit is None or limit > 1e20 else int(limit)
        return {name: value for name, value in result.items() if value is not None}

    def unknown_settings(self) -> dict[str, Any]:
        """Return what ``tokenizer_config.json`` says beyond that; it is written back."""
        return {name: value for name, value in self.config.items() if name not in _ARGUMENTS | _NOT_KEPT}

    def absent_tokens(self) -> list[str]:
        """Return the names of special tokens of which the config says that there are none."""
        config = {name for name in special.NAMES if self.config.get(name, "") is None}
        return [name for name in special.NAMES if name in config and self.special.get(name) is None]

    def _flagged_tokens(self) -> dict[str, AddedToken]:
        """Return the tokens of which special_tokens_map.json says how they match, where the config does not."""
        if "added_tokens_decoder" in self.config:
            return {}
        values = [self.special.get(name) for name in special.NAMES]
        additional = self.special.get("additional_special_tokens")
        values += additional if isinstance(additional, list) else []
        return {token.content: token for token in map(self._token, values) if isinstance(token, AddedToken)}

    def _token(self, value: Any, flagged: Mapping[str, AddedToken] | None = None) -> str | AddedToken | None:
        if value is None:
            return None
        if isinstance(value, str):
            return (flagged or {}).get(value, value)
        if isinstance(value, dict) and isinstance(value.get("content"), str):
            flags = {name: value[name] for name in _TOKEN_FIELDS if name in value}
            if all(isinstance(flag, bool) for flag in flags.values()):
                return AddedToken(value["content"], **{"special": True, "normalized": False, **flags})
        raise CheckpointError(f"{self.path}: expected a special token, found {value!r:.80}")

    def added_tokens(self, also: Mapping[int, AddedToken] = _NONE_ADDED) -> dict[str, ListedToken]:
        """Return what was added to the vocabulary, by text.

        Args:
            also: tokens of a ``tokenizer.json``, by their ids; where the config says otherwise it counts.

        Raises:
            CheckpointError: the files do not list tokens.
        """
        listed = {token: ListedToken(index, AddedToken(token), False) for token, index in self._of_old.items()}
        listed |= {token.content: ListedToken(index, token, True) for index, token in also.items()}
        decoder = self.config.get("added_tokens_decoder") or {}
        if not isinstance(decoder, dict) or not all(str(index).isdecimal() for index in decoder):
            raise CheckpointError(f"{self.path}: added_tokens_decoder: expected {{id: token}}")
        for index, value in decoder.items():
            token = self._token(value if isinstance(value, dict) else {"content": value})
            assert isinstance(token, AddedToken)
            listed[token.content] = ListedToken(int(index), token, True)
        return listed

    @property
    def _of_old(self) -> dict[str, int]:
        """The ids of added_tokens.json, which says no more of them; beside a config that lists them it may be old."""
        return {} if "added_tokens_decoder" in self.config else self.added

    def plain_tokens(self, added: Mapping[int, AddedToken]) -> set[str]:
        """Return those of the added tokens of which the files say that they are not special.

        transformers keeps to that where they are among the additional special tokens, but not where they have a name.
        """
        return {token.content for token in added.values() if not token.special and token.content not in self._of_old}

    def add_tokens_to(self, tokenizer: TokenizerBase, also: Mapping[int, AddedToken] = _NONE_ADDED) -> None:
        """Add what the files list and the vocabulary lacks; see :meth:`added_tokens`.

        Raises:
            CheckpointError: a token would get another id than the file says.
        """
        present = {token.content: _token_as_json(token) for token in tokenizer.added_tokens_decoder.values()}
        listed = sorted(self.added_tokens(also).values(), key=lambda item: item.number)
        tokenizer.add_tokens([
            item.token
            for item in listed
            if item.token.content not in present
            or (item.is_exact and present[item.token.content] != _token_as_json(item.token))
        ])  # fmt: skip
        for item in listed:
            found = tokenizer.convert_tokens_to_ids(item.token.content)
            if found != item.number:
                raise CheckpointError(
                    f"{self.path}: the added token {item.token.content!r} has id {item.number} there, "
                    f"and would get {found}"
                )


def folder_files(tokenizer: TokenizerBase) -> dict[str, bytes]:
    """Return the content of all files of a tokenizer, by name."""
    rust = tokenizer._rust_tokenizer()
    content = rust.to_str(pretty=True)
    parts = json.loads(content)
    added = tokenizer.added_tokens_decoder
    beyond = {token.content: index for index, token in added.items() if index >= rust.get_vocab_size(False)}
    config = {
        **tokenizer.settings(),
        "added_tokens_decoder": {str(index): _token_as_json(token) for index, token in sorted(added.items())},
        # transformers makes every ElectraTokenizer a WordPiece with BERT's rules, whatever tokenizer.json says, and
        # with a decoder that cleans up.
        "tokenizer_class": "ElectraTokenizer" if tokenizer.rules and parts["decoder"]["cleanup"] else _ANY_CLASS,
    }
    files: dict[str, bytes] = {}
    if tokenizer._leaves_ids_out:
        # Of a file the library gives added tokens their ids anew.
        check_ids_stay(tokenizer.get_vocab(), Tokenizer.from_str(content).get_vocab(), "tokenizer.json")
    elif parts["model"]["type"] == "WordPiece":
        files["vocab.txt"] = vocabulary_bytes(parts["model"]["vocab"], "vocab.txt")
    files["tokenizer.json"] = content.encode()
    files["tokenizer_config.json"] = _as_json(config)
    files["special_tokens_map.json"] = _as_json(tokenizer.special_tokens_map)
    if beyond:
        files["added_tokens.json"] = _as_json(beyond)
    return files


def read_stored_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a tokenizer in a folder by name, as they stand there; what else the folder holds is not read.

    Raises:
        CheckpointError: one of them is a link that leads elsewhere, no file or too large, or cannot be read.
    """
    found = {}
    for path in (folder / name for name in TOKENIZER_FILES):
        if not is_own_file(path):
            raise CheckpointError(f"{path}: a link that leads elsewhere; put a copy in its place")
        if path.exists():
            found[path.name] = read_small_file(path, MAX_JSON_BYTES, "tokenizer")
    return found


def check_length_limit(file: Path, limit: Any) -> None:
    """Raise CheckpointError unless ``model_max_length``, as a file says it, is a number above 0 or None."""
    is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if limit is not None and not (is_number and limit > 0):
        raise CheckpointError(f"{file}: expected a number above 0 as model_max_length, found {limit!r:.80}")


def _token_as_json(token: AddedToken) -> dict[str, Any]:
    return {"content": token.content, **{name: getattr(token, name) for name in _TOKEN_FIELDS}}


def _as_json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _read_json(file: Path) -> dict[str, Any]:
    return read_json_file(file, MAX_JSON_BYTES, "tokenizer") if file.exists() or file.is_symlink() else {}


def _max_positions(file: Path) -> int | None:
    try:
        positions = read_config_file(file).get("max_position_embeddings")
    except CheckpointError:
        return None
    return positions if isinstance(positions, int) else None
