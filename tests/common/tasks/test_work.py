"""All seeds of a run around a loop that computes nothing: what is kept, told and refused, whatever the framework."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from electra_common.embedded_model import embedded_folder
from electra_common.runs.metrics_log import read_metrics
from electra_common.runs.processes import AnotherProcessFailedError, Processes
from electra_common.tasks import work as work_module
from electra_common.tasks.job import DataChoice, make_job
from electra_common.tasks.result_file import read_record
from electra_common.tasks.work import open_work
from electra_common.weights.errors import CheckpointError
from support.threaded_processes import run_everywhere

ROWS = [{"text": f"word {number}", "label": "ab"[number % 2]} for number in range(7)]


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr("electra_common.tasks.results._can_draw", lambda: False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the model of the package in a folder of its own, where it can be changed."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(embedded_folder("discriminator"), folder)
    return folder


def classification(folder, model, *changes, **options):
    for split in ("train", "dev"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    settings = ["batch_size=4", "epochs=1", "max_length=16", *changes]
    return make_job("classification", folder, folder / "out", model=str(model), changes=settings, **options)


def answers(folder, model, *changes, **options):
    """Return a run over questions whose dev set has no answers."""
    for split, known in (("train", {"answers": [{"text": "Ada", "answer_start": 0}]}), ("dev", {})):
        asked = [{"context": "Ada wrote it.", "qas": [{"id": "q", "question": "Who?", **known}]}]
        (folder / f"{split}.json").write_text(json.dumps({"data": [{"paragraphs": asked}]}))
    files = {split: folder / f"{split}.json" for split in ("train", "dev")}
    settings = ["batch_size=1", "epochs=3", "max_length=32", *changes]
    choice = DataChoice(files=files)
    return make_job("squad", choice, folder / "out", model=str(model), changes=settings, **options)


def opened(job, processes=None):
    return open_work(job, framework="pt", version="1", processes=processes or Processes(), quiet=True)


def always_first(rows):
    return [{"logits": np.array([1.0, 0.0])} for _ in rows]


def no_model(folder):
    """Write nothing in the place of a model."""


def carry_out(work, *, before_the_end=lambda run: None):
    for run in work.runs():
        for step, _ in run.steps():
            run.finish_step(step, 1)
        run.keep_last(no_model)
        before_the_end(run)
        work.finish(run, always_first)
    return work.summary()


# Stopping -------------------------------------------------------------------------------------------------------------


def test_a_signal_while_a_seed_is_measured_stops_the_run_behind_that_seed(tmp_path, model):
    job = classification(tmp_path, model, seeds=(0, 1, 2))
    with opened(job) as work:
        assert carry_out(work, before_the_end=lambda run: run.ask_to_stop()) is None
    assert [read_record(job.out / f"seed-{seed}") is not None for seed in job.seeds] == [True, False, False]
    assert not (job.out / "metrics.json").exists()
    with opened(replace(job, resume=True)) as work:
        assert carry_out(work).count == 3


def test_a_signal_behind_the_last_update_of_all_costs_no_summary(tmp_path, model):
    job = classification(tmp_path, model, seeds=(0, 1))
    asked = []

    def ask_of_the_last(run):
        asked.append(run.seed)
        if run.seed == 1:
            run.ask_to_stop()

    with opened(job) as work:
        assert carry_out(work, before_the_end=ask_of_the_last).count == 2
    assert asked == [0, 1]


def test_what_fails_on_test_does_not_cost_what_was_found_on_dev(tmp_path, model, monkeypatch):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    job = classification(tmp_path, model)
    measure = work_module.FineTuningRun.measure

    def fail_on_test(run, split, predict):
        if split == "test":
            raise ValueError("a label that nobody knew")
        return measure(run, split, predict)

    monkeypatch.setattr(work_module.FineTuningRun, "measure", fail_on_test)
    with opened(job) as work, pytest.raises(ValueError, match="nobody knew"):
        carry_out(work)
    assert len((job.out / "seed-0" / "predictions.jsonl").read_text().splitlines()) == len(ROWS)


# When dev is measured, and how fast it goes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "expected"),
    [(0, [2, 3, 5, 6, 7]), (3, [3, 6, 7])],  # five passes over seven rows, five in each update
    ids=["passes", "updates"],
)
def test_dev_is_measured_where_passes_end_or_every_so_many_updates(tmp_path, model, every, expected):
    job = classification(tmp_path, model, "batch_size=5", "epochs=5", evaluate_every=every)
    with opened(job) as work:
        run, found = next(runs := work.runs()), []
        for step, _ in run.steps():
            run.finish_step(step, 1)
            found += [step + 1] if run.evaluates_now else []
        runs.close()
    assert found == expected


def test_without_dev_nothing_is_measured(tmp_path, model):
    job = classification(tmp_path, model)
    (tmp_path / "dev.jsonl").unlink()
    with opened(replace(job, files={"train": tmp_path / "train.jsonl"})) as work:
        run = next(work.runs())
        run.finish_step(run.last_step - 1, 1)
        assert run.logs_now
        assert not run.evaluates_now


def test_time_for_evaluations_models_and_checkpoints_is_no_time_of_training(tmp_path, model, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("electra_common.runs.reporting.time", SimpleNamespace(perf_counter=lambda: clock.now))

    def wait(value):
        clock.now += 1000
        return value

    job = classification(tmp_path, model, "epochs=2")
    with opened(job) as work:
        run = next(runs := work.runs())
        for step in range(4):
            clock.now += 2
            run.finish_step(step, 50)
            run.log({"loss": 2.0})
            if step == 0:  # the first is the best so far, and is kept
                run.evaluate(always_first, wait)
            elif step == 1:
                run.evaluate(lambda rows: wait(always_first(rows)), no_model)
            else:
                run.save(wait, dict)
        runs.close()
    entries = read_metrics(job.out / "seed-0")
    speeds = [entry.metrics["tokens_per_second"] for entry in entries if entry.split == "train"]
    assert speeds == pytest.approx([25.0] * 4)


@pytest.mark.parametrize("tensorboard", [True, False])
def test_event_files_are_written_where_they_are_asked_for(tmp_path, model, tensorboard):
    job = classification(tmp_path, model, tensorboard=tensorboard)
    with opened(job) as work:
        next(runs := work.runs()).log({"loss": 2.0})
        runs.close()
    written = [file.read_bytes() for file in job.out.glob("seed-0/tensorboard/*")]
    assert [b"loss/train" in content for content in written] == [True] * tensorboard


# Dev sets without answers ---------------------------------------------------------------------------------------------


def test_a_run_whose_dev_set_has_no_answers_is_resumed(tmp_path, model):
    def predict(rows):
        length = rows[0].inputs["input_ids"].shape[-1]
        return [{"start_logits": np.zeros(length), "end_logits": np.zeros(length)} for _ in rows]

    job = answers(tmp_path, model)
    with opened(job) as work:
        run = next(runs := work.runs())
        run.finish_step(0, 1)
        run.evaluate(predict, no_model)
        run.save(no_model, dict)
        assert next(runs, None) is None  # stopped before its end
    with opened(replace(job, resume=True)) as work:
        run = next(work.runs())
        assert (run.state.step, run.best) == (1, None)


@pytest.mark.parametrize(
    ("changes", "options", "named"), [(["early_stopping=1"], {}, "early_stopping"), ([], {"restarts": 1}, "restarts")]
)
def test_what_needs_answers_to_dev_is_refused_where_there_are_none(tmp_path, model, changes, options, named):
    with pytest.raises(ValueError, match=f"no answer, and {named} needs one to each example of dev"):
        opened(answers(tmp_path, model, *changes, **options)).__enter__()
    assert not (tmp_path / "out").exists()


# The folder -----------------------------------------------------------------------------------------------------------


def test_another_model_under_the_same_path_is_refused(tmp_path, model):
    own = tmp_path / "model"
    shutil.copytree(model, own)
    job = classification(tmp_path, own)
    with opened(job) as work:
        carry_out(work)
    record = json.loads((job.out / "run.json").read_text())
    (own / "vocab.txt").write_text((own / "vocab.txt").read_text() + "zzz\n")
    with pytest.raises(ValueError, match=r"holds another run: model_files vocab\.txt '[0-9a-f]+', now"):
        opened(replace(job, resume=True)).__enter__()
    # What was written before the model's files were kept in it goes on.
    del record["model_files"]
    (job.out / "run.json").write_text(json.dumps(record))
    with opened(replace(job, resume=True)) as work:
        assert carry_out(work).count == 1


def test_a_models_weights_count_unless_they_are_left_aside(tmp_path, model):
    known = classification(tmp_path, model).identity()["model_files"]
    assert len(known["weights"]) == len(known["config.json"]) == 64
    assert classification(tmp_path, model, from_scratch=True).identity()["model_files"] == {**known, "weights": None}


def test_a_batch_that_does_not_divide_is_told_before_the_folder_is_taken(tmp_path, model):
    with pytest.raises(ValueError, match="a batch of 4 does not divide into 1 process"):
        opened(classification(tmp_path, model, accumulation=3)).__enter__()
    assert not (tmp_path / "out").exists()


RESULT = {"seed": 7, "metrics": {"accuracy": 0.5}, "best_metrics": {}, "constant_score": None, "is_collapsed": False,
          "seconds": 1.5, "steps": 3}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metrics": 5}, "metrics is 5"),
        ({"test_metrics": {"accuracy": "high"}}, "test_metrics is {'accuracy': 'high'}"),
        ({"seconds": "long"}, "seconds is 'long'"),
        ({"steps": True}, "steps is True"),
        ({"split": []}, r"split is \[\]"),
        ({"seed": 8}, "it is one of seed 8"),
        ({"colour": 1}, "it has no 'colour'"),
        ({"framework": "jax"}, "framework is 'jax'"),
        ({"versions": {"numpy": 2}}, "versions is {'numpy': 2}"),
    ],
)
def test_a_result_that_is_none_is_told_in_one_line(tmp_path, change, told):
    (tmp_path / "seed-7").mkdir()
    file = tmp_path / "seed-7" / "result.json"
    file.write_text(json.dumps(RESULT))
    assert read_record(tmp_path / "seed-7").result.steps == 3
    file.write_text(json.dumps(RESULT | change))
    with pytest.raises(CheckpointError, match=rf"result\.json: not the result of a seed: .*{told}; take it away"):
        read_record(tmp_path / "seed-7")
    file.write_text(json.dumps({"seed": 7}))
    with pytest.raises(CheckpointError, match="expected also metrics, best_metrics, constant_score, is_collapsed"):
        read_record(tmp_path / "seed-7")


def test_each_seed_keeps_what_computed_it_and_seeds_that_were_not_asked_for_again_still_count(tmp_path, model):
    job = classification(tmp_path, model, seeds=(0, 1, 2))
    for seeds, framework in (((0, 1, 2), "pt"), ((3,), "tf"), ((0,), "tf")):
        call = replace(job, seeds=seeds, resume=seeds != (0, 1, 2))
        with open_work(call, framework=framework, version="1", processes=Processes(), quiet=True) as work:
            summary = carry_out(work)
    values = json.loads((job.out / "metrics.json").read_text())
    assert summary.count == 4
    assert [(seed["seed"], seed["framework"]) for seed in values["seeds"]] == [
        (0, "pt"),
        (1, "pt"),
        (2, "pt"),
        (3, "tf"),
    ]
    assert values["framework"] == "tf"  # of the last
    cards = [(job.out / f"seed-{seed}" / "last" / "README.md").read_text() for seed in (2, 3)]
    assert ["| framework | PyTorch |" in cards[0], "| framework | TensorFlow |" in cards[1]] == [True, True]


# Several processes ----------------------------------------------------------------------------------------------------


def test_the_first_process_decides_which_model_is_best(tmp_path, model):
    """This is the second of two; the first was started alike, and found a quarter where this one finds more."""

    def add_up(values):
        return values + np.array([0.25 if values[1] < 1 else values[1], 0]) if values[1] else values

    with opened(classification(tmp_path, model), Processes(2, (1,), add_up)) as work:
        run = next(work.runs())
        run.finish_step(0, 1)
        run.evaluate(always_first, no_model)
        assert run.best == 0.25
        assert run.measure("dev", always_first).metrics["accuracy"] == pytest.approx(4 / 7)


@pytest.mark.parametrize(
    ("changes", "options", "name"),
    [
        (("learning_rate=1e-4",), {}, "settings"),
        ((), {"accumulation": 2}, "accumulation"),
        ((), {"seeds": (0, 1)}, "seeds"),
        ((), {"restarts": 1}, "restarts"),
        ((), {"log_every": 5}, "log_every"),
        ((), {"save_every": 4}, "save_every"),
        ((), {"evaluate_every": 5}, "evaluate_every"),
        ((), {"precision": "bfloat16"}, "precision"),
    ],
)
def test_processes_that_were_started_otherwise_are_refused(tmp_path, model, changes, options, name):
    alike, unlike = classification(tmp_path, model), classification(tmp_path, model, *changes, **options)

    def open_in(number, processes):
        with opened(unlike if number else alike, processes):
            pass

    speaker, other = run_everywhere(open_in, 2)
    with pytest.raises(ValueError, match=f"^{name}: process 1 was started with another value than process 0; start"):
        speaker()
    with pytest.raises(AnotherProcessFailedError, match="process 0 of 2 failed, and tells why"):
        other()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "place",
    ["test", "test/seed-0", "seed-7", *(f"seed-0/{name}" for name in ("metrics.jsonl", "checkpoints", "last", "best"))],
)
def test_links_in_a_runs_folder_are_neither_written_nor_removed_through(tmp_path, model, place):
    job, elsewhere = classification(tmp_path, model), tmp_path / "elsewhere"
    (elsewhere / "seed-0" / "checkpoints").mkdir(parents=True)
    with opened(job):
        link = job.out / place
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(elsewhere)
    with pytest.raises(ValueError, match=f"{link}: a link, which would be written through"):
        opened(replace(job, resume=True)).__enter__()
    assert (elsewhere / "seed-0" / "checkpoints").is_dir()
