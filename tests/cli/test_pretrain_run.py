"""``electra pretrain run`` and ``export``, as a user runs them, in the framework that is installed."""

import json
import re
import resource
import shutil
from functools import partial
from types import SimpleNamespace

import pytest

from conftest import is_installed
from electra_common import ElectraTokenizerFast, open_checkpoint
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.settings import RunSettings
from electra_common.runs.run_folder import RunState, list_checkpoints
from support.pretraining_runs import TINY, assert_same_bits, prepare_tiny_corpus
from support.small_disks import NO_DISK, run_electra_on_small_disk
from support.warm_processes import run_electra

FAMILY = "pt" if is_installed("torch") else "tf"
CHANGES = [item for change in TINY for item in ("--set", change)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run of twelve steps with checkpoints at 5, 10 and 12, as a command of its own."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    printed = command(data, out, "--json", "--log-every", "6")
    assert printed.returncode == 0, printed.stderr
    return out, printed


def arguments(data, out, *options):
    return ["pretrain", "run", "--data", data, "--out", out, *CHANGES, "--save-every", 5, *options]


def command(data, out, *options, **named):
    """Run the command in a process of its own."""
    return run_electra(*arguments(data, out, *options), **named)


def test_it_tells_lines_while_it_goes_and_an_object_at_the_end(finished):
    out, printed = finished
    answer = json.loads(printed.stdout)
    assert (answer["out"], answer["framework"], answer["step"]) == (str(out), FAMILY, 12)
    lines = [line for line in printed.stderr.splitlines() if line.startswith("step 6/12")]
    assert len(lines) == 1
    assert "generator loss" in lines[0]
    assert "tokens/s" in lines[0]
    assert lines[0].endswith("left")


@pytest.mark.once  # the files of a run are written by no framework
def test_a_full_disk_ends_a_run_with_one_line_and_its_last_checkpoint(data, finished, tmp_path):
    """The log and the weights can be written, Adam's state cannot; later the run ends as if nothing had been."""
    whole, _ = finished
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for checkpoint in list_checkpoints(out)[1:]:
        shutil.rmtree(checkpoint)
    full = run_electra_on_small_disk(out, 100_000, *arguments(data, out))
    if full.returncode == NO_DISK:
        full = command(data, out, prepare=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (30_000, 30_000)))
    assert full.returncode == 2
    assert re.search("cannot be written: (No space left|File too large)", full.stderr.splitlines()[-1])
    assert [item.name for item in list_checkpoints(out)] == ["step-00000005"]
    assert [item.name for item in (out / "checkpoints").iterdir()] == ["step-00000005"]
    assert command(data, out).returncode == 0
    assert_same_bits(whole, out)


def test_an_exported_run_is_two_models_with_cards(electra, finished, tmp_path):
    run, _ = finished
    code, printed, _ = electra(
        "pretrain", "export", run, "--out", tmp_path / "model", "--dtype", "float16", "--name", "tiny",
        "--language", "en", "--license-note", "Speeches, in the public domain.", "--license", "cc0-1.0", "--json",
        "--training-note", "On a rainy day.",
    )  # fmt: skip
    assert code == 0
    written = json.loads(printed)["written"]
    assert sorted(written) == ["discriminator", "generator"]
    for name, item in written.items():
        checkpoint = open_checkpoint(item["folder"])
        assert {tensor.dtype for tensor in checkpoint.component(None).tensors.values()} == {"float16"}
        card = (tmp_path / "model" / name / "README.md").read_text()
        assert "\n## Training\n\nOn a rainy day.\n" in card
        for told in ("# tiny", "Speeches, in the public domain.", 'license: "cc0-1.0"', "electra pretrain run", "auc"):
            assert told in card, told
        assert (tmp_path / "model" / name / "vocab.txt").exists()
        assert (tmp_path / "model" / name / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.once
def test_an_exported_tokenizer_says_how_long_a_text_was_trained(electra, finished, tmp_path):
    """Beyond it a network answers nonsense; a run from weights may keep a limit that is known of them."""
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    stored = json.loads((run / "run.json").read_text())
    config = run / "tokenizer" / "tokenizer_config.json"
    trained = stored["recipe"]["max_length"]
    for number, (start, stated, expected) in enumerate(
        [(None, 77, trained), ("weights", 77, 77), ("weights", 10**30, trained), ("weights", None, trained)]
    ):
        (run / "run.json").write_text(json.dumps({**stored, "start_from": start}))
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": stated}))
        out = tmp_path / str(number)
        assert electra("pretrain", "export", run, "--out", out)[0] == 0
        for name in ("discriminator", "generator"):
            assert ElectraTokenizerFast.from_pretrained(out / name).model_max_length == expected


def test_a_single_checkpoint_is_exported_as_it_was(electra, finished, tmp_path):
    run, _ = finished
    first = list_checkpoints(run)[0]
    assert electra("pretrain", "export", first, "--out", tmp_path / "model")[0] == 0
    assert "5 steps, " in (tmp_path / "model" / "generator" / "README.md").read_text()


def test_what_is_no_run_is_not_exported(electra, tmp_path):
    code, _, error = electra("pretrain", "export", tmp_path, "--out", tmp_path / "model")
    assert code == 2
    assert "neither a run with a checkpoint nor one of its checkpoints" in " ".join(error.split())


@pytest.mark.parametrize(
    ("options", "stands", "code", "told"),
    [
        ([], 9, 0, ""),
        ([], 5, 143, "stopped at step 5; the same command goes on from there"),
        (["--stop-at", 6], 5, 143, "stopped at step 5; the same command goes on from there"),
        (["--stop-at", 6], 6, 0, "stopped at step 6; the same command without --stop-at goes on from there"),
        (["--stop-at", 6], 8, 0, "stopped at step 8; the same command without --stop-at goes on from there"),
    ],
)
def test_where_a_run_stopped_is_told_with_how_to_go_on(electra, tmp_path, monkeypatch, options, stands, code, told):
    def pretrain(settings, at_end):
        at_end(RunState(stands))
        return RunState(stands)

    monkeypatch.setattr(
        "electra_common.cli.pretrain_run.load_module", lambda *_: ("pt", SimpleNamespace(pretrain=pretrain))
    )
    steps = ("--set", "steps=9", "--set", "warmup_steps=1")
    found, _, error = electra("pretrain", "run", "--data", tmp_path, "--out", tmp_path / "run", *steps, *options)
    assert (found, error.strip()) == (code, told)


@pytest.mark.once  # no framework is asked
def test_every_option_reaches_the_run(electra, tmp_path, monkeypatch):
    """Each is given once, with a value that is not its default."""
    modules, calls = [], []

    def pretrain(settings, at_end):
        calls.append(settings)
        return RunState(settings.last_step)

    def load_module(*names):
        modules.append(names)
        return "tf", SimpleNamespace(pretrain=pretrain)

    monkeypatch.setattr("electra_common.cli.pretrain_run.load_module", load_module)
    expected = {
        "data": tmp_path, "out": tmp_path / "run", "seed": 5, "start_from": "there", "start_generator_from": "beside",
        "fresh_optimizer": True, "accumulation": 2, "precision": "bfloat16", "compile": True, "shard": True,
        "log_every": 3, "evaluate_every": 7, "evaluation_examples": 11, "save_every": 13, "keep": 17,
        "tensorboard": False, "stop_at": 19,
    }  # fmt: skip
    names = {"start_from": "from", "start_generator_from": "generator-from", "tensorboard": "no-tensorboard"}
    options = ["--framework=tf", "--recipe=small", "--set=steps=23", "--set=warmup_steps=2", "--json"]
    for field, value in expected.items():
        option = f"--{names.get(field, field.replace('_', '-'))}"
        options.append(option if isinstance(value, bool) else f"{option}={value}")
    assert electra("pretrain", "run", *options)[0] == 0
    assert modules == [("tf", "pretraining")]
    (settings,) = calls
    assert settings.recipe == load_recipe("small").with_changes(["steps=23", "warmup_steps=2"])
    assert {name: value for name, value in vars(settings).items() if name != "recipe"} == expected
    usual = RunSettings(data=tmp_path / "x", out=tmp_path / "x", recipe=load_recipe("nano"))
    assert [name for name, value in vars(settings).items() if value == getattr(usual, name)] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "learning_rat=1"], "did you mean learning_rate?"),
        (["--recipe", "huge"], "no recipe 'huge'; known: nano, small"),
        (["--precision", "float8"], "precision must be one of float32, bfloat16, found 'float8'"),
        (["--framework", "jax"], "--framework must be one of pt, tf, found 'jax'"),
        (["--generator-from", "somewhere"], "start_generator_from (--generator-from) needs start_from (--from)"),
        (["--framework", "tf" if FAMILY == "pt" else "pt"], "is not installed: pip install 'electra-dual["),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(electra, tmp_path, options, message):
    if "is not installed" in message and is_installed("torch") and is_installed("tensorflow"):
        pytest.skip("both are installed")
    code, _, error = electra("pretrain", "run", "--data", tmp_path, "--out", tmp_path / "run", *options)
    assert code == 2
    assert message in " ".join(error.split())
    assert not (tmp_path / "run").exists()


def test_data_that_is_no_corpus_or_truncated_is_told_in_one_line(electra, data, tmp_path):
    for prepare, message in ((None, "there is no manifest.json"), (truncate, "truncated: expected")):
        folder = tmp_path / message[:5]
        if prepare is not None:
            shutil.copytree(data, folder)
            prepare(folder)
        code, _, error = electra("pretrain", "run", "--data", folder, "--out", tmp_path / "run")
        assert code == 2
        assert message in " ".join(error.split())


def truncate(folder):
    shard = folder / "train-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-7])
