"""``electra vocab train``: a new vocabulary from text files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from electra_common.cli.console import byte_progress, human_count, make_console, print_json
from electra_common.text_files import STANDARD_INPUT, read_files, total_bytes
from electra_common.weights.atomic import sync_folder
from electra_common.weights.errors import CheckpointError
from electra_common.weights.hub import TOKENIZER_FILES


def train_vocabulary(
    corpus: list[str],
    *,
    size: int,
    out: Path,
    kind: str,
    cased: bool,
    min_frequency: int,
    limit_alphabet: int,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Train and save; prints where, and how many tokens there are."""
    from electra_common.tokenization.training import train_tokenizer

    if STANDARD_INPUT in corpus:
        raise ValueError("the corpus is read twice, which standard input cannot be; write it to a file")
    _check_out(out, overwrite=overwrite)
    passes = 2 if kind == "wordpiece" else 1
    size_on_disk = total_bytes(corpus)
    if not any(line.strip() for line in read_files(corpus)):
        raise ValueError(f"{', '.join(corpus)}: the corpus holds no text to make a vocabulary of")
    with byte_progress("reading", shown=not as_json) as update:
        done = 0

        def lines() -> Iterator[str]:
            nonlocal done
            yield from read_files(corpus, lambda place: update(done + place, passes * size_on_disk))
            done += size_on_disk

        tokenizer = train_tokenizer(
            lines,
            size=size,
            kind=kind,
            do_lower_case=not cased,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
        )
    files = tokenizer.save_pretrained(out)
    if overwrite:
        _remove_others(out, files)
    if as_json:
        print_json({"folder": str(out), "kind": kind, "tokens": len(tokenizer), "files": list(files)})
    else:
        make_console().print(f"{human_count(len(tokenizer))} tokens in {out}", markup=False, soft_wrap=True)
    return 0


def _remove_others(out: Path, written: Iterable[str]) -> None:
    """Remove the files of a replaced tokenizer that the new one, which stands by now, does not have."""
    try:
        for name in {*TOKENIZER_FILES} - {Path(file).name for file in written}:
            (out / name).unlink(missing_ok=True)
        sync_folder(out)
    except OSError as error:
        raise CheckpointError(
            f"{out}: the new tokenizer is written, but a file of the old one cannot be removed: {error}"
        ) from None


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse, before the text is read, a folder that could not be written or has files that would be replaced."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"{out}: is a file; --out takes the folder to write")
    if there := [name for name in TOKENIZER_FILES if (out / name).exists() and not overwrite]:
        raise CheckpointError(
            f"{out}: holds a tokenizer already ({', '.join(there)}); choose another folder or add --overwrite"
        )
