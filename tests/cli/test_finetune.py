"""Fine-tuning as a user runs it, in the framework that is installed: its results, and what goes wrong."""

import importlib
import json
import shutil

import numpy as np
import pytest

from conftest import is_installed
from electra_common import ElectraConfig
from electra_common.runs.metrics_log import read_metrics
from electra_common.runs.run_folder import list_checkpoints
from electra_common.tasks.run import FineTuningRun
from electra_common.tasks.work import FineTuning
from support.fine_tuning_runs import (
    KINDS,
    STILL,
    assert_same_weights,
    job_of,
    rows_of_banking,
    weights_of,
    write_data,
    write_start,
)
from support.killed_runs import kill_and_compare
from support.thoroughness import mostly_thorough
from support.tolerances import BFLOAT16_LOSS, FORWARD, GRADIENT

FAMILY, PREFIX = ("pt", "") if is_installed("torch") else ("tf", "TF")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    layers = 2 if FAMILY == "pt" else 1  # to trace a layer takes longer than to train it
    family = importlib.import_module(f"electra_{FAMILY}")
    return write_start(tmp_path_factory.mktemp("start"), family, PREFIX, num_hidden_layers=layers)


@pytest.fixture(scope="module")
def loop():
    return importlib.import_module(f"electra_{FAMILY}.fine_tuning")


@pytest.fixture
def train(loop, monkeypatch):
    """Carry a run out, without pictures, which would take longer than to train."""
    monkeypatch.setattr("electra_common.tasks.results.picture_bytes", lambda figure, kind: b"")
    return lambda job: loop.fine_tune(job, quiet=True)


@pytest.fixture(scope="module")
def opened():
    return importlib.import_module(f"electra_{FAMILY}.fine_tuned").open_fine_tuned


@pytest.fixture(scope="module")
def runs(data, start, loop, tmp_path_factory):
    """One run of each kind of task, made when it is first asked for."""
    folder, summaries = tmp_path_factory.mktemp("runs"), {}

    def run(kind):
        if kind not in summaries:
            summaries[kind] = loop.fine_tune(job_of(kind, data, start, folder / kind), quiet=True)
        return folder / kind, summaries[kind]

    return run


def results_of(out, seed=0):
    return json.loads((out / f"seed-{seed}" / "result.json").read_text())


def answer_of(record):
    """Return what a line of data expects, as a line of predictions has it."""
    return record["answers"]["text"] if "answers" in record else record["label"]


def records(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# What a run leaves behind ---------------------------------------------------------------------------------------------


# TensorFlow traces each kind for seconds; that all of them learn the same as in PyTorch, tests/equivalence shows.
@pytest.mark.parametrize(
    "kind", mostly_thorough(KINDS, usual=KINDS if FAMILY == "pt" else ("classification", "tagging", "answers"))
)
def test_every_kind_of_task_is_learned_measured_and_written_down(runs, data, kind, opened):
    out, summary = runs(kind)
    seed = out / "seed-0"
    result = results_of(out)
    assert summary.metrics[summary.main_metric].median == result["metrics"][summary.main_metric]
    losses = [entry.metrics["loss"] for entry in read_metrics(seed) if entry.split == "train"]
    assert losses[-1] < losses[0]
    assert len([entry for entry in read_metrics(seed) if entry.split == "held-out"]) == 3  # epochs
    assert not (seed / "checkpoints").exists()
    expected = records(data / kind / "dev.jsonl")
    assert [record["expected"] for record in records(seed / "predictions.jsonl")] == list(map(answer_of, expected))
    test = records(out / "test" / "seed-0" / "predictions.jsonl")
    assert len(test) == 5
    assert all(record["expected"] is None for record in test)
    assert (seed / "curves.png").is_file()
    assert (seed / "confusion.png").is_file() == (kind in ("classification", "regression", "tagging"))
    for name in ("best", "last"):
        assert opened(seed / name).task.kind == kind
        assert f"seed 0, {name}" in (seed / name / "README.md").read_text()
    values = json.loads((out / "metrics.json").read_text())
    assert values["settings"]["learning_rate"] == 3e-3
    assert (values["framework"], values["task"]["name"]) == (FAMILY, kind)


@pytest.mark.once
def test_a_model_that_was_fine_tuned_says_its_labels(runs):
    out, _ = runs("classification")
    config = ElectraConfig.from_pretrained(out / "seed-0" / "last")
    assert config.label_count == 10
    assert config.problem_type == "single_label_classification"
    names = sorted({row["category"] for row in rows_of_banking()})
    assert config.id2label == dict(enumerate(names))


@pytest.mark.parametrize("kind", ["classification", "tagging", "answers"])
def test_transformers_opens_it_with_its_labels_and_answers_the_same(runs, data, opened, kind):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    from electra_common.tasks.data import make_features
    from electra_common.tasks.readers.read import read_examples

    out, _ = runs(kind)
    folder = out / "seed-0" / "last"
    names = {
        "classification": "SequenceClassification",
        "tagging": "TokenClassification",
        "answers": "QuestionAnswering",
    }
    theirs = getattr(transformers, f"AutoModelFor{names[kind]}").from_pretrained(folder).eval()
    ours = opened(folder)
    assert theirs.config.id2label == dict(ElectraConfig.from_pretrained(folder).id2label)
    examples = list(read_examples(ours.task, data / kind / "dev.jsonl", split="dev"))[:7]
    features = make_features(ours.task_file, examples, ours.tokenizer, head=ours.head, is_training=False)
    for row, found in zip(features.rows, ours.predict(features.rows), strict=True):
        inputs = {name: torch.from_numpy(np.array(array))[None] for name, array in row.inputs.items()}
        with torch.no_grad():
            expected = theirs(**inputs)
        for name, array in found.items():
            np.testing.assert_allclose(array, expected[name][0].numpy(), rtol=0, atol=FORWARD, err_msg=name)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)("What is a PIN?")["input_ids"]
    assert tokens == ours.tokenizer("What is a PIN?")["input_ids"]


@pytest.mark.once
def test_the_best_model_is_the_one_that_was_best(runs, opened, data):
    from electra_common.tasks.readers.read import read_examples

    out, summary = runs("tagging")
    fine_tuned = opened(out / "seed-0" / "best")
    examples = list(read_examples(fine_tuned.task, data / "tagging" / "dev.jsonl", split="dev"))
    held_out = [entry.metrics for entry in read_metrics(out / "seed-0") if entry.split == "held-out"]
    best = max(metrics[summary.main_metric] for metrics in held_out)
    assert fine_tuned.measure(examples).metrics[summary.main_metric] == pytest.approx(best, abs=1e-9)


# Going on -------------------------------------------------------------------------------------------------------------


def stop_at(monkeypatch, step):
    finish = FineTuningRun.finish_step

    def finish_and_ask(self, number, tokens):
        if number + 1 == step:
            self.ask_to_stop()
        finish(self, number, tokens)

    monkeypatch.setattr(FineTuningRun, "finish_step", finish_and_ask)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(data, start, train, runs, tmp_path, monkeypatch):
    """With dropout, and a stop in the middle of an epoch."""
    whole, summary = runs("classification")
    with monkeypatch.context() as patched:
        stop_at(patched, 20)
        assert train(job_of("classification", data, start, tmp_path / "run")) is None
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "seed-0")] == ["step-00000020"]
    resumed = train(job_of("classification", data, start, tmp_path / "run", resume=True))
    assert resumed == summary
    for name in ("best", "last"):
        assert_same_weights(whole / "seed-0" / name, tmp_path / "run" / "seed-0" / name, atol=0)
    assert records(whole / "seed-0" / "predictions.jsonl") == records(tmp_path / "run" / "seed-0" / "predictions.jsonl")


@pytest.mark.once
def test_a_run_killed_before_its_result_stands_loses_only_what_its_checkpoint_does(
    data, start, train, runs, tmp_path, monkeypatch
):
    whole, summary = runs("classification")
    job = {"save_every": 40}
    with monkeypatch.context() as patched:
        patched.setattr(FineTuning, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(job_of("classification", data, start, tmp_path / "run", **job))
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "seed-0")] == ["step-00000040"]
    steps = []
    with monkeypatch.context() as patched:
        finish = FineTuningRun.finish_step
        patched.setattr(FineTuningRun, "finish_step", lambda run, *done: steps.append(done[0]) or finish(run, *done))
        assert train(job_of("classification", data, start, tmp_path / "run", **job, resume=True)) == summary
    assert steps == [40, 41, 42, 43, 44]
    assert_same_weights(whole / "seed-0" / "last", tmp_path / "run" / "seed-0" / "last", atol=0)
    assert not list_checkpoints(tmp_path / "run" / "seed-0")


@pytest.mark.once
def test_other_data_of_the_same_name_is_another_run(data, start, train, tmp_path, monkeypatch):
    train_file = tmp_path / "train.jsonl"
    train_file.write_bytes((data / "regression" / "train.jsonl").read_bytes())
    files = {"train": train_file}
    with monkeypatch.context() as patched:
        stop_at(patched, 3)
        assert train(job_of("regression", data, start, tmp_path / "run", files=files)) is None
    train_file.write_bytes(train_file.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="holds another run: files train"):
        train(job_of("regression", data, start, tmp_path / "run", files=files, resume=True))


@pytest.mark.once
def test_a_folder_with_a_run_is_not_trained_over(runs, data, start, train):
    out, summary = runs("classification")
    with pytest.raises(ValueError, match="holds a run; add --resume to go on with it"):
        train(job_of("classification", data, start, out))
    before = weights_of(out / "seed-0" / "last")
    assert train(job_of("classification", data, start, out, resume=True)) == summary
    after = weights_of(out / "seed-0" / "last")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with pytest.raises(ValueError, match=r"holds another run: settings learning_rate 0\.003, now 0\.1"):
        train(job_of("classification", data, start, out, "learning_rate=0.1", resume=True))


# Options --------------------------------------------------------------------------------------------------------------


def test_micro_batches_add_up_to_the_whole_batch(data, start, train, tmp_path):
    for number in (1, 4):
        train(job_of("tagging", data, start, tmp_path / str(number), "epochs=0.5", *STILL, accumulation=number))
    assert_same_weights(*(tmp_path / str(number) / "seed-0" / "last" for number in (1, 4)), atol=GRADIENT)


@pytest.mark.once
def test_early_stopping_ends_after_evaluations_without_a_better_one_and_keeps_the_best(data, start, train, tmp_path):
    changes = ("early_stopping=2", "learning_rate=1e-12", "epochs=9", "batch_size=32")
    train(job_of("classification", data, start, tmp_path / "run", *changes))
    seed = tmp_path / "run" / "seed-0"
    held_out = [entry for entry in read_metrics(seed) if entry.split == "held-out"]
    assert len(held_out) == 3  # the first is the best, and two were not better
    assert results_of(tmp_path / "run")["steps"] == held_out[-1].step == 12


@pytest.mark.once
def test_with_early_stopping_the_results_are_those_of_the_best_model(data, start, train, opened, tmp_path):
    from electra_common.tasks.readers.read import read_examples

    changes = ("early_stopping=1", "epochs=40", "learning_rate=2e-2")
    train(job_of("classification", data, start, tmp_path / "run", *changes, evaluate_every=5))
    seed = tmp_path / "run" / "seed-0"
    scores = [entry.metrics["accuracy"] for entry in read_metrics(seed) if entry.split == "held-out"]
    assert scores[-1] <= scores[-2] == max(scores)  # the last was not better, and ended it
    assert results_of(tmp_path / "run")["metrics"]["accuracy"] == max(scores)
    best = opened(seed / "best")
    examples = list(read_examples(best.task, data / "classification" / "dev.jsonl", split="dev"))
    assert [answer.answer for answer in best.predictions(examples)] == [
        record["predicted"] for record in records(seed / "predictions.jsonl")
    ]


@pytest.mark.once
def test_a_collapsed_seed_is_named_and_another_takes_its_place(start, train, tmp_path):
    """Nothing is learned at a learning rate of next to nothing, and nine of ten have one label."""
    rows = [{"text": f"word {number}", "label": "no" if number % 10 == 0 else "yes"} for number in range(40)]
    folder = tmp_path / "classification"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = job_of("classification", tmp_path, start, tmp_path / "run", "learning_rate=1e-12", "epochs=0.1", restarts=2,
                 seeds=(3, 5))  # fmt: skip
    summary = train(job)
    assert summary.collapsed == (3, 5, 6, 7)
    assert summary.without_collapsed == {}
    assert "is no better than the 0.9 of a constant answer" in results_of(tmp_path / "run", 5)["collapse_reason"]


@pytest.mark.once
def test_seeds_differ_and_the_same_seed_does_not(data, start, train, tmp_path):
    for name, seeds in (("a", (1, 2)), ("b", (2,))):
        job = job_of("regression", data, start, tmp_path / name, "epochs=1", seeds=seeds)
        summary = train(job)
        assert summary.count == len(seeds)
    one, two, again = (tmp_path / path / "last" for path in ("a/seed-1", "a/seed-2", "b/seed-2"))
    assert_same_weights(two, again, atol=0)
    assert not np.allclose(*(weights_of(path)["classifier.dense.weight"] for path in (one, two)))


@pytest.mark.once  # tests/equivalence trains it in both
def test_a_head_for_the_same_labels_is_kept_and_every_other_is_new(runs, data, start, train, tmp_path):
    out, _ = runs("classification")
    model = out / "seed-0" / "last"
    still = ("epochs=0.01", "learning_rate=1e-12", *STILL)
    train(job_of("classification", data, model, tmp_path / "same", *still))
    assert_same_weights(model, tmp_path / "same" / "seed-0" / "last", atol=FORWARD)
    train(job_of("regression", data, model, tmp_path / "other", *still))
    before, after = weights_of(model), weights_of(tmp_path / "other" / "seed-0" / "last")
    encoder = [name for name in before if name.startswith("electra.")]
    assert all(np.allclose(before[name], after[name], atol=FORWARD) for name in encoder)
    assert not np.allclose(before["classifier.dense.weight"], after["classifier.dense.weight"], atol=1e-3)


@pytest.mark.once
def test_new_weights_have_nothing_of_the_model(data, start, train, tmp_path):
    job = job_of("regression", data, start, tmp_path / "run", "epochs=0.01", "learning_rate=1e-12", from_scratch=True)
    train(job)
    name = "electra.encoder.layer.0.output.dense.weight"
    before, after = weights_of(start)[name], weights_of(tmp_path / "run" / "seed-0" / "last")[name]
    assert before.shape == after.shape
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.1


@pytest.mark.once  # tests/equivalence trains it in both
@pytest.mark.parametrize("kind", ["classification", "answers"])
def test_googles_heads_can_be_trained_and_opened_again(data, start, train, opened, tmp_path, kind):
    out = tmp_path / "run"
    summary = train(job_of(kind, data, start, out, "head=google", "epochs=1"))
    assert summary.metrics
    fine_tuned = opened(out / "seed-0" / "last")
    assert fine_tuned.head == "google"
    assert fine_tuned.task_file.null_threshold == (-2.75 if kind == "answers" else None)


def test_half_precision_loses_little(data, start, train, tmp_path):
    """In the first four updates; what rounding does to a network later on is chance."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        train(job_of("tagging", data, start, tmp_path / precision, "epochs=0.2", *STILL, precision=precision))
        losses[precision] = read_metrics(tmp_path / precision / "seed-0")[0].metrics["loss"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=BFLOAT16_LOSS)
    assert losses["bfloat16"] != losses["float32"]


@pytest.mark.thorough
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path):
    """`make check-kills` does it twenty times, in both frameworks."""
    assert len(kill_and_compare(FAMILY, "fine-tuning", tmp_path, kills=2)) == 2


# Evaluate and predict -------------------------------------------------------------------------------------------------


def test_evaluate_finds_what_the_run_found(runs, data, electra, tmp_path):
    out, _ = runs("answers")
    code, printed, _ = electra(
        "evaluate", out / "seed-0" / "last", data / "answers", "--json", "--out", tmp_path / "again"
    )
    answer = json.loads(printed)
    assert (code, answer["framework"]) == (0, FAMILY)
    assert answer["metrics"] == pytest.approx(results_of(out)["metrics"], abs=1e-4)
    assert [record["predicted"] for record in records(tmp_path / "again" / "seed-0" / "predictions.jsonl")] == [
        record["predicted"] for record in records(out / "seed-0" / "predictions.jsonl")
    ]


@pytest.mark.once
def test_without_answers_there_is_nothing_to_evaluate(runs, data, electra):
    out, _ = runs("regression")
    code, printed, _ = electra("evaluate", out / "seed-0" / "last", data / "regression", "--split", "test")
    assert code == 1
    assert "5 examples without answers: nothing to measure" in printed


@pytest.mark.once
def test_a_table_comes_back_with_answers_in_its_order(runs, data, electra, tmp_path):
    out, _ = runs("classification")
    expected = records(out / "seed-0" / "predictions.jsonl")
    lines = records(data / "classification" / "dev.jsonl")
    table = tmp_path / "in.csv"
    table.write_text("n,text\n" + "".join(f'{n},"{row["text"]}"\n' for n, row in enumerate(lines)), encoding="utf-8")
    for column in ("text", 1):
        code, printed, _ = electra("predict", out / "seed-0" / "last", "--file", table, "--text", column)
        header, *rows = printed.splitlines()
        assert (code, header, len(rows)) == (0, "n,text,prediction,score", len(lines))
        assert [row.rsplit(",", 2)[1] for row in rows] == [record["predicted"] for record in expected]
    table.write_text("".join(f'"{row["text"]}",x\n' for row in lines), encoding="utf-8")
    code, printed, _ = electra("predict", out / "seed-0" / "last", "--file", table, "--text", 0)
    assert [row.rsplit(",", 2)[1] for row in printed.splitlines()] == [record["predicted"] for record in expected]
    target = tmp_path / "out.jsonl"
    electra("predict", out / "seed-0" / "last", "--file", data / "classification" / "dev.jsonl", "--out", target)
    assert [(r["text"], r["prediction"]) for r in records(target)] == [(r["text"], r["predicted"]) for r in expected]


@pytest.mark.once
def test_a_test_set_of_glue_has_columns_of_its_own(runs, electra, tmp_path):
    """As CoLA's: numbers, labels and texts in columns without names; of the test set a header, numbers and texts."""
    out, _ = runs("classification")
    expected = records(out / "seed-0" / "predictions.jsonl")
    glue = {"text": 3, "label": 1, "header": False, "quoting": False,
            "test_columns": {"header": True, "text": 1, "label": None}}  # fmt: skip
    model = shutil.copytree(out / "seed-0" / "last", tmp_path / "model")
    values = json.loads((model / "task.json").read_text())
    (model / "task.json").write_text(json.dumps(values | {"task": values["task"] | glue}))
    lines = {
        "dev": [f"x\t0\t\t{row['text']}" for row in expected],
        "test": ["index\tsentence", *(f"{n}\t{row['text']}" for n, row in enumerate(expected))],
    }
    for split, rows in lines.items():
        file = tmp_path / f"{split}.tsv"
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")
        code, printed, errors = electra(
            "predict", model, "--file", file, *(["--split", split] if split == "test" else [])
        )
        found = printed.splitlines()[1 if split == "test" else 0 :]
        assert (code, len(found)) == (0, len(expected)), errors
        assert [row.split("\t")[-2] for row in found] == [row["predicted"] for row in expected]
    assert printed.startswith("index\tsentence\tprediction\tscore\n")


@pytest.mark.once
def test_lines_of_words_come_back_as_lines_of_tags(runs, electra, tmp_path):
    out, _ = runs("tagging")
    (tmp_path / "in.txt").write_text("Paris is nice\nwho lives in London ?\n", encoding="utf-8")
    code, printed, _ = electra("predict", out / "seed-0" / "last", "--file", tmp_path / "in.txt")
    assert code == 0
    assert [len(line.split()) for line in printed.splitlines()] == [3, 5]


@pytest.mark.once
def test_texts_on_the_command_line_are_answered(runs, electra):
    out, _ = runs("answers")
    code, printed, _ = electra("predict", out / "seed-0" / "last", "Who?", "--context", "Ada wrote it.", "--json")
    (answer,) = json.loads(printed)["predictions"]
    assert code == 0
    assert answer["text"] == "Who?"
    assert answer["answer"] in "Ada wrote it."
    wrong = {
        ("Who?",): "needs --context",
        ("Who?", "--context", "She.", "--out", "x"): "--out, --split and columns go with --file",
        ("Who?", "--context", "She.", "--split", "test"): "--out, --split and columns go with --file",
        ("--file", "x.jsonl", "--split", "held-out"): "split must be one of train, dev, test",
        ("--file", "x.jsonl", "--context", "She."): "--context goes with texts",
        ("--file", "x.jsonl", "--json"): "--json with --file needs --out",
        (
            "Who?",
            "--context",
            "She.",
            "--precision",
            "fp16",
        ): "precision must be one of float32, bfloat16, found 'fp16'",
    }
    for arguments, told in wrong.items():
        code, _, errors = electra("predict", out / "seed-0" / "last", *arguments)
        assert (code, told in errors) == (2, True), arguments


@pytest.mark.once
@pytest.mark.parametrize("command", [("evaluate",), ("predict", "--file")], ids=" ".join)
def test_columns_that_the_files_of_a_models_task_have_not_got_are_refused(runs, data, electra, command):
    out, _ = runs("tagging")
    name, *option = command
    code, _, errors = electra(name, out / "seed-0" / "last", *option, data / "tagging" / "dev.jsonl", "--pair", "page")
    assert code == 2
    assert "task tagging: pair: not looked at in files of the format table for tagging: leave it out" in errors
    data_file = data / "tagging" / "dev.jsonl"
    code, _, errors = electra(name, out / "seed-0" / "last", *option, data_file, "--no-quoting")
    assert (code, "dev.jsonl: --no-quoting is looked at in .csv and .tsv files alone" in errors) == (2, True)


@pytest.mark.once
def test_where_answers_cannot_go_is_told_before_any_is_sought(electra, tmp_path):
    (tmp_path / "run.json").touch()
    (tmp_path / "in.csv").touch()
    (tmp_path / "link").symlink_to("in.csv")
    cases = {
        ("predict", "no model", "--file", tmp_path / "in.csv", "--out", tmp_path / "link"): "is the file that is read",
        ("predict", "no model", "--file", "x.csv", "--out", tmp_path): "is a folder; --out takes the name of the file",
        ("predict", "no model", "--file", "x.csv", "--out", "y.csv.gz"): "answers are not compressed; leave .gz out",
        ("evaluate", "no model", "x.csv", "--out", tmp_path): "holds a run, whose own predictions would be lost",
    }
    for arguments, told in cases.items():
        code, _, errors = electra(*arguments)
        assert (code, told in errors) == (2, True), arguments


@pytest.mark.once
@pytest.mark.parametrize("option", [("--text", "text"), ("--id", 0), ("--no-quoting",), ("--split", "test")])
@pytest.mark.parametrize("file", ["-", "in.txt.gz"])
def test_options_that_lines_of_text_have_no_use_for_are_refused(electra, file, option):
    code, _, errors = electra("predict", "no model", "--file", file, *option)
    assert (code, f"{file}: lines of text have no columns" in errors) == (2, True)


@pytest.mark.once
@pytest.mark.parametrize("file", ["in.jsonl", "in.parquet", "in.conll", "in.json.gz"])
def test_quotation_marks_mean_nothing_in_files_without_delimiters(electra, file):
    code, _, errors = electra("predict", "no model", "--file", file, "--no-quoting")
    assert (code, f"{file}: --no-quoting is looked at in .csv and .tsv files alone" in errors) == (2, True)


# The command, and bad input -------------------------------------------------------------------------------------------


def command(data, start, out, *more, kind="classification"):
    return ("finetune", kind, "--data", data, "--model", start, "--out", out, "--set", "epochs=0.1",
            "--set", "max_length=32", "--framework", FAMILY, *more)  # fmt: skip


@pytest.mark.once
def test_the_command_prints_statistics_over_seeds(data, start, electra, tmp_path):
    code, printed, errors = electra(*command(data / "classification", start, tmp_path / "run", "--seeds", 2))
    assert code in (0, 1)  # so little training may come to nothing
    assert "median" in printed
    assert "accuracy" in printed
    assert "seed 1: 120 rows to train on" in errors
    code, printed, _ = electra(*command(data / "classification", start, tmp_path / "run", "--seeds", 2, "--resume",
                                        "--json"))  # fmt: skip
    assert json.loads(printed)["summary"]["count"] == 2


BAD = {
    "an unknown label": ("dev", '{"text": "hm", "label": "lost_pin"}', "line 1: label 'lost_pin' is not among"),
    "an empty text": ("train", '{"text": " ", "label": "a"}', "bad.jsonl, line 1, column 'text': the text is empty"),
    "no label": ("train", '{"text": "hm"}', "bad.jsonl, line 1: there is no column 'label'"),
    "one class only": ("train", '{"text": "hm", "label": "a"}', "one class only, found 'a'"),
    "no JSON": ("train", "text,label", "bad.jsonl, line 1, character 1"),
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("name", BAD)
def test_bad_data_ends_in_one_line_that_says_where(data, start, electra, tmp_path, name):
    split, line, told = BAD[name]
    (tmp_path / "bad.jsonl").write_text(line + "\n", encoding="utf-8")
    more = (f"--{split}", tmp_path / "bad.jsonl")
    code, _, errors = electra(*command(data / "classification", start, tmp_path / "run", *more))
    assert code == 2
    assert told in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.once
def test_other_mistakes_are_told_before_anything_is_trained(data, start, electra, tmp_path):
    cases = {
        ("--set", "max_length=151"): "max_length 151 is above the 150 positions",
        ("--set", "batch_siz=4"): "did you mean batch_size?",
        ("--accumulation", 3): "a batch of 32 does not divide into 1 process(es) of 3",
        ("--dev", tmp_path / "none.jsonl"): "no such file, named for dev",
        ("--text", "sentence"): "there is no column 'sentence'",
        ("--train", tmp_path / "marks.csv"): "a quotation mark opens the field and none closes it",
        ("--train", tmp_path / "marks.csv", "--no-quoting"): "one class only, found 'x'",
    }
    (tmp_path / "marks.csv").write_text('text,label\n"a,x\n')
    for number, (more, told) in enumerate(cases.items()):
        code, _, errors = electra(*command(data / "classification", start, tmp_path / f"run{number}", *more))
        assert code == 2, more
        assert told in errors
        assert not (tmp_path / f"run{number}").exists()
    code, _, errors = electra(*command(data / "classification", start, tmp_path / "run", kind="classificaton"))
    assert (code, "did you mean classification?" in errors) == (2, True)


def test_a_run_that_diverges_ends_with_one_line(data, start, electra, tmp_path):
    code, _, errors = electra(*command(data / "regression", start, tmp_path / "run", "--set", "learning_rate=1e30",
                                       "--set", "epochs=3", "--log-every", 1, kind="regression"))  # fmt: skip
    assert code == 1
    assert "try a smaller learning_rate or a longer warm-up" in errors.splitlines()[-1]


@pytest.mark.once
def test_a_long_document_is_read_through_windows_or_cut(runs, opened):
    from electra_common.tasks.examples import Question, TaggedSentence, TextExample

    long = "word " * 100_000
    tagged = opened(runs("tagging")[0] / "seed-0" / "last")
    (answer,) = tagged.predictions([TaggedSentence("0", tuple(long.split()[:20_000]))])
    assert len(answer.answer) == 20_000
    (answer,) = opened(runs("classification")[0] / "seed-0" / "last").predictions([TextExample("0", long)])
    assert answer.answer
    questions = opened(runs("answers")[0] / "seed-0" / "last")
    (answer,) = questions.predictions([Question("0", "which word?", long[:50_000])])
    assert answer.answer.strip()
    assert answer.answer in long
