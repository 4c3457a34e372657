"""What a preparation is to make, told before it begins: files, tokenizer and options, as they stand in the manifest.

A file is known by its bytes: corpora are the same where the SHA-256 of each file is. That reads the files once more,
which is quick beside what making examples of them takes; what can be told without it is compared before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from electra_common.checksums import hash_file
from electra_common.pretraining.documents import ReadingOptions, Source, file_size
from electra_common.pretraining.manifest import Manifest
from electra_common.pretraining.segments import SegmentOptions
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.weights.hub import VOCABULARY_FILES

_UINT16_IDS: Final = 1 << 16


def check_sources(sources: Sequence[Source]) -> None:
    """Refuse what is no file, and a file that is named twice, under whatever names.

    Args:
        sources: the files of a corpus.

    Raises:
        ValueError: there is none, or one of them is refused.
    """
    if not sources:
        raise ValueError("expected at least one file to prepare")
    seen: dict[Path, Source] = {}
    for source in sources:
        path = Path(source.path)
        if not path.is_file():
            raise ValueError(f"{source.path}: {_what_is_there(path)}")
        other = seen.setdefault(Path(os.path.realpath(path)), source)
        if other.is_held_out != source.is_held_out:
            raise ValueError(f"{source.path}: named as text to train on and as text to hold out; name it once")
        if other is not source:
            raise ValueError(
                f"{source.path}: named twice; name each file once (--repeat FILE=TIMES reads it more often)"
            )


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return "a folder; expected files, so name those in it"
    if path.exists():
        return "a pipe or a device, but the text is read more than once; write it to a file and name that"
    return "no such file"


def plan_corpus(
    sources: Sequence[Source],
    tokenizer: ElectraTokenizerFast,
    tokenizer_files: Mapping[str, bytes],
    segments: SegmentOptions,
    reading: ReadingOptions,
    shard_bytes: int,
) -> Manifest:
    """Return the manifest of a corpus of which nothing is prepared yet, but for the checksums of its files.

    Args:
        sources: the files, in order.
        tokenizer: gives the ids.
        tokenizer_files: what the tokenizer is saved as: bytes by name.
        segments: how examples are cut.
        reading: how documents are found and divided.
        shard_bytes: a shard is closed when it has this many.

    Raises:
        ValueError: a file cannot be read.
    """
    vocabulary = next(name for name in VOCABULARY_FILES if name in tokenizer_files)
    size = max(tokenizer.get_vocab().values()) + 1
    return Manifest(
        max_length=segments.max_length,
        dtype="uint16" if size <= _UINT16_IDS else "uint32",
        vocabulary={
            "file": vocabulary,
            "sha256": hashlib.sha256(tokenizer_files[vocabulary]).hexdigest(),
            "size": size,
            "rules_sha256": hashlib.sha256(tokenizer_files["tokenizer.json"]).hexdigest(),
        },
        options={
            **{name: value for name, value in asdict(segments).items() if name != "max_length"},
            **asdict(reading),
            "shard_bytes": shard_bytes,
        },
        sources=[_describe(source) for source in sources],
    )


def _describe(source: Source) -> dict[str, Any]:
    path = Path(source.path)
    return {
        # A name may be any bytes, and a manifest is text.
        "name": os.fsencode(path.name).decode("utf-8", "backslashreplace"),
        "bytes": file_size(source.path),
        "repeat": source.repeat,
        "held_out": source.is_held_out,
    }


def with_checksums(plan: Manifest, sources: Sequence[Source], told: Callable[[int], object]) -> Manifest:
    """Return a plan with the checksum of each file.

    Args:
        plan: of :func:`plan_corpus`.
        sources: its files.
        told: called with how many bytes of them all are read, as it goes.

    Raises:
        ValueError: a file cannot be read.
    """
    described = []
    read_before = accumulate((facts["bytes"] for facts in plan.sources), initial=0)
    for before, facts, source in zip(read_before, plan.sources, sources, strict=False):
        checksum = hash_file(Path(source.path), partial(_told, told, before))
        described.append({**facts, "sha256": checksum})
    return replace(plan, sources=described)


def _told(told: Callable[[int], object], before: int, place: int) -> None:
    told(before + place)


def is_same(there: Manifest, now: Manifest) -> bool:
    """Whether a prepared corpus, finished or not, is the one that is to be prepared now."""
    found, wanted = _comparable(there, now)
    return found == wanted


def tell_difference(there: Manifest, now: Manifest) -> str:
    """Return in what two corpora differ, for an error: ``"other max_length: 128 there, 64 now"``."""
    found, wanted = _comparable(there, now)
    if found["sources"] != wanted["sources"]:
        return f"other sources: {_source_difference(found['sources'], wanted['sources'])}"
    for name in ("vocabulary", "max_length", "dtype"):
        if found[name] != wanted[name]:
            return f"other {name}: {found[name]} there, {wanted[name]} now"
    return f"other options: {_changes(found['options'], wanted['options'])}"


def _comparable(there: Manifest, now: Manifest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both plans; of files whose checksums only one of them has, without these."""
    found, wanted = there.plan(), now.plan()
    for old, new in zip(found["sources"], wanted["sources"], strict=False):
        if ("sha256" in old) != ("sha256" in new):
            old.pop("sha256", None)
            new.pop("sha256", None)
    return found, wanted


def _source_difference(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> str:
    if len(found) != len(wanted):
        return f"{len(found)} files there, {len(wanted)} now"
    old, new = next((old, new) for old, new in zip(found, wanted, strict=True) if old != new)
    return f"{new['name']}: {_changes(old, new)}"


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {old.get(name)!r} there, {new.get(name)!r} now" for name in names)
