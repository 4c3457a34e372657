"""What the files of a run tell of it, checked where they are read: they may be damaged, or come from anywhere.

What it is for: cards and tokenizers of exported models. Whatever is wrong ends in one line that names the file.
What it is not: going on with a run (:mod:`electra_common.runs.run_folder`), or reading its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from electra_common.json_files import parse_json_file, read_json_file
from electra_common.runs.folder_names import TOKENIZER_FOLDER
from electra_common.runs.run_folder import DATA_FILE, MOST_BYTES, RUN_FILE
from electra_common.tokenization.files import check_length_limit, read_stored_files
from electra_common.weights.errors import CheckpointError
from electra_common.weights.hub import VOCABULARY_FILES
from electra_common.weights.own_files import is_own_file

TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_MISSING: Final = object()


@dataclass(frozen=True)
class RunFacts:
    """What the files beside a run's checkpoints tell.

    Attributes:
        recipe: by name.
        max_length: of the run's rows, in tokens.
        start_from: the weights that it started from, or None.
        starts: each start: ``command``, and what else is known of it.
        data: the manifest of the prepared corpus: ``sources``, ``splits``, ``vocabulary``, ``options``.
        tokenizer: the content of its tokenizer's files, by name.
        tokenizer_config: what ``tokenizer_config.json`` among them says; empty where there is none.
    """

    recipe: Mapping[str, Any]
    max_length: int
    start_from: str | None
    starts: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    tokenizer: Mapping[str, bytes]
    tokenizer_config: Mapping[str, Any]


def read_run_facts(run: Path) -> RunFacts:
    """Read what a run's files tell, its checkpoints and its log left aside.

    Args:
        run: its folder. A link in the place of a file is refused where it leads elsewhere.

    Raises:
        CheckpointError: a file is missing, damaged, too large or no file of its own.
    """
    file = run / RUN_FILE
    stored = _read(file)
    recipe = _object(stored.get("recipe"), f"{file}: recipe")
    max_length = recipe.get("max_length")
    if type(max_length) is not int or max_length < 1:
        raise CheckpointError(f"{file}: recipe: expected a max_length above 0, found {max_length!r:.80}")
    start_from = stored.get("start_from", _MISSING)
    if not isinstance(start_from, str | None):
        found = "nothing" if start_from is _MISSING else repr(start_from)
        raise CheckpointError(f"{file}: start_from: expected a path, a name or null, found {found:.80}")
    starts = _starts(stored.get("starts", []), f"{file}: starts")
    tokenizer = _tokenizer_files(run / TOKENIZER_FOLDER)
    config = _tokenizer_config(run / TOKENIZER_FOLDER / TOKENIZER_CONFIG, tokenizer)
    return RunFacts(recipe, max_length, start_from, starts, _data(run / DATA_FILE), tokenizer, config)


def _starts(value: Any, place: str) -> list[dict[str, Any]]:
    starts = _objects(value, place)
    for start in starts:
        if not isinstance(start.get("command", ""), str):
            raise CheckpointError(f"{place}: expected a text as command, found {start['command']!r:.80}")
    return starts


def _data(file: Path) -> dict[str, Any]:
    data = _read(file)
    _objects(data.get("sources", []), f"{file}: sources")
    for name in ("splits", "vocabulary", "options"):
        _object(data.get(name, {}), f"{file}: {name}")
    for name, split in data.get("splits", {}).items():
        _object(split, f"{file}: splits: {name}")
    return data


def _tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Return the files that a tokenizer consists of; whatever else is in its folder is no business of anyone's."""
    if folder.is_symlink():
        raise CheckpointError(f"{folder}: expected a folder, found a link; put a copy in its place")
    files = read_stored_files(folder)
    if not files.keys() & set(VOCABULARY_FILES):
        raise CheckpointError(f"{folder}: holds no tokenizer; expected {' or '.join(VOCABULARY_FILES)}")
    return files


def _tokenizer_config(file: Path, tokenizer: Mapping[str, bytes]) -> dict[str, Any]:
    config = parse_json_file(file, tokenizer[file.name]) if file.name in tokenizer else {}
    check_length_limit(file, config.get("model_max_length"))
    return config


def _read(file: Path) -> dict[str, Any]:
    if not is_own_file(file):
        raise CheckpointError(f"{file}: a link that leads elsewhere; put a copy in its place")
    return read_json_file(file, MOST_BYTES, "run")


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckpointError(f"{place}: expected an object, found {value!r:.80}")
    return value


def _objects(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise CheckpointError(f"{place}: expected a list, found {value!r:.80}")
    return [_object(item, place) for item in value]
