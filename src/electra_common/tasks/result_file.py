"""``result.json`` of a seed's folder: what its training came to, and what computed it. A seed that has one is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isnan, nan
from pathlib import Path
from typing import Any, Final

from electra_common.json_files import read_json_file
from electra_common.runs.run_folder import MOST_BYTES
from electra_common.tasks.results import seed_folder
from electra_common.tasks.seeds import SeedResult
from electra_common.weights.errors import CheckpointError

RESULT_FILE: Final = "result.json"
_SEED_FOLDER: Final = re.compile(r"^seed-(0|[1-9][0-9]{0,18})$")


@dataclass(frozen=True)
class SeedRecord:
    """What is kept of a seed that is done.

    Attributes:
        result: what the training came to.
        origin: ``framework``, ``versions`` and ``command`` of the call that ended it, as in
            :class:`~electra_common.tasks.results.FineTuningFacts`; empty where they were not kept yet.
    """

    result: SeedResult
    origin: Mapping[str, Any] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        """Return the file's content."""
        constant = self.result.constant_score
        values = {**asdict(self.result), "constant_score": None if isnan(constant) else constant, **self.origin}
        return (json.dumps(values, indent=2) + "\n").encode()


def read_record(folder: Path) -> SeedRecord | None:
    """Return what a seed came to, from its folder; None where it is not done.

    Raises:
        CheckpointError: the file cannot be read, or is not the result of this seed.
    """
    file = folder / RESULT_FILE
    if not file.exists():
        return None
    values = read_json_file(file, MOST_BYTES, "result")
    origin = {name: values.pop(name) for name in _ORIGIN if name in values}
    if values.get("constant_score", 0.0) is None:
        values["constant_score"] = nan
    known = [item.name for item in fields(SeedResult)]
    if strange := [name for name in values if name not in known]:
        raise _no_result(file, f"it has no {ascii(strange[0])[:60]}")
    try:
        result = SeedResult(**values)
    except TypeError:
        missing = [name for name in known if name not in values]
        raise _no_result(file, f"expected also {', '.join(missing)}") from None
    for name, value in {**asdict(result), **origin}.items():
        if not {**_RESULT, **_ORIGIN}[name](value):
            raise _no_result(file, f"{name} is {ascii(value)[:60]}")
    if folder.name != seed_folder(folder, result.seed).name:
        raise _no_result(file, f"it is one of seed {result.seed}")
    return SeedRecord(result, origin)


def read_records(out: Path) -> dict[int, SeedRecord]:
    """Return what is kept of all seeds of a run that are done, by their numbers.

    Raises:
        CheckpointError: a file cannot be read.
    """
    own = (folder for folder in out.glob("seed-*") if _SEED_FOLDER.match(folder.name) and not folder.is_symlink())
    found = [record for folder in own if (record := read_record(folder)) is not None]
    return {record.result.seed: record for record in found}


def _no_result(file: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{file}: not the result of a seed: {reason}; take it away to train the seed again")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_metrics(values: Any) -> bool:
    return isinstance(values, dict) and all(map(_is_number, values.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(values: Any) -> bool:
    return isinstance(values, dict) and all(map(_is_text, values.values()))


_RESULT: Final[Mapping[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("seed", "steps"), _is_count),
    **dict.fromkeys(("metrics", "best_metrics", "test_metrics"), _are_metrics),
    **dict.fromkeys(("constant_score", "seconds"), _is_number),
    "is_collapsed": lambda value: type(value) is bool,
    "collapse_reason": _is_text,
    "split": lambda value: value in ("dev", "test"),
}
_ORIGIN: Final[Mapping[str, Callable[[Any], bool]]] = {
    "framework": lambda value: value in ("pt", "tf"),
    "versions": _are_texts,
    "command": _is_text,
}
