"""inspect and convert: what they print, what they write, and how they fail."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import electra_common.cli.main as module
from electra_common import ElectraConfig, open_checkpoint
from electra_common.cli.inspect import config_source
from electra_common.cli.main import main
from electra_common.cli.options import parse_heads
from electra_common.comparison import compare_outputs
from electra_common.weights.checkpoint import Checkpoint
from electra_common.weights.components import Component
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.saving import TWO_NETWORK_FORMATS, WRITABLE_FORMATS
from support.fixtures import GOOGLE, TRANSFORMERS

HEADS = "discriminator=4,generator=1"


def assert_one_clear_line(result, *words):
    """Exit code 2, nothing on standard output, one line on standard error that holds the words, and no traceback."""
    code, out, err = result
    assert code == 2, (code, out, err)
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_inspect_shows_both_networks_of_a_google_checkpoint(electra):
    code, out, _ = electra("inspect", GOOGLE / "trained")
    assert code == 0
    for expected in ("format: tf1", "discriminator (ElectraForPreTraining)", "generator (ElectraForMaskedLM)",
                     "224 tensors: Adam slot", "assumed to be hidden size // 64"):  # fmt: skip
        assert expected in out


def test_inspect_json_is_one_object_with_the_fingerprint(electra):
    code, out, _ = electra("inspect", GOOGLE / "trained", "--json", "--tensors", "--num-attention-heads", HEADS)
    content = json.loads(out)
    assert code == 0
    assert content["format"] == "tf1"
    for item in content["components"]:
        tensors = open_checkpoint(GOOGLE / "trained").component(item["component"]).tensors
        assert item["fingerprint"] == fingerprint(tensors)
        assert len(item["tensors"]) == item["tensor_count"] == len(tensors)
        assert item["config"]["num_attention_heads"] == parse_heads(HEADS)[item["component"]]


def test_inspect_without_fingerprint_does_not_read_the_weights(electra, tmp_path):
    """The data file is full of holes here: anything that reads it finds damage."""
    shutil.copytree(GOOGLE / "trained", tmp_path / "copy")
    data = next((tmp_path / "copy").glob("*.data-*"))
    size = data.stat().st_size
    data.unlink()
    data.write_bytes(bytes(size))
    assert electra("inspect", tmp_path / "copy", "--no-fingerprint")[0] == 0
    assert_one_clear_line(electra("inspect", tmp_path / "copy"), "damaged", "checksum")


def test_inspect_of_an_incomplete_checkpoint_says_what_is_missing(electra, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(TRANSFORMERS / "small-like" / "ForPreTraining", folder)
    config = ElectraConfig.from_pretrained(folder)
    config.replace(num_hidden_layers=4).save_pretrained(folder)
    code, out, _ = electra("inspect", folder, "--json")
    assert code == 1
    assert "missing" in json.loads(out)["components"][0]["problems"]


def test_inspect_takes_a_class_that_nobody_knows_for_the_one_that_the_tensors_show(electra, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(TRANSFORMERS / "small-like" / "ForPreTraining", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Our[/b]Electra"]}))
    code, out, err = electra("inspect", folder, "--no-fingerprint")
    assert (code, err) == (0, "")
    assert "discriminator (ElectraForPreTraining)" in out
    assert "config.json; its class 'Our[/b]Electra' is not known, ElectraForPreTraining by the tensors" in out


def test_heads_that_the_weights_show_are_not_called_assumed():
    told = Component("discriminator", {}, config_fields={"num_attention_heads": 4})
    checkpoint = Checkpoint(Path("model"), "tf2", {"discriminator": told})
    assert config_source(checkpoint, told, None) == "shapes of the weights, which show the heads too"
    assert config_source(checkpoint, told, {"generator": 1}) == "shapes of the weights, which show the heads too"
    assert config_source(checkpoint, told, 2) == "shapes; heads as given"


def test_convert_writes_two_folders_with_unchanged_fingerprints(electra, tmp_path):
    code, out, _ = electra("convert", GOOGLE / "trained", tmp_path / "new", "--num-attention-heads", HEADS, "--json")
    assert code == 0
    assert_one_clear_line(electra("inspect", tmp_path / "new"), "in its folders discriminator and generator")
    for item in json.loads(out)["written"]:
        assert item["unchanged"]
        assert item["config_from"] == "shapes; heads as given"
        folder = tmp_path / "new" / item["component"]
        assert ElectraConfig.from_pretrained(folder).num_attention_heads == parse_heads(HEADS)[item["component"]]
        assert fingerprint(open_checkpoint(folder).component().tensors) == item["fingerprint_before"]


@pytest.mark.parametrize("format", WRITABLE_FORMATS)
def test_convert_writes_every_form(electra, tmp_path, format):
    source = TRANSFORMERS / "small-like" / "ForMaskedLM"
    code, out, _ = electra("convert", source, tmp_path / "new", "--format", format, "--json")
    assert code == 0
    assert [(item["unchanged"], item["config_from"]) for item in json.loads(out)["written"]] == [(True, "config.json")]
    assert open_checkpoint(tmp_path / "new").format == format


@pytest.mark.parametrize("format", TWO_NETWORK_FORMATS)
def test_convert_writes_both_networks_into_one_checkpoint(electra, tmp_path, format):
    target = tmp_path / "new"
    options = ("--format", format, "--num-attention-heads", HEADS)
    code, out, _ = electra("convert", GOOGLE / "trained", target, *options, "--json")
    assert code == 0
    assert {item["folder"] for item in json.loads(out)["written"]} == {str(target)}
    code, out, _ = electra("inspect", target, "--json")
    assert [item["complete"] for item in json.loads(out)["components"]] == [True, True]


def test_convert_of_one_network_goes_into_the_folder_itself(electra, tmp_path):
    code, out, _ = electra("convert", GOOGLE / "trained", tmp_path / "new", "--component", "generator")
    assert code == 0
    assert "ElectraForMaskedLM" in out
    assert "config.json of the generator: heads assumed to be hidden size // 64" in out
    assert {item.name for item in (tmp_path / "new").iterdir()} == {"config.json", "model.safetensors"}


def test_an_existing_target_is_refused_and_left_alone_unless_asked(electra, tmp_path):
    target = tmp_path / "new"
    target.mkdir()
    (target / "precious.txt").write_text("mine")
    assert_one_clear_line(electra("convert", GOOGLE / "trained", target), "exists already")
    assert (target / "precious.txt").read_text() == "mine"
    assert electra("convert", GOOGLE / "trained", target, "--overwrite")[0] == 0
    assert {item.name for item in target.iterdir()} == {"discriminator", "generator"}


def damage(folder, kind):
    """Copy a Google checkpoint and break it."""
    shutil.copytree(GOOGLE / "trained", folder)
    data = next(folder.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif kind == "flipped":
        content[len(content) // 3] ^= 1
    data.chmod(0o644)
    data.unlink() if kind == "missing" else data.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("kind", "word"), [("truncated", "truncated"), ("flipped", "checksum"), ("missing", "No such file")]
)
@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_a_damaged_checkpoint_is_one_line_and_leaves_nothing_behind(electra, tmp_path, kind, word, command):
    source = damage(tmp_path / "broken", kind)
    target = [tmp_path / "new"] if command == "convert" else []
    assert_one_clear_line(electra(command, source, *target), word)
    assert [item.name for item in tmp_path.iterdir()] == ["broken"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "/nowhere/at/all"], ["/nowhere/at/all", "no such file or folder"]),
        (["inspect", GOOGLE / "spec.json"], ["JSON text", "holds no weights"]),
        (["convert", GOOGLE / "trained", "x", "--component", "teacher"], ["component must be", "'teacher'"]),
        (["convert", TRANSFORMERS / "base-like/Model", "x", "--component", "generator"], ["holds no generator"]),
        (["convert", GOOGLE / "trained", "x", "--format", "onnx"], ["format must be one of", "onnx"]),
        (["convert", GOOGLE / "trained", "x", "--num-attention-heads", "4"], ["two networks", "discriminator="]),
        (["convert", GOOGLE / "trained", "x", "--num-attention-heads", "four"], ["--num-attention-heads", "four"]),
        (["inspect", "x", "--num-attention-heads", "generator=4,generator=8"], ["generator stands there twice"]),
        (["convert", GOOGLE / "trained", GOOGLE / "spec.json", "--overwrite"], ["is no folder, so it is not replaced"]),
        (["compare", GOOGLE / "trained", "--ids", "a", "--text", "b"], ["--text or --ids"]),
    ],
)
def test_bad_input_is_one_clear_line(electra, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert_one_clear_line(electra(*arguments), *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", GOOGLE], ["Missing argument 'target'", "(try 'electra convert --help')"]),
        (["detect", "a", "--threshold", "7"], ["Invalid value for '--threshold'", "(try 'electra detect --help')"]),
        (["detect", "a", "--threshold", "7", "--json"], ["Invalid value for '--threshold'"]),
        (["pretrain", "run", "--keep", "0", "--json"], ["'--keep'", "(try 'electra pretrain run --help')"]),
        (["tokenize", "a", "--show"], ["'--show' requires an argument (try 'electra tokenize --help')"]),
        (["pretrain", "run", "--recipe"], ["(try 'electra pretrain run --help')"]),
        (["inspekt"], ["No such command 'inspekt'", "'inspect'", "(try 'electra --help')"]),
        (["tasks", "--\x1b[31mred"], ["No such option", "(try 'electra tasks --help')"]),
    ],
)
def test_a_wrong_argument_is_one_clear_line(electra, arguments, words):
    result = electra(*arguments)
    assert_one_clear_line(result, *words)
    assert "\x1b" not in result[2]


def test_a_vocabulary_that_cannot_be_made_or_would_replace_another_is_refused_at_once(electra, tmp_path):
    (tmp_path / "corpus.txt").write_text("some text of a corpus\n")
    (tmp_path / "blank.txt").write_text(" \n\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "vocab.txt").write_text("mine")
    for out, corpus, told in (
        ("model", "corpus.txt", "model: holds a tokenizer already (vocab.txt); choose another folder or add --overwri"),
        ("corpus.txt", "corpus.txt", "corpus.txt: is a file; --out takes the folder to write"),
        ("new", "blank.txt", "blank.txt: the corpus holds no text to make a vocabulary of"),
    ):
        result = electra("vocab", "train", tmp_path / corpus, "--size", 31, "--out", tmp_path / out)
        assert_one_clear_line(result, told)
    assert (tmp_path / "model" / "vocab.txt").read_text() == "mine"
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["blank.txt", "corpus.txt", "model", "vocab.txt"]


def test_a_tokenizer_is_replaced_with_all_its_files_and_nothing_else(electra, tmp_path):
    (tmp_path / "corpus.txt").write_text("some text of a corpus\n")
    model = tmp_path / "model"
    model.mkdir()
    for name in ("vocab.txt", "added_tokens.json", "config.json"):
        (model / name).write_text("{}")
    command = ("vocab", "train", tmp_path / "corpus.txt", "--size", 261, "--out", model, "--kind", "bpe", "--json")
    code, printed, errors = electra(*command, "--overwrite")
    assert code == 0, errors
    assert {str(item) for item in model.iterdir()} == {*json.loads(printed)["files"], str(model / "config.json")}
    assert not (model / "vocab.txt").exists()


@pytest.mark.parametrize("command", [[], ["pretrain"]])
def test_without_a_command_there_is_help_and_no_error(electra, command):
    code, out, err = electra(*command)
    assert (code, err) == (2, "")
    assert "Usage: electra" in out


@pytest.mark.parametrize("arguments", [["tasks"], ["tasks", "--json"], ["--help"], ["tasks", "--help"]])
def test_a_reader_that_stops_ends_any_command_well(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["electra", *arguments])
    with output_without_a_reader(monkeypatch), pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0


@pytest.mark.parametrize("arguments", [["tasks"], ["tasks", "--json"], ["tokenize", "a"], ["tasks", "--help"]])
def test_a_standard_output_that_was_closed_before_hinders_no_command(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["electra", *arguments])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0


def test_the_answer_no_stays_no_where_its_last_words_are_not_read(monkeypatch):
    """What is printed waits for the end here, as much of it as a buffer holds."""
    monkeypatch.setattr(module, "compare", lambda *_, **__: print("they differ") or 1)
    monkeypatch.setattr(sys, "argv", ["electra", "compare", "here"])
    with output_without_a_reader(monkeypatch), pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1


@contextmanager
def output_without_a_reader(monkeypatch):
    """Let standard output lead into a pipe whose other end is closed; its own end must come without an error."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield


def test_what_is_said_of_a_checkpoint_is_neither_obeyed_nor_read_as_markup(electra, tmp_path):
    code, out, err = electra("inspect", tmp_path / "\x1b[31m[/b] :fire:")
    assert code == 2
    assert (out, err.count("\n")) == ("", 1)
    assert f"{tmp_path}/\N{REPLACEMENT CHARACTER}[31m[/b] :fire:" in err
    folder = tmp_path / "\x9b1m[/b] :fire:"
    shutil.copytree(TRANSFORMERS / "small-like" / "ForPreTraining", folder)
    code, out, _ = electra("inspect", folder)
    assert code == 0
    assert f"{tmp_path}/\N{REPLACEMENT CHARACTER}1m[/b] :fire:" in out.replace("\n", "")


def test_a_warning_is_one_line_that_is_not_obeyed(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", None)
    monkeypatch.setattr(sys, "argv", ["electra", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert warnings.formatwarning("a\n\x1b[2Jb", UserWarning) == "warning: a \N{REPLACEMENT CHARACTER}[2Jb\n"


def test_the_version_is_shown(electra):
    code, out, _ = electra("--version")
    assert code == 0
    assert out.startswith("electra-dual ")


def test_the_shell_can_complete_commands():
    environment = {
        **os.environ,
        "_ELECTRA_COMPLETE": "complete_bash",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        "COMP_WORDS": "electra co",
        "COMP_CWORD": "1",
    }
    code = "import sys; sys.argv[0] = 'electra'; from electra_common.cli.main import app; app(prog_name='electra')"
    finished = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.stdout.split() == ["convert", "compare"]


def test_differences_come_in_the_order_of_the_data_and_nan_is_never_small():
    first = {"logits": np.zeros(3), "hidden_states/10": np.ones(2), "hidden_states/2": np.ones(2),
             "attentions/2": np.ones(2)}  # fmt: skip
    second = {**first, "hidden_states/10": np.array([1.0, np.nan]), "logits": np.array([0.0, -0.5, 0.0])}
    found = compare_outputs(first, second)
    assert [item.name for item in found] == ["hidden_states/2", "attentions/2", "hidden_states/10", "logits"]
    assert [item.largest for item in found] == [0.0, 0.0, np.inf, 0.5]
    assert found[2].label == "layer 9 output"
