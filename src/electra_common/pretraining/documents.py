"""From files to documents, and from documents to blocks: the units of work, the same whoever does them.

A text file has its documents between blank lines; the end of a file ends a document too. A ``.jsonl`` file has one
document in each record. Google's ``pretrain_data.tfrecord*`` has no documents any more, but examples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from electra_common.pretraining.tfrecord import Record, is_tfrecord, read_records
from electra_common.text_files import COMPRESSED, read_lines

TRAIN, HELD_OUT = "train", "held-out"
SPLITS: Final = (TRAIN, HELD_OUT)
BLOCK_CHARACTERS: Final = 1 << 20
DOCUMENT_CHARACTERS: Final = 1 << 24
_KINDS: Final = {
    str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object",
    type(None): "null",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A file of a corpus.

    Args:
        path: the file.
        repeat: how many times it is read.
        is_held_out: all of it is for evaluation.
    """

    path: str
    repeat: int = 1
    is_held_out: bool = False


@dataclass(frozen=True)
class Document:
    """Lines that belong together: ``number`` counts documents of the corpus, ``part`` those cut for their size."""

    number: int
    split: str
    lines: list[str]
    part: int = 0

    def characters(self) -> int:
        """Return its size, with a character for the end of each line."""
        return sum(map(len, self.lines)) + len(self.lines)


@dataclass(frozen=True)
class ReadyExample:
    """A record that is an example already."""

    record: Record
    split: str

    def characters(self) -> int:
        """Return its size."""
        return len(self.record.content)


@dataclass
class Block:
    """Documents to be worked on at once; ``place`` is how far into the files they reach, in bytes on disk."""

    documents: list[Document] = field(default_factory=list)
    ready: list[ReadyExample] = field(default_factory=list)
    characters: int = 0
    place: int = 0


@dataclass(frozen=True)
class ReadingOptions:
    """How documents are found and divided.

    Args:
        text_field: of a ``.jsonl`` record: where its text is.
        held_out: fraction of the documents that is held out.
        seed: decides which.
        block_characters: a block is closed by the document that reaches this.
        document_characters: a longer document goes on as a new one, so that memory does not grow with it.
    """

    text_field: str = "text"
    held_out: float = 0.0
    seed: int = 0
    block_characters: int = BLOCK_CHARACTERS
    document_characters: int = DOCUMENT_CHARACTERS

    def __post_init__(self) -> None:
        if not 0.0 <= self.held_out < 1.0:
            raise ValueError(f"held_out must be a fraction below 1, found {self.held_out}")
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, found {self.seed}")
        if self.block_characters < 1 or self.document_characters < 1:
            raise ValueError("block_characters and document_characters must be above 0")


def read_blocks(sources: Sequence[Source], options: ReadingOptions) -> Iterator[Block]:
    """Yield the documents of a corpus in blocks.

    Raises:
        ValueError: a file cannot be read, is not UTF-8, or has a record without text; names file and line.
    """
    block = Block()
    reached = 0

    def progress(place: int) -> None:
        nonlocal reached
        reached = place

    for item in _items(sources, options, progress):
        if isinstance(item, Document):
            block.documents.append(item)
        else:
            block.ready.append(item)
        block.characters += item.characters()
        if block.characters >= options.block_characters:
            block.place = reached
            yield block
            block = Block()
    if block.characters:
        block.place = reached
        yield block


def _items(
    sources: Sequence[Source], options: ReadingOptions, progress: Callable[[int], None]
) -> Iterator[Document | ReadyExample]:
    number = done = 0
    sizes = [file_size(source.path) for source in sources]  # what is removed while it is open is read to its end
    for source_number, source in enumerate(sources):
        for repetition in range(source.repeat):
            told = partial(_told, progress, done)
            for index, item in enumerate(_read_source(source.path, told, options)):
                split = _split(source, (source_number, index), options)
                if split == TRAIN or repetition == 0:  # what is held out is evaluated once
                    if isinstance(item, Record):
                        yield ReadyExample(item, split)
                    else:
                        yield from (Document(number, split, lines, part) for part, lines in enumerate(item))
                number += 1
            done += sizes[source_number]
            progress(done)


def file_size(path: str) -> int:
    """Return the bytes of a file; raises ValueError where there is none."""
    try:
        return Path(path).stat().st_size
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None


def _told(progress: Callable[[int], None], before: int, place: int) -> None:
    progress(before + place)


def _split(source: Source, place: tuple[int, int], options: ReadingOptions) -> str:
    if source.is_held_out:
        return HELD_OUT
    if not options.held_out:
        return TRAIN
    digest = hashlib.sha256(f"{options.seed} {place[0]} {place[1]}".encode()).digest()
    return HELD_OUT if int.from_bytes(digest[:8], "big") < options.held_out * 2.0**64 else TRAIN


def _read_source(
    path: str, progress: Callable[[int], None], options: ReadingOptions
) -> Iterator[Record | Iterator[list[str]]]:
    return read_records(path, progress) if is_tfrecord(path) else _read_documents(path, progress, options)


def _read_documents(
    path: str, progress: Callable[[int], None], options: ReadingOptions
) -> Iterator[Iterator[list[str]]]:
    """Yield documents, each as parts of a size that memory can hold; what is not used of one is passed over."""
    lines = read_lines(path, progress)
    name = Path(path)
    if ".jsonl" in (name.suffix, Path(name.stem).suffix if name.suffix in COMPRESSED else ""):
        for number, line in enumerate(lines, 1):
            if line.strip():
                text = _record_text(line, options.text_field, f"{path}, line {number}")
                if kept := [stripped for part in text.split("\n") if (stripped := part.strip())]:
                    yield _cut(kept, options.document_characters)
        return
    for first in lines:
        if stripped := first.strip():
            rest = _until_blank(stripped, lines)
            yield _cut(rest, options.document_characters)
            for _ in rest:  # nothing, where the document was used up
                pass


def _until_blank(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    for line in lines:
        stripped = line.strip()
        if not stripped:
            return
        yield stripped


def _cut(lines: Iterable[str], most_characters: int) -> Iterator[list[str]]:
    part: list[str] = []
    characters = 0
    for line in lines:
        part.append(line)
        characters += len(line) + 1
        if characters >= most_characters:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _record_text(line: str, text_field: str, place: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not a JSON record: {error}") from None
    text = record.get(text_field) if isinstance(record, dict) else None
    if not isinstance(text, str):
        found = _what_it_is(record, text_field)
        raise ValueError(f"{place}: expected an object with text in the field {text_field!r}; found {found:.200}")
    # JSON can spell half of a character, which is no text.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _what_it_is(record: object, text_field: str) -> str:
    if not isinstance(record, dict):
        return _KINDS[type(record)]
    if text_field in record:
        return f"{_KINDS[type(record[text_field])]} in it"
    return f"the fields {', '.join(map(repr, record))}" if record else "an object without fields"
