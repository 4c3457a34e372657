"""The commands of fine-tuning, ``finetune``, ``evaluate``, ``predict`` and ``tasks``: arguments in, exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from electra_common.cli.options import Json

Framework = Annotated[str | None, typer.Option(help="pt or tf; by default PyTorch where it is installed.")]
Precision = Annotated[str, typer.Option(help="float32 or bfloat16.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Most rows computed at once; by default as many as have 2,048 tokens.")
]
FineTunedModel = Annotated[Path, typer.Argument(help="Folder of a fine-tuned model, such as RESULTS/seed-0/last.")]
Text = Annotated[str | None, typer.Option(help="Column of the text (of the question), by name or number from 0.")]
Pair = Annotated[str | None, typer.Option(help="Column of the second text (of the context).")]
Label = Annotated[str | None, typer.Option(help="Column of the label, tag, number or right choice.")]
Choices = Annotated[list[str] | None, typer.Option(help="Column of a choice, once for each; or one with a list.")]
Id = Annotated[str | None, typer.Option("--id", help="Column that names each row.")]
NoQuoting = Annotated[
    bool, typer.Option("--no-quoting", help="Quotation marks in a table are plain text and enclose no field.")
]


def _complete_task(incomplete: str) -> list[str]:
    from electra_common.tasks.task import task_names

    return [name for name in task_names() if name.startswith(incomplete)]


def _columns(
    *,
    text: str | None,
    pair: str | None,
    label: str | None,
    choices: list[str] | None,
    name: str | None,
    no_quoting: bool,
) -> dict[str, Any]:
    """Return the columns that were named, and how a table is read, as a task has them."""
    from electra_common.cli.finetune import parse_column

    found = {"text": text, "pair": pair, "label": label, "id": name}
    columns: dict[str, Any] = {key: parse_column(value) for key, value in found.items() if value is not None}
    columns |= {"quoting": False} if no_quoting else {}
    return columns | ({"choices": tuple(map(parse_column, choices))} if choices else {})


def finetune_command(
    task: Annotated[
        str, typer.Argument(help="Name of a task (electra tasks lists them).", autocompletion=_complete_task)
    ],
    out: Annotated[Path, typer.Option(help="The folder of results.")],
    data: Annotated[Path | None, typer.Option(help="Folder with the task's files.")] = None,
    train: Annotated[Path | None, typer.Option(help="File to train on, in place of the folder's.")] = None,
    dev: Annotated[Path | None, typer.Option(help="File to measure on while training.")] = None,
    test: Annotated[Path | None, typer.Option(help="File to answer at the end.")] = None,
    text: Text = None,
    pair: Pair = None,
    label: Label = None,
    choices: Choices = None,
    name: Id = None,
    no_quoting: NoQuoting = False,
    model: Annotated[
        str | None, typer.Option(help="Folder, file or Hub name; by default the model that comes with the package.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Start from new weights of the model's sizes, for comparison.")
    ] = False,
    framework: Framework = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, such as learning_rate=1e-4.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many times, each with another seed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    restart_collapsed: Annotated[
        int, typer.Option(min=0, help="How many more seeds may take the place of collapsed ones.")
    ] = 0,
    accumulation: Annotated[int, typer.Option(min=1, help="Micro-batches for each update, to save memory.")] = 1,
    precision: Precision = "float32",
    evaluate_every: Annotated[int, typer.Option(min=0, help="Updates between evaluations; 0: at each epoch.")] = 0,
    log_every: Annotated[int, typer.Option(min=1, help="Updates between lines of the log.")] = 50,
    save_every: Annotated[int, typer.Option(min=0, help="Updates between checkpoints; 0 for none.")] = 500,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that the folder holds.")] = False,
    tensorboard: Annotated[bool, typer.Option(help="Write event files for TensorBoard.")] = False,
    json: Json = False,
) -> None:
    """Let a model learn a task from examples, once or with several seeds, and keep what came of it."""
    from electra_common.cli.finetune import finetune, seed_list

    raise typer.Exit(
        finetune(
            task,
            framework=framework,
            folder=data,
            files={"train": train, "dev": dev, "test": test},
            columns=_columns(text=text, pair=pair, label=label, choices=choices, name=name, no_quoting=no_quoting),
            as_json=json,
            out=out,
            model=model,
            from_scratch=from_scratch,
            changes=changes or [],
            seeds=seed_list(seed, seeds),
            restarts=restart_collapsed,
            accumulation=accumulation,
            precision=precision,
            evaluate_every=evaluate_every,
            log_every=log_every,
            save_every=save_every,
            resume=resume,
            tensorboard=tensorboard,
        )
    )


def evaluate_command(
    model: FineTunedModel,
    data: Annotated[Path, typer.Argument(help="A file of examples with answers, or the folder of a task's files.")],
    split: Annotated[str, typer.Option(help="Of a folder: dev or test.")] = "dev",
    text: Text = None,
    pair: Pair = None,
    label: Label = None,
    choices: Choices = None,
    name: Id = None,
    no_quoting: NoQuoting = False,
    out: Annotated[Path | None, typer.Option(help="Folder for predictions and pictures.")] = None,
    framework: Framework = None,
    batch_size: BatchSize = None,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Measure a fine-tuned model on examples whose answers are known."""
    from electra_common.cli.evaluate import evaluate

    raise typer.Exit(
        evaluate(
            model,
            data,
            split=split,
            framework=framework,
            columns=_columns(text=text, pair=pair, label=label, choices=choices, name=name, no_quoting=no_quoting),
            out=out,
            batch_size=batch_size,
            precision=precision,
            as_json=json,
        )
    )


def predict_command(
    model: FineTunedModel,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts, or questions about --context.")] = None,
    context: Annotated[
        str | None, typer.Option(help="With texts: the second text of each pair, or what answers the questions.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="Text lines, CSV, TSV, JSON lines, parquet, or the task's form; - for lines.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default standard output.")] = None,
    split: Annotated[
        str | None, typer.Option(help="With --file, whose columns it has: dev (the default) or test, as in GLUE.")
    ] = None,
    text: Text = None,
    pair: Pair = None,
    choices: Choices = None,
    name: Id = None,
    no_quoting: NoQuoting = False,
    framework: Framework = None,
    batch_size: BatchSize = None,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Let a fine-tuned model answer texts, or a file of any length: what comes out has the file's form and order."""
    from electra_common.cli.predict import predict

    raise typer.Exit(
        predict(
            model,
            texts or [],
            file=file,
            out=out,
            pair=context,
            framework=framework,
            split=split,
            columns=_columns(text=text, pair=pair, label=None, choices=choices, name=name, no_quoting=no_quoting),
            batch_size=batch_size,
            precision=precision,
            as_json=json,
        )
    )


def tasks_command(json: Json = False) -> None:
    """List the tasks that can be fine-tuned for."""
    from electra_common.cli.tasks import show_tasks

    raise typer.Exit(show_tasks(as_json=json))


def add_commands(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("finetune")(finetune_command)
    app.command("evaluate")(evaluate_command)
    app.command("predict")(predict_command)
    app.command("tasks")(tasks_command)
