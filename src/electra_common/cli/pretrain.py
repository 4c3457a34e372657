"""The commands of ``electra pretrain``: arguments in, exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from electra_common.weights.formats.shard_index import parse_size

pretrain_app = typer.Typer(help="Pre-training: from text to a checkpoint.", no_args_is_help=True)


@pretrain_app.command("prepare")
def prepare_command(
    corpus: Annotated[list[str], typer.Argument(help="Text files or .jsonl; .gz, .xz and .zst too.")],
    out: Annotated[Path, typer.Option(help="The folder to write, or to go on with.")],
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder, file or Hub name; by default that of the released models.")
    ] = None,
    max_length: Annotated[int, typer.Option(min=8, help="Most tokens of an example.")] = 128,
    segments: Annotated[str, typer.Option(help="whole (no text is lost) or google (as Google's code).")] = "whole",
    text_field: Annotated[str, typer.Option(help="Of .jsonl: where a record's text is.")] = "text",
    held_out: Annotated[float, typer.Option(min=0.0, help="Fraction of the documents to hold out.")] = 0.0,
    held_out_file: Annotated[list[str] | None, typer.Option(help="A file to hold out as a whole.")] = None,
    repeat: Annotated[list[str] | None, typer.Option(help="FILE=TIMES: read a file several times.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides lengths, segments and what is held out.")] = 0,
    shard_size: Annotated[str, typer.Option(help="Bytes after which a shard is closed, such as 64MB.")] = "64MiB",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one for each processor.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another prepared corpus.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn text into a folder of examples; the same command again goes on where a killed one stopped."""
    from electra_common.cli.pretrain_prepare import pretrain_prepare
    from electra_common.pretraining.documents import ReadingOptions
    from electra_common.pretraining.segments import SegmentOptions

    raise typer.Exit(
        pretrain_prepare(
            corpus,
            out=out,
            tokenizer=tokenizer,
            segments=SegmentOptions(max_length=max_length, method=segments),
            reading=ReadingOptions(text_field=text_field, held_out=held_out, seed=seed),
            held_out_files=held_out_file or [],
            repeats=repeat or [],
            shard_bytes=parse_size(shard_size),
            workers=workers,
            overwrite=overwrite,
            as_json=json,
        )
    )


@pretrain_app.command("plot")
def plot_command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="The picture to write: .png or .svg.")],
    x: Annotated[str, typer.Option("--x", help="What to draw against: step, tokens or time.")] = "step",
    title: Annotated[str | None, typer.Option(help="A title above the picture.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the last value of each metric.")] = False,
) -> None:
    """Draw the curves of runs, training and held out, in one picture."""
    from electra_common.cli.pretrain_plot import plot_runs

    raise typer.Exit(plot_runs(runs, out=out, x=x, title=title, as_json=json))
