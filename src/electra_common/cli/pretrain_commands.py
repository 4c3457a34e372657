"""The commands of ``electra pretrain``: arguments in, exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from electra_common.weights.formats.shard_index import parse_size

pretrain_app = typer.Typer(help="Pre-training: from text to a checkpoint.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


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
    held_out_file: Annotated[
        list[str] | None, typer.Option(help="A file to hold out as a whole, in the corpus or not.")
    ] = None,
    repeat: Annotated[list[str] | None, typer.Option(help="FILE=TIMES: train on a file several times.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides lengths, segments and what is held out.")] = 0,
    shard_size: Annotated[str, typer.Option(help="Bytes after which a shard is closed, such as 64MB.")] = "64MiB",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default, and at most, one a processor.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew in the place of a prepared corpus.")
    ] = False,
    json: Json = False,
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


def _complete_recipe(incomplete: str) -> list[str]:
    from electra_common.pretraining.recipes import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


@pretrain_app.command("run")
def run_command(
    data: Annotated[Path, typer.Option(help="Folder that `electra pretrain prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="The run's folder; a run that is there goes on.")],
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe, or a TOML file.", autocompletion=_complete_recipe)
    ] = "nano",
    framework: Annotated[str | None, typer.Option(help="pt or tf; by default PyTorch where it is installed.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe, such as steps=1000.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Weights to start from: two networks, or a discriminator.")
    ] = None,
    generator_from: Annotated[str | None, typer.Option(help="The generator that goes with --from.")] = None,
    fresh_optimizer: Annotated[
        bool, typer.Option("--fresh-optimizer", help="With --from: leave its step and its state of Adam aside.")
    ] = False,
    accumulation: Annotated[int, typer.Option(min=1, help="Micro-batches for each step, to save memory.")] = 1,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="torch.compile, or XLA in TensorFlow.")] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Divide the networks among the processes of torchrun (FSDP2).")
    ] = False,
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of the log.")] = 50,
    evaluate_every: Annotated[int, typer.Option(min=0, help="Steps between evaluations; 0 for none.")] = 500,
    evaluation_examples: Annotated[int, typer.Option(min=1, help="Held-out examples of an evaluation.")] = 512,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    keep: Annotated[int, typer.Option(min=1, help="Checkpoints that stay.")] = 3,
    tensorboard: Annotated[bool, typer.Option(help="Write event files for TensorBoard.")] = True,
    stop_at: Annotated[int | None, typer.Option(min=1, help="End after this step; the run can go on later.")] = None,
    json: Json = False,
) -> None:
    """Train generator and discriminator together; the same command again goes on where a run was stopped."""
    from electra_common.cli.pretrain_run import run as run_pretraining

    raise typer.Exit(
        run_pretraining(
            framework=framework,
            recipe=recipe,
            changes=changes or [],
            as_json=json,
            data=data,
            out=out,
            seed=seed,
            start_from=start_from,
            start_generator_from=generator_from,
            fresh_optimizer=fresh_optimizer,
            accumulation=accumulation,
            precision=precision,
            compile=compile,
            shard=shard,
            log_every=log_every,
            evaluate_every=evaluate_every,
            evaluation_examples=evaluation_examples,
            save_every=save_every,
            keep=keep,
            tensorboard=tensorboard,
            stop_at=stop_at,
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


@pretrain_app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, or one of its checkpoints.")],
    out: Annotated[Path, typer.Option(help="The new folder: discriminator/ and generator/ go into it.")],
    dtype: Annotated[str | None, typer.Option(help="Of the weights, such as float16; by default float32.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; by default the folder's.")] = None,
    license_note: Annotated[
        list[str] | None, typer.Option(help="Where the text comes from and under which licence; once for each source.")
    ] = None,
    training_note: Annotated[
        list[str] | None, typer.Option(help="What happened before the run; may be given several times.")
    ] = None,
    license: Annotated[str | None, typer.Option(help="Of the model, as the Hub names it, such as apache-2.0.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Of the text, such as en.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that holds files.")] = False,
    json: Json = False,
) -> None:
    """Write both networks of a run as folders that any class loads, with tokenizer and model card."""
    from electra_common.cli.pretrain_export import export
    from electra_common.pretraining.export import ExportNotes

    notes = ExportNotes(name, license_note or (), license, language or (), training_note or ())
    raise typer.Exit(export(run, out, dtype=dtype, notes=notes, overwrite=overwrite, as_json=json))
