"""``electra tokenize``: text to pieces, ids and offsets, a few texts as a table or any number of lines as a stream."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from rich.markup import escape

from electra_common.cli.console import byte_progress, json_line, make_console, make_table
from electra_common.cli.demo_files import VOCABULARY
from electra_common.cli.options import check_sources
from electra_common.terminal import printable
from electra_common.text_files import STANDARD_INPUT, read_files, total_bytes

SHOWS: Final = ("table", "pieces", "ids", "offsets")
_LINES_AT_ONCE: Final = 512


def tokenize(
    texts: list[str],
    *,
    files: list[str],
    tokenizer: str | None,
    in_python: bool,
    show: str | None,
    special_tokens: bool,
    max_length: int | None,
    as_json: bool,
) -> int:
    """Print the tokens of texts, of the lines of files, or of standard input where neither is given."""
    check_sources(texts, files)
    show = show or ("table" if texts else "pieces")
    if show not in SHOWS:
        raise ValueError(f"--show must be one of {', '.join(SHOWS)}, found {show!r}")
    encoder = load(tokenizer, in_python=in_python)
    files = files or ([] if texts else [STANDARD_INPUT])
    size = total_bytes(files)
    options: dict[str, Any] = {
        "add_special_tokens": special_tokens,
        "return_offsets_mapping": as_json or show in ("table", "offsets"),
    }
    if max_length is not None:
        options |= {"max_length": max_length, "truncation": True}
    with byte_progress("tokenizing", shown=size > 0 and not sys.stdout.isatty()) as update:
        lines = read_files(files, lambda place: update(place, size)) if files else texts
        for batch in _batches(lines):
            _print(encoder, batch, show, as_json, options)
    return 0


def load(tokenizer: str | None, *, in_python: bool) -> Any:
    """Return a tokenizer by path or name; the vocabulary of the released models without one."""
    from electra_common import ElectraTokenizer, ElectraTokenizerFast

    kind = ElectraTokenizer if in_python else ElectraTokenizerFast
    return kind(VOCABULARY) if tokenizer is None else kind.from_pretrained(tokenizer)


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    lines = iter(lines)
    while batch := list(islice(lines, _LINES_AT_ONCE)):
        yield batch


def _print(encoder: Any, texts: list[str], show: str, as_json: bool, options: dict[str, Any]) -> None:
    encoded = encoder(texts, return_token_type_ids=False, return_attention_mask=False, verbose=False, **options)
    for index, (text, ids) in enumerate(zip(texts, encoded["input_ids"], strict=True)):
        pieces = encoder.convert_ids_to_tokens(ids)
        offsets = encoded["offset_mapping"][index] if "offset_mapping" in encoded else ()
        if as_json:
            print(json_line({"text": text, "ids": ids, "tokens": pieces, "offsets": offsets}))
        elif show == "table":
            _print_table(text, ids, pieces, offsets)
        elif show == "ids":
            print(*ids)
        elif show == "offsets":
            places = zip(pieces, offsets, strict=True)
            print(printable(" ".join(f"{piece}:{start}-{end}" for piece, (start, end) in places)))
        else:
            print(printable(" ".join(pieces)))


def _print_table(text: str, ids: list[int], pieces: list[str], offsets: Any) -> None:
    table = make_table("", "piece", "#id", "#from", "#to", "in the text")
    for piece, index, (start, end) in zip(pieces, ids, offsets, strict=True):
        place = (str(start), str(end)) if end > start else ("", "")
        table.add_row(escape(piece), str(index), *place, escape(text[start:end]))
    make_console().print(table)
