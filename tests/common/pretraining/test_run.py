"""What a run checks before its loop begins, and what it takes from the folders that it is given."""

import json
import shutil

import pytest

from electra_common import CheckpointError
from electra_common.pretraining.processes import Processes
from electra_common.pretraining.run import open_run
from electra_common.pretraining.run_folder import read_run
from support.pretraining_runs import prepare_tiny_corpus, tiny_settings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def own_data(data, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(data, tmp_path / "data")


def start(settings, quiet=True):
    with open_run(settings, framework="pt", version="1", processes=Processes(), quiet=quiet):
        pass


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_corpus_that_lies_about_the_size_of_its_vocabulary_is_refused(own_data, tmp_path):
    manifest = own_data / "manifest.json"
    vocabulary = json.loads(manifest.read_text())["vocabulary"]
    change(manifest, vocabulary={**vocabulary, "size": 200_000})
    with pytest.raises(ValueError, match=f"expected a vocabulary of 200000 ids, found {vocabulary['size']}"):
        start(tiny_settings(own_data, tmp_path / "run"))


def test_only_the_files_of_the_tokenizer_go_into_the_run(own_data, tmp_path):
    (own_data / "tokenizer" / "notes.txt").write_text("x")
    start(tiny_settings(own_data, tmp_path / "run"))
    kept = {file.name for file in (tmp_path / "run" / "tokenizer").iterdir()}
    assert kept == {"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}


def test_a_tokenizer_that_leads_out_of_the_corpus_is_refused(own_data, tmp_path):
    (tmp_path / "secret").write_text("{}")
    (own_data / "tokenizer" / "added_tokens.json").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match=r"added_tokens\.json: a link that leads elsewhere"):
        start(tiny_settings(own_data, tmp_path / "run"))
    assert not (tmp_path / "run" / "tokenizer" / "added_tokens.json").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "tokenizer", "checkpoints", "tensorboard", ".lock"])
def test_a_run_that_leads_out_of_its_folder_is_refused_and_nothing_is_written_there(data, tmp_path, name):
    start(tiny_settings(data, tmp_path / "run"))
    inside, outside = tmp_path / "run" / name, tmp_path / "outside"
    if name in ("tokenizer", "checkpoints", "tensorboard"):
        shutil.rmtree(inside, ignore_errors=True)
        outside.mkdir()
    else:
        inside.unlink()
        outside.write_text("of the user")
    inside.symlink_to(outside, target_is_directory=outside.is_dir())
    with pytest.raises((ValueError, CheckpointError), match="link"):
        start(tiny_settings(data, tmp_path / "run"))
    assert list(outside.iterdir()) == [] if outside.is_dir() else outside.read_text() == "of the user"


def test_links_that_nothing_is_written_through_are_no_business_of_a_run(data, tmp_path):
    start(tiny_settings(data, tmp_path / "run"))
    (tmp_path / "run" / "latest").symlink_to("checkpoints")
    start(tiny_settings(data, tmp_path / "run"))
    assert len(read_run(tmp_path / "run")["starts"]) == 2


@pytest.mark.parametrize(("before", "told"), [((), "begins anew"), ((5, 9), "goes on from step-00000009")])
def test_a_damaged_checkpoint_says_how_to_go_on(data, tmp_path, before, told):
    start(tiny_settings(data, tmp_path / "run"))
    for step in (*before, 10):
        newest = tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
        newest.mkdir(parents=True)
        (newest / "state.json").write_text(json.dumps({"format": 1, "step": step, "tokens": 9}))
    with pytest.raises(CheckpointError, match=f"without {newest} the run {told}"):
        start(tiny_settings(data, tmp_path / "run"))


def test_a_corpus_with_nothing_held_out_is_told(own_data, tmp_path, capsys):
    manifest = own_data / "manifest.json"
    start(tiny_settings(own_data, tmp_path / "first"), quiet=False)
    assert "no evaluations" not in capsys.readouterr().err
    shards = [shard for shard in json.loads(manifest.read_text())["shards"] if shard["split"] == "train"]
    change(manifest, shards=shards)
    start(tiny_settings(own_data, tmp_path / "second"), quiet=False)
    assert "no evaluations: the corpus was prepared without --held-out" in capsys.readouterr().err
    start(tiny_settings(own_data, tmp_path / "third", evaluate_every=0), quiet=False)
    assert "no evaluations" not in capsys.readouterr().err


def test_where_a_run_once_started_may_be_left_out_and_fields_that_are_new_have_their_defaults(tmp_path):
    first = tiny_settings(tmp_path, tmp_path, start_from="somewhere", fresh_optimizer=True)
    record = first.identity("data")
    del record["recipe"]["positions"], record["recipe"]["clip_norm"]
    record["recipe"]["summary"] = "other words"
    again = tiny_settings(tmp_path, tmp_path, "positions=drawn")
    assert again.restate(record) == again.identity("data")
    assert again.restate({**record, "seed": 5}) != again.identity("data")
    elsewhere = tiny_settings(tmp_path, tmp_path, start_from="elsewhere")
    assert elsewhere.restate(record)["start_from"] == "somewhere"


def test_an_adam_to_leave_aside_needs_weights_that_it_comes_with(tmp_path):
    with pytest.raises(ValueError, match="fresh_optimizer needs start_from"):
        tiny_settings(tmp_path, tmp_path, fresh_optimizer=True)
