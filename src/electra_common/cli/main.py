"""The command line: arguments in, exit code out.

0: done, 1: the answer is no (numbers disagree, a checkpoint is incomplete), 2: bad input, told in one line.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from electra_common import __version__
from electra_common.cli.compare import compare
from electra_common.cli.console import ReaderStoppedError, fail, one_line, watched_output
from electra_common.cli.convert import convert
from electra_common.cli.demo import demo
from electra_common.cli.detect import detect
from electra_common.cli.fill_mask import fill_mask
from electra_common.cli.fine_tuning_commands import add_commands
from electra_common.cli.frameworks import FrameworkError
from electra_common.cli.inspect import inspect
from electra_common.cli.options import Json, parse_heads
from electra_common.cli.pretrain_commands import pretrain_app
from electra_common.cli.tokenize import tokenize
from electra_common.cli.vocabulary import train_vocabulary
from electra_common.weights.formats.shard_index import parse_size

# What typer raises for wrong arguments. It exports this subclass alone, of click or of its own copy of click.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="electra",
    help="ELECTRA checkpoints in PyTorch and TensorFlow: look at them, convert them, prove that both agree.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

vocabulary_app = typer.Typer(help="Vocabularies of tokenizers.", no_args_is_help=True)
app.add_typer(vocabulary_app, name="vocab")
app.add_typer(pretrain_app, name="pretrain")
add_commands(app)

Source = Annotated[str, typer.Argument(help="Folder, file, TensorFlow prefix, or owner/name on the Hub.")]
Component = Annotated[str | None, typer.Option(help="discriminator or generator; by default all there are.")]
Heads = Annotated[
    str | None,
    typer.Option(
        "--num-attention-heads",
        help="Heads where no config.json says: 4, or discriminator=4,generator=1. Default: hidden size // 64.",
    ),
]
Answering = Annotated[
    str | None,
    typer.Option("--model", help="Folder, file or Hub name; by default the small model that comes with the package."),
]
Tokenizer = Annotated[
    str | None, typer.Option("--tokenizer", help="Folder, file or Hub name; by default the one beside the model.")
]
Framework = Annotated[str | None, typer.Option(help="pt or tf; by default the one that is installed, pt first.")]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"electra-dual {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """ELECTRA checkpoints in PyTorch and TensorFlow: look at them, convert them, prove that both agree."""


@app.command("inspect")
def inspect_command(
    path: Source,
    fingerprint: Annotated[bool, typer.Option(help="Compute the fingerprint, which reads all weights.")] = True,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    heads: Heads = None,
    json: Json = False,
) -> None:
    """Show what a checkpoint holds: format, networks, sizes, leftovers, fingerprint."""
    raise typer.Exit(
        inspect(path, with_fingerprint=fingerprint, list_tensors=tensors, heads=parse_heads(heads), as_json=json)
    )


@app.command("convert")
def convert_command(
    source: Source,
    target: Annotated[Path, typer.Argument(help="The new folder; two networks go to subfolders of it.")],
    component: Component = None,
    format: Annotated[
        str, typer.Option(help="Form to write: safetensors, bin, h5, tf1, npz or joint.")
    ] = "safetensors",
    dtype: Annotated[str | None, typer.Option(help="Change the dtype, such as bfloat16; reports the error.")] = None,
    max_shard_size: Annotated[
        str | None, typer.Option(help="Most bytes in one file, such as 500MB; for safetensors, bin and joint.")
    ] = None,
    heads: Heads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that holds files.")] = False,
    json: Json = False,
) -> None:
    """Write a checkpoint as a folder that both families and transformers open, and prove that no bit changed."""
    raise typer.Exit(
        convert(
            source,
            target,
            component=component,
            format=format,
            dtype=dtype,
            max_shard_size=None if max_shard_size is None else parse_size(max_shard_size),
            heads=parse_heads(heads),
            overwrite=overwrite,
            as_json=json,
        )
    )


@app.command("compare")
def compare_command(
    path: Source,
    text: Annotated[Path | None, typer.Option(help="Text to run, one sequence a line.")] = None,
    ids: Annotated[Path | None, typer.Option(help="Token ids to run: one sequence a line, or JSON lists.")] = None,
    vocab: Annotated[Path | None, typer.Option(help="Vocabulary for --text; by default vocab.txt beside it.")] = None,
    component: Component = None,
    heads: Heads = None,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Largest difference allowed in any number.")] = 1e-5,
    max_length: Annotated[int, typer.Option(min=2, help="Cut sequences to this many tokens.")] = 128,
    json: Json = False,
) -> None:
    """Run a checkpoint in both frameworks over the same input and show the largest difference, layer by layer."""
    raise typer.Exit(
        compare(
            path,
            text=text,
            ids=ids,
            vocab=vocab,
            component=component,
            heads=parse_heads(heads),
            tolerance=tolerance,
            max_length=max_length,
            as_json=json,
        )
    )


@app.command("demo")
def demo_command(json: Json = False) -> None:
    """Show it all: a checkpoint of Google's in both frameworks against Google's own numbers, then real English text."""
    raise typer.Exit(demo(as_json=json))


@app.command("detect")
def detect_command(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts of any length.")] = None,
    file: Annotated[
        list[str] | None, typer.Option(help="Text file, one text a line; .gz and .xz too, - for standard input.")
    ] = None,
    model: Answering = None,
    tokenizer: Tokenizer = None,
    heads: Heads = None,
    framework: Framework = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Mark words whose probability is this or more.")
    ] = 0.5,
    stride: Annotated[
        int | None, typer.Option(min=0, help="Tokens that two windows over a long text share; default: a quarter.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a web page.")] = None,
    json: Json = False,
) -> None:
    """Show which words of a text were replaced, as a discriminator sees it."""
    raise typer.Exit(
        detect(
            texts or [],
            files=file or [],
            model=model,
            tokenizer=tokenizer,
            heads=parse_heads(heads),
            framework=framework,
            threshold=threshold,
            stride=stride,
            html=html,
            as_json=json,
        )
    )


@app.command("fill-mask")
def fill_mask_command(
    texts: Annotated[list[str], typer.Argument(help="Texts with one [MASK] or more.")],
    model: Answering = None,
    tokenizer: Tokenizer = None,
    heads: Heads = None,
    framework: Framework = None,
    top: Annotated[int, typer.Option(min=1, help="How many candidates for each mask.")] = 5,
    json: Json = False,
) -> None:
    """Show what fits in the place of each [MASK], as a generator sees it."""
    raise typer.Exit(
        fill_mask(
            texts,
            model=model,
            tokenizer=tokenizer,
            heads=parse_heads(heads),
            framework=framework,
            top=top,
            as_json=json,
        )
    )


@app.command("tokenize")
def tokenize_command(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, lines are read.")] = None,
    file: Annotated[
        list[str] | None, typer.Option(help="Text file, one text a line; .gz and .xz too, - for standard input.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder, file or Hub name; by default that of the released models.")
    ] = None,
    in_python: Annotated[bool, typer.Option("--python", help="Use the tokenizer in Python, which is slower.")] = False,
    show: Annotated[
        str | None, typer.Option(help="table (the default for texts), pieces (for lines), ids or offsets.")
    ] = None,
    special_tokens: Annotated[bool, typer.Option(help="Put [CLS] and [SEP] around each text.")] = True,
    max_length: Annotated[int | None, typer.Option(min=2, help="Cut texts to this many tokens.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each text, a line each.")] = False,
) -> None:
    """Show how texts are split: pieces, ids, and where in the text each piece stands."""
    raise typer.Exit(
        tokenize(
            texts or [],
            files=file or [],
            tokenizer=tokenizer,
            in_python=in_python,
            show=show,
            special_tokens=special_tokens,
            max_length=max_length,
            as_json=json,
        )
    )


@vocabulary_app.command("train")
def vocabulary_train_command(
    corpus: Annotated[list[str], typer.Argument(help="Text files; .gz and .xz too.")],
    size: Annotated[int, typer.Option(min=1, help="Number of tokens, special ones included.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    kind: Annotated[str, typer.Option(help="wordpiece or bpe (byte-level).")] = "wordpiece",
    cased: Annotated[bool, typer.Option("--cased", help="Keep case and accents.")] = False,
    min_frequency: Annotated[int, typer.Option(min=1, help="Make no pieces that are seen less often.")] = 2,
    limit_alphabet: Annotated[int, typer.Option(min=1, help="Most characters to know.")] = 1000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a tokenizer that is there.")] = False,
    json: Json = False,
) -> None:
    """Make a vocabulary that fits a text, and save it as a tokenizer."""
    raise typer.Exit(
        train_vocabulary(
            corpus,
            size=size,
            out=out,
            kind=kind,
            cased=cased,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            overwrite=overwrite,
            as_json=json,
        )
    )


def main() -> None:
    """Run the command line and exit; bad input ends in one line and exit code 2, never in a traceback."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {one_line(message)}\n"  # without a line of our code
    sys.exit(_run())


def _run() -> int:
    """Run the command line and return its exit code."""
    code = 0
    try:
        with watched_output():
            code = app(prog_name="electra", standalone_mode=False) or 0
            sys.stdout.flush()
    except ReaderStoppedError:
        pass
    except _UsageError as error:
        _fail_usage(error)
        return 2
    except (ValueError, FrameworkError, OSError) as error:  # CheckpointError is a ValueError
        fail(error)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return code


def _fail_usage(error: Any) -> None:
    """Print what is wrong with the arguments as one line; where none were given, the help stands there already."""
    if message := error.format_message().rstrip("."):
        command = error.ctx.command_path if error.ctx is not None else _command_called(sys.argv[1:])
        fail(f"{message} (try '{command} --help')")


def _command_called(arguments: list[str]) -> str:
    """Return the name of the command that arguments begin with: some errors about them do not know it."""
    command: Any = typer.main.get_command(app)
    names = ["electra"]
    for word in arguments:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        names.append(word)
    return " ".join(names)
