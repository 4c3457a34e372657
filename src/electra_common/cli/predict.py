"""``electra predict``: a fine-tuned model answers texts, or files in whose form the answers are written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, BinaryIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from electra_common.cli.console import make_console, make_table, print_json
from electra_common.cli.loops import load_module
from electra_common.tasks.answer_files import answer_file, holds_lines
from electra_common.tasks.decoding.prediction import Prediction
from electra_common.tasks.examples import Example, Question, TaggedSentence, TextExample
from electra_common.tasks.fine_tuned import FineTuned
from electra_common.tasks.readers.tables import check_quoting, with_columns_named_anew
from electra_common.terminal import printable
from electra_common.text_files import COMPRESSED, STANDARD_INPUT
from electra_common.weights.atomic import write_files


def predict(
    model: Path,
    texts: list[str],
    *,
    file: str | None,
    out: Path | None,
    pair: str | None,
    framework: str | None,
    split: str | None,
    columns: Mapping[str, Any],
    batch_size: int | None,
    precision: str,
    as_json: bool,
) -> int:
    """Answer; the answers go to standard output, or to a file."""
    if bool(texts) == (file is not None):
        raise ValueError("give either texts or --file; - stands for lines of standard input")
    _check_use(file, context=pair, out=out, split=split, columns=columns, as_json=as_json)
    if out is not None and file is not None:
        _check_out(out, file)
    _, module = load_module(framework, "fine_tuned")
    fine_tuned: FineTuned = module.open_fine_tuned(model, batch_size=batch_size, precision=precision)
    if texts:
        examples = [_example(fine_tuned, number, text, pair) for number, text in enumerate(texts)]
        _show(texts, list(fine_tuned.predictions(examples)), as_json)
        return 0
    assert file is not None
    trained = fine_tuned.task.for_split(split or "dev")
    task = trained.reading(**columns)
    if columns.keys() - {"quoting"} and task.format == "table":
        task = with_columns_named_anew(task, trained, file)
    with _counted(fine_tuned.predictions, shown=out is not None) as answers:
        if out is None:
            answer_file(task, file, answers, sys.stdout)
            return 0
        count = _to_file(out, lambda stream: answer_file(task, file, answers, stream))
    if as_json:
        print_json({"model": str(model), "file": file, "out": str(out), "examples": count})
    else:
        named = "standard input" if file == STANDARD_INPUT else file
        make_console().print(f"{count:,} examples of {named} answered in {out}", markup=False, soft_wrap=True)
    return 0


def _check_use(
    file: str | None,
    *,
    context: str | None,
    out: Path | None,
    split: str | None,
    columns: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Refuse options that would be taken and not looked at."""
    if file is None:
        if out is not None or split is not None or columns:
            raise ValueError("--out, --split and columns go with --file; texts on the command line are answered here")
        return
    if context is not None:
        raise ValueError("--context goes with texts; in a file, --pair names its column")
    if holds_lines(file) and (split is not None or columns):
        raise ValueError(
            f"{file}: lines of text have no columns; leave --split, --no-quoting and the names of columns out, or give "
            "a table (.csv, .tsv, .jsonl, .parquet)"
        )
    if "quoting" in columns:
        check_quoting(file)
    if out is None and as_json:
        raise ValueError("--json with --file needs --out: standard output has the file's own form")


def _check_out(out: Path, file: str) -> None:
    """Refuse a file that could not be written as it is meant, before the first example is answered."""
    if out.exists() and Path(file).exists() and out.samefile(file):
        raise ValueError(f"{out}: is the file that is read; --out takes the name of another one")
    if out.is_dir():
        raise ValueError(f"{out}: is a folder; --out takes the name of the file that the answers go to")
    if out.suffix in COMPRESSED:
        raise ValueError(f"{out}: answers are not compressed; leave {out.suffix} out")


def _example(fine_tuned: FineTuned, number: int, text: str, pair: str | None) -> Example:
    task, place = fine_tuned.task, f"text {number + 1}"
    if not text.strip():
        raise ValueError(f"{place}: the text is empty")
    if task.kind == "tagging":
        return TaggedSentence(str(number), tuple(text.split()), place=place)
    if task.kind == "answers":
        if pair is None:
            raise ValueError(f"{place}: a question needs --context, the text that may answer it")
        return Question(str(number), text, pair, place=place)
    if task.kind == "choice":
        raise ValueError("choices have no place on the command line; give a file with --file")
    if (task.pair is not None) != (pair is not None):
        raise ValueError(
            f"{place}: this model reads {'a pair: add --context' if pair is None else 'one text: leave --context out'}"
        )
    return TextExample(str(number), text, pair, place=place)


def _show(texts: list[str], predictions: list[Prediction], as_json: bool) -> None:
    if as_json:
        print_json({"predictions": [{"text": text, **prediction.as_dict()}
                                    for text, prediction in zip(texts, predictions, strict=True)]})  # fmt: skip
        return
    table = make_table("", "text", "answer", "#probability")
    for text, prediction in zip(texts, predictions, strict=True):
        answer = " ".join(prediction.answer) if isinstance(prediction.answer, tuple) else prediction.answer
        shown = f"{answer:.4g}" if isinstance(answer, float) else printable(str(answer))
        table.add_row(printable(text), shown, "" if prediction.score is None else f"{prediction.score:.3f}")
    make_console().print(table, markup=False)


@contextmanager
def _counted(
    answers: Callable[[Iterable[Example]], Iterator[Prediction]], *, shown: bool
) -> Iterator[Callable[[Iterable[Example]], Iterator[Prediction]]]:
    """Let a line on a terminal tell how many examples were answered."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} examples answered")
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("", total=None)

        def counting(examples: Iterable[Example]) -> Iterator[Prediction]:
            for prediction in answers(examples):
                progress.advance(task)
                yield prediction

        yield counting


def _to_file(path: Path, write: Callable[[IO[str]], int]) -> int:
    """Write a file that takes its name when it is whole; return what ``write`` does."""
    counts = []

    def content(stream: BinaryIO) -> None:
        text = TextIOWrapper(stream, encoding="utf-8", newline="")
        counts.append(write(text))
        text.detach()  # flushed; the stream is closed by whoever opened it

    write_files(path.parent, {path.name: content})
    return counts[0]
