"""A run's export: it leaves the run alone, takes from it what belongs there and no more, and tells what is wrong."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from electra_common import CheckpointError, ElectraTokenizerFast
from electra_common.cli.pretrain_export import export as print_export
from electra_common.pretraining import export
from electra_common.pretraining.export import export_run
from electra_common.runs.metrics_log import MetricsLog
from electra_common.runs.run_folder import RunState, open_run_folder
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import convert_checkpoint
from electra_common.weights.fingerprint import fingerprint
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.google_texts import VOCABULARY

NETWORKS = ["discriminator", "generator"]
IDENTITY = {"recipe": {"max_length": 13, "steps": 7}, "seed": 3, "data": "abc", "start_from": None}
DATA = {"sources": [{"name": "a.txt", "bytes": 5}], "splits": {"train": {"tokens": 9}}, "options": {"seed": 0}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with a checkpoint at steps 3 and 7, both with the weights that Google's code trained."""
    run = tmp_path_factory.mktemp("runs") / "run"

    def write_model(folder):
        convert_checkpoint(GOOGLE / "trained", folder, format="joint", num_attention_heads=GOOGLE_HEADS, overwrite=True)

    with open_run_folder(run, IDENTITY, {"command": "electra pretrain run --out caf\udce9"}) as folder:
        for step in (3, 7):
            folder.save(RunState(step, 10 * step), write_model, {}, keep=2)
    with MetricsLog(run, tensorboard=False) as log:
        log.write(7, "train", {"generator_loss": 5.25})
    (run / "data.json").write_text(json.dumps(DATA))
    (run / "tokenizer").mkdir()
    shutil.copy(VOCABULARY, run / "tokenizer" / "vocab.txt")
    return run


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of it to do damage to. What is drawn is checked elsewhere, and takes long."""
    monkeypatch.setattr(export, "picture_bytes", lambda figure, form: b"picture")
    monkeypatch.setattr(export, "curves_figure", lambda runs: None)
    return shutil.copytree(whole, tmp_path / "run", symlinks=True)


def content_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def names_in(folder):
    return sorted(item.name for item in folder.iterdir())


def test_each_network_goes_into_a_folder_with_tokenizer_card_and_curves(run, tmp_path):
    done = export_run(run, tmp_path / "out")
    assert [item.component for item in done] == names_in(tmp_path / "out") == NETWORKS
    source = open_checkpoint(run / "checkpoints" / "step-00000007")
    for item in done:
        assert item.folder == tmp_path / "out" / item.component
        assert names_in(item.folder) == [
            "README.md", "config.json", "curves.png", "model.safetensors", "tokenizer_config.json", "vocab.txt"
        ]  # fmt: skip
        assert item.fingerprint_after == fingerprint(source.component(item.component).tensors)
        card = (item.folder / "README.md").read_text()
        for told in ("7 steps, 70 tokens.", "electra pretrain run --out caf?", "(curves.png)", "| a.txt | 5 |"):
            assert told in card


def test_a_folders_name_is_printed_as_it_is(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {"dtype": None, "notes": export.ExportNotes(), "overwrite": False, "as_json": False}
    assert print_export(run, Path("[red]out"), **options) == 0
    assert "[red]out/generator" in capsys.readouterr().out


# The run is left alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["", "checkpoints/step-00000003"])
@pytest.mark.parametrize(
    "out", ["run", "run/checkpoints", "run/checkpoints/step-00000003", "run/new/er", "link", "link/new", ".", "a/.."]
)
def test_no_export_takes_the_place_of_its_run(run, tmp_path, source, out):
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "a").mkdir()
    before = content_of(tmp_path)
    with pytest.raises(
        ValueError, match=r"the run.s own folder .*, one in it or one around it; choose one outside of the run"
    ):
        export_run(run / source, tmp_path / out, overwrite=True)
    assert content_of(tmp_path) == before


def test_nor_the_place_of_checkpoints_that_lie_elsewhere(run, tmp_path):
    (run / "checkpoints").rename(tmp_path / "disk")
    (run / "checkpoints").symlink_to("../disk")
    for out in ("disk", "disk/step-00000003"):
        with pytest.raises(ValueError, match="choose one outside of the run"):
            export_run(run, tmp_path / out, overwrite=True)
    assert names_in(tmp_path / "disk") == ["step-00000003", "step-00000007"]
    assert len(export_run(run / "checkpoints" / "step-00000003", tmp_path / "out")) == 2


def test_another_folder_is_replaced_when_asked(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(CheckpointError, match="exists already"):
        export_run(run, tmp_path / "out")
    export_run(run, tmp_path / "out", overwrite=True)
    assert names_in(tmp_path / "out") == NETWORKS


# Which checkpoint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("run/checkpoints", "step-00000003"),
        ("run/checkpoints/step-00000003", "."),
        (".", "latest"),
        ("run/tokenizer", "../checkpoints/step-00000003"),
    ],
)
def test_a_checkpoint_may_be_named_from_anywhere(run, tmp_path, monkeypatch, place, name):
    (tmp_path / "latest").symlink_to(run / "checkpoints" / "step-00000003")
    monkeypatch.chdir(tmp_path / place)
    export_run(Path(name), tmp_path / "out")
    assert "3 steps, 30 tokens." in (tmp_path / "out" / "generator" / "README.md").read_text()


def test_a_checkpoint_without_its_run_is_refused(run, tmp_path):
    alone = shutil.copytree(run / "checkpoints" / "step-00000003", tmp_path / "alone")
    with pytest.raises(ValueError, match=r"alone: a checkpoint that lies in no run; expected run\.json"):
        export_run(alone, tmp_path / "out")


@pytest.mark.parametrize("gone", ["config.json", "generator_config.json", "state.json", "joint.safetensors", ""])
def test_a_checkpoint_that_is_removed_meanwhile_is_not_exported(run, tmp_path, monkeypatch, gone):
    """As a run that goes on removes it. Without its config, sizes would be guessed, and be wrong."""
    checkpoint = run / "checkpoints" / "step-00000007"

    def convert_late(*arguments, **options):
        target = checkpoint / gone
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        return convert_checkpoint(*arguments, **options)

    monkeypatch.setattr(export, "convert_checkpoint", convert_late)
    with pytest.raises(CheckpointError, match="step-00000007: was removed while it was read; export again"):
        export_run(run, tmp_path / "out")
    assert names_in(tmp_path) == ["run"]


@pytest.mark.parametrize(
    ("gone", "network"), [("config.json", "discriminator"), ("generator_config.json", "generator")]
)
def test_a_checkpoint_without_a_config_is_refused(run, tmp_path, gone, network):
    (run / "checkpoints" / "step-00000007" / gone).unlink()
    with pytest.raises(CheckpointError, match=f"expected a config of the {network}"):
        export_run(run, tmp_path / "out")


# What goes along ------------------------------------------------------------------------------------------------------


def test_of_the_tokenizers_folder_only_a_tokenizers_files_are_taken(run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (run / "tokenizer" / "extra.txt").symlink_to(tmp_path / "secret")
    (run / "tokenizer" / "notes.txt").write_text("mine")
    (run / "tokenizer" / "added_tokens.json").write_text("{}")
    export_run(run, tmp_path / "out")
    for name in NETWORKS:
        found = names_in(tmp_path / "out" / name)
        assert {"extra.txt", "notes.txt"}.isdisjoint(found)
        assert {"vocab.txt", "added_tokens.json"} <= set(found)


@pytest.mark.parametrize("name", ["run.json", "data.json", "tokenizer", "tokenizer/vocab.txt"])
def test_a_link_in_the_place_of_a_file_is_refused(run, tmp_path, name):
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"{name}: (a link that leads elsewhere|expected a folder, found a link)"):
        export_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_or_too_large_is_refused(run, tmp_path, monkeypatch):
    os.mkfifo(run / "tokenizer" / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a regular file"):
        export_run(run, tmp_path / "out")
    (run / "tokenizer" / "tokenizer.json").unlink()
    monkeypatch.setattr("electra_common.pretraining.run_facts.MOST_BYTES", 1000)
    (run / "data.json").write_text(" " * 1001)
    with pytest.raises(CheckpointError, match=r"data\.json: more than 1000 bytes, which no run has"):
        export_run(run, tmp_path / "out")


@pytest.mark.parametrize("missing", ["tokenizer", "tokenizer/vocab.txt"])
def test_a_run_without_a_tokenizer_is_told_so(run, tmp_path, missing):
    shutil.move(run / missing, tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"tokenizer: holds no tokenizer; expected vocab\.txt or tokenizer\.json"):
        export_run(run, tmp_path / "out")


@pytest.mark.parametrize(
    ("start", "stated", "expected"),
    [(None, 77, 13), ("weights", 77, 77), ("weights", 10**30, 13), ("weights", None, 13)],
)
def test_its_tokenizer_knows_how_long_rows_were(run, tmp_path, start, stated, expected):
    change(run / "run.json", start_from=start)
    (run / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated}))
    export_run(run, tmp_path / "out")
    assert ElectraTokenizerFast.from_pretrained(tmp_path / "out" / "generator").model_max_length == expected


# Damaged files --------------------------------------------------------------------------------------------------------


def change(file, **fields):
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


RECIPE = "expected a max_length above 0, found"


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("run.json", {"start_from": 5}, "start_from: expected a path, a name or null, found 5"),
        ("run.json", {"recipe": "nano"}, "recipe: expected an object, found 'nano'"),
        ("run.json", {"recipe": {}}, f"recipe: {RECIPE} None"),
        ("run.json", {"recipe": {"max_length": True}}, f"recipe: {RECIPE} True"),
        ("run.json", {"recipe": {"max_length": 0}}, f"recipe: {RECIPE} 0"),
        ("run.json", {"starts": {}}, "starts: expected a list, found {}"),
        ("run.json", {"starts": ["x"]}, "starts: expected an object, found 'x'"),
        ("run.json", {"starts": [{"command": 5}]}, "starts: expected a text as command, found 5"),
        ("data.json", {"sources": ["x"]}, "sources: expected an object, found 'x'"),
        ("data.json", {"splits": [1]}, r"splits: expected an object, found \[1\]"),
        ("data.json", {"splits": {"train": 1}}, "splits: train: expected an object, found 1"),
        ("data.json", {"vocabulary": "v"}, "vocabulary: expected an object, found 'v'"),
        ("data.json", {"options": None}, "options: expected an object, found None"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": "512"}, "expected a number above 0 as m"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": float("nan")}, ".*NaN is not finite"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": True}, "expected a number above 0"),
    ],
)  # fmt: skip
def test_a_damaged_fact_is_told_with_its_file(run, tmp_path, name, fields, message):
    (run / "tokenizer" / "tokenizer_config.json").write_text("{}")
    change(run / name, **fields)
    with pytest.raises(CheckpointError, match=rf"{name}: {message}") as error:
        export_run(run, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_run_that_does_not_say_what_it_started_from_is_refused(run, tmp_path):
    stored = json.loads((run / "run.json").read_text())
    del stored["start_from"]
    (run / "run.json").write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"run\.json: start_from: expected a path, a name or null, found nothing"):
        export_run(run, tmp_path / "out")


@pytest.mark.parametrize("name", ["run.json", "data.json", "tokenizer/tokenizer_config.json"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "Expecting value"),
        ("[1]", "expected a JSON object, found list"),
        ("\udcff", "'utf-8' codec"),
        ('{"a": ' * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_object_is_told_with_its_file(run, tmp_path, name, content, told):
    (run / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=f"{name}: .*{told}"):
        export_run(run, tmp_path / "out")


# Without curves -------------------------------------------------------------------------------------------------------


def assert_has_no_curves(run, out, message):
    with pytest.warns(UserWarning, match=f"the cards show no curves: {message}"):
        export_run(run, out)
    for name in NETWORKS:
        assert not (out / name / "curves.png").exists()
        assert "curves.png" not in (out / name / "README.md").read_text()


def test_without_a_line_of_metrics_there_are_no_curves(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "metrics.jsonl").write_text("")
    assert_has_no_curves(run, tmp_path / "out", "nothing to draw in out")


def test_without_matplotlib_there_are_no_curves(whole, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert_has_no_curves(whole, tmp_path / "out", r"drawing needs matplotlib .*pip install 'electra-dual\[train\]'")
