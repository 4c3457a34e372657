"""What a run checks before its loop begins, and what it takes from the folders that it is given."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.pretraining.flops import step_flops
from electra_common.pretraining.run import open_run
from electra_common.runs.metrics_log import MetricsLog, read_metrics
from electra_common.runs.processes import AnotherProcessFailedError, Processes
from electra_common.runs.run_folder import list_checkpoints, read_run
from support.pretraining_runs import LENGTH, prepare_tiny_corpus, tiny_settings
from support.threaded_processes import run_everywhere


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def own_data(data, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(data, tmp_path / "data")


@pytest.fixture
def clock(monkeypatch):
    """The time that a run tells speeds by; it stands still unless a test moves it."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr("electra_common.runs.reporting.time", SimpleNamespace(perf_counter=lambda: found.now))
    return found


def opened(settings, processes=None, quiet=True):
    return open_run(settings, framework="pt", version="1", processes=processes or Processes(), quiet=quiet)


def start(settings, quiet=True):
    with opened(settings, quiet=quiet):
        pass


def no_model(folder):
    """Write nothing in the place of a model."""


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


def test_a_batch_that_does_not_divide_is_refused_before_the_folder_is_made(data, tmp_path):
    with pytest.raises(ValueError, match=r"a batch of 8 does not divide into 1 process\(es\) of 7 micro-batch\(es\)"):
        start(tiny_settings(data, tmp_path / "run", accumulation=7))
    assert not (tmp_path / "run").exists()


# What recipe and settings decide --------------------------------------------------------------------------------------


def test_schedule_and_masking_are_the_recipes(data, tmp_path):
    changes = ("learning_rate=0.5", "warmup_steps=4", "steps=10", "decay_power=2.0", "masking=google")
    with opened(tiny_settings(data, tmp_path / "run", *changes)) as run:
        found = [run.learning_rate(step) for step in (1, 3, 7, 9)]
        assert found == pytest.approx([0.5 * 0.8**2 / 2, 0.5 * 0.6**2, 0.5 * 0.2**2, 0.0])
        assert run.rules.method == "google"


def test_as_many_checkpoints_stay_as_are_asked_for(data, tmp_path):
    with opened(tiny_settings(data, tmp_path / "run", keep=2)) as run:
        for step in range(5):
            run.finish_step(step, 1)
            run.save(no_model, dict)
    assert [item.name for item in list_checkpoints(tmp_path / "run")] == ["step-00000004", "step-00000005"]


@pytest.mark.parametrize("tensorboard", [True, False])
def test_event_files_are_written_where_they_are_asked_for(data, tmp_path, tensorboard):
    with opened(tiny_settings(data, tmp_path / "run", tensorboard=tensorboard)) as run:
        run.finish_step(0, 1)
        run.log({"loss": 2.0})
        run.log_evaluation({"auc": 0.75})
    written = [file.read_bytes() for file in (tmp_path / "run").glob("tensorboard/*")]
    assert [b"loss/train" in content and b"auc/held-out" in content for content in written] == [True] * tensorboard


# How fast it goes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4])
def test_the_share_of_the_peak_is_of_what_all_processes_could_reach(data, tmp_path, clock, count):
    processes = Processes(count, (0,), lambda values: np.full_like(values, values[0]))  # all say the same
    settings = tiny_settings(data, tmp_path / "run")
    with opened(settings, processes) as run:
        run.expect_speed(1e9)
        for step in range(3):
            run.finish_step(step, 50)
        clock.now += 0.25
        run.log({"loss": 2.0})
        objective, slots = settings.recipe.pretraining_objective(), run.rules.slots
        flops = step_flops(*run.configs, objective, rows=8, length=LENGTH, slots=slots)
    measured = read_metrics(tmp_path / "run")[-1].metrics
    assert measured["share_of_peak"] == pytest.approx(3 * flops / 0.25 / (1e9 * count))
    assert measured["tokens_per_second"] == pytest.approx(3 * 50 / 0.25)


def test_time_for_evaluations_and_checkpoints_is_no_time_of_training(data, tmp_path, clock):
    def write_slowly(folder):
        clock.now += 1000

    with opened(tiny_settings(data, tmp_path / "run")) as run:
        for step in range(3):
            clock.now += 2
            run.finish_step(step, 50)
            run.log({"loss": 2.0})
            if step == 0:
                clock.now += 1000
                run.log_evaluation({"auc": 0.75})
            else:
                run.save(write_slowly, dict)
    speeds = [entry.metrics["tokens_per_second"] for entry in read_metrics(tmp_path / "run") if entry.split == "train"]
    assert speeds == pytest.approx([25.0] * 3)


# Several processes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "options", "name"),
    [
        ((), {"seed": 3}, "seed"),
        (("learning_rate=1e-4",), {}, "recipe"),
        ((), {"start_from": "elsewhere"}, "start_from"),
        ((), {"accumulation": 2}, "accumulation"),
        ((), {"precision": "bfloat16"}, "precision"),
        ((), {"log_every": 5}, "log_every"),
        ((), {"save_every": 4}, "save_every"),
        ((), {"evaluate_every": 5}, "evaluate_every"),
        ((), {"evaluation_examples": 12}, "evaluation_examples"),
        ((), {"stop_at": 7}, "stop_at"),
        ((), {"compile": True}, "compile"),
        ((), {"shard": True}, "shard"),
    ],
)
def test_processes_that_were_started_otherwise_are_refused(data, tmp_path, changes, options, name):
    def open_in(number, processes):
        unlike = tiny_settings(data, tmp_path / "run", *changes, **options)
        with opened(unlike if number else tiny_settings(data, tmp_path / "run"), processes):
            pass

    speaker, other = run_everywhere(open_in, 2)
    with pytest.raises(ValueError, match=f"^{name}: process 1 was started with another value than process 0; start"):
        speaker()
    with pytest.raises(AnotherProcessFailedError, match="process 0 of 2 failed, and tells why"):
        other()
    assert not (tmp_path / "run").exists()


def test_processes_with_other_data_are_refused(data, own_data, tmp_path):
    manifest = own_data / "manifest.json"
    change(manifest, shards=json.loads(manifest.read_text())["shards"][:1])

    def open_in(number, processes):
        with opened(tiny_settings(own_data if number else data, tmp_path / "run"), processes):
            pass

    with pytest.raises(ValueError, match=r"^data: process 1 was started with another value"):
        run_everywhere(open_in, 2)[0]()


@pytest.mark.parametrize("failing", ["train", "held-out", "checkpoint"])
def test_a_full_disk_of_the_first_process_ends_all_of_them(data, tmp_path, monkeypatch, failing):
    """Between what each one tells they compute together, as divided networks do: none may wait there alone."""
    written = MetricsLog.write

    def write(log, step, split, metrics):
        if split == failing:
            raise CheckpointError("the disk is full")
        written(log, step, split, metrics)

    def fill_disk(folder):
        if failing == "checkpoint":
            raise CheckpointError("the disk is full")

    def compute(number, processes):
        with opened(tiny_settings(data, tmp_path / "run", "batch_size=9"), processes) as run:
            run.finish_step(0, 1)
            for tell in (
                lambda: run.log({"loss": 2.0}),
                lambda: run.log_evaluation({"auc": 0.75}),
                lambda: run.save(fill_disk, dict),
            ):
                assert processes.gather(1.0) == [1.0] * 3
                tell()

    monkeypatch.setattr(MetricsLog, "write", write)
    first, *others = run_everywhere(compute)
    with pytest.raises(CheckpointError, match="the disk is full"):
        first()
    for other in others:
        with pytest.raises(AnotherProcessFailedError, match="process 0 of 3 failed, and tells why"):
            other()
