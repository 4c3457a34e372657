"""The pre-training loop in PyTorch: it goes on bit for bit, learns, divides its batches, and stops in order."""

import json
import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from electra_common.pretraining import run as run_module  # noqa: E402
from electra_common.pretraining.batches import MicroBatch  # noqa: E402
from electra_common.runs.metrics_log import read_metrics  # noqa: E402
from electra_common.runs.processes import Processes  # noqa: E402
from electra_common.runs.run import TrainingDivergedError  # noqa: E402
from electra_common.runs.run_folder import list_checkpoints, read_checkpoint, read_run  # noqa: E402
from electra_common.weights.optimizer_state import read_optimizer_state  # noqa: E402
from electra_pt import ElectraForMaskedLM, ElectraForPreTraining  # noqa: E402
from electra_pt import pretraining as loop  # noqa: E402
from electra_pt.pretraining import _step_inputs, pretrain  # noqa: E402
from electra_pt.processes import RunProcesses  # noqa: E402
from support.fixtures import GOOGLE  # noqa: E402
from support.google_start import check_one_more_step, settings_to_go_on  # noqa: E402
from support.killed_runs import kill_and_compare  # noqa: E402
from support.pretraining_runs import (  # noqa: E402
    FIRST_STEP,
    VOCABULARY,
    assert_same_bits,
    check_first_step,
    last_state,
    prepare_tiny_corpus,
    tiny_settings,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@contextmanager
def started(settings, processes=None):
    """Give a run of some processes and their place, where nothing was computed yet."""
    with loop.open_run(settings, framework="pt", version="1", processes=processes or Processes(), quiet=True) as run:
        yield run, RunProcesses(processes or Processes(), torch.device("cpu"))


@pytest.fixture(scope="module")
def whole_run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert pretrain(tiny_settings(data, out, "dropout=0.1"), quiet=True).step == 12
    return out


def test_a_run_writes_checkpoints_metrics_and_what_it_was(whole_run):
    assert [item.name for item in list_checkpoints(whole_run)] == ["step-00000005", "step-00000010", "step-00000012"]
    state, moments = read_checkpoint(list_checkpoints(whole_run)[-1])
    assert state.step == 12
    assert state.tokens > 12 * 8 * 5
    assert any(np.abs(mean).max() > 0 for mean, _ in moments.values())
    entries = read_metrics(whole_run)
    assert [entry.step for entry in entries if entry.split == "train"] == [4, 5, 6, 8, 10, 12]
    assert [entry.step for entry in entries if entry.split == "held-out"] == [6, 12]
    assert {"auc", "masked_accuracy", "positive_rate", "recall"} <= entries[-1].metrics.keys()
    assert all(0 < entry.metrics["share_of_peak"] < 1 for entry in entries if entry.split == "train")
    run = read_run(whole_run)
    (events,) = (whole_run / "tensorboard").iterdir()
    assert b"discriminator_loss/train" in events.read_bytes()
    assert run["recipe"]["dropout"] == 0.1
    assert run["starts"][0]["framework"] == "pt"


def test_both_networks_of_a_checkpoint_load_by_the_usual_classes(whole_run):
    checkpoint = list_checkpoints(whole_run)[-1]
    discriminator = ElectraForPreTraining.from_pretrained(checkpoint)
    generator = ElectraForMaskedLM.from_pretrained(checkpoint)
    shared = generator.electra.embeddings.word_embeddings.weight
    assert torch.equal(discriminator.electra.embeddings.word_embeddings.weight, shared)


def test_a_run_in_pieces_ends_in_the_same_bits(data, whole_run, tmp_path):
    """Stopped behind a checkpoint, so that steps are done again, and started anew with dropout on."""
    for stop in (7, 9, 12):
        pretrain(tiny_settings(data, tmp_path / "pieces", "dropout=0.1", stop_at=stop), quiet=True)
    assert_same_bits(whole_run, tmp_path / "pieces")


def test_a_lost_checkpoint_costs_the_steps_since_the_one_before(data, whole_run, tmp_path):
    import shutil

    out = tmp_path / "lost"
    shutil.copytree(whole_run, out)
    shutil.rmtree(list_checkpoints(out)[-1])
    pretrain(tiny_settings(data, out, "dropout=0.1"), quiet=True)
    assert_same_bits(whole_run, out)
    assert [entry.step for entry in read_metrics(out) if entry.split == "train"] == [4, 5, 6, 8, 10, 12]


def test_micro_batches_add_up_to_the_batch(data, tmp_path):
    for name, accumulation in (("one", 1), ("four", 4)):
        pretrain(tiny_settings(data, tmp_path / name, accumulation=accumulation), quiet=True)
    expected, found = last_state(tmp_path / "one"), last_state(tmp_path / "four")
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-4, err_msg=name)


def test_an_update_is_made_of_the_recipes_numbers(data, tmp_path):
    """At so small a learning rate nothing moves, so one of the two runs says where both began."""
    for name, changes in (("start", ("learning_rate=1e-30",)), ("run", FIRST_STEP)):
        pretrain(tiny_settings(data, tmp_path / name, *changes, evaluate_every=0, stop_at=1), quiet=True)
    check_first_step(tmp_path / "start", tmp_path / "run")


def test_it_learns(data, tmp_path):
    settings = tiny_settings(data, tmp_path, "steps=80", "warmup_steps=8", evaluate_every=80, log_every=40)
    pretrain(settings, quiet=True)
    entries = read_metrics(tmp_path)
    first, *_, last = (entry.metrics for entry in entries if entry.split == "train")
    assert last["generator_loss"] < first["generator_loss"] - 0.2
    assert last["discriminator_loss"] < first["discriminator_loss"]
    assert entries[-1].metrics["generator_loss"] < np.log(VOCABULARY)  # of the held-out documents: below guessing


@pytest.mark.parametrize("change", ["objective=mlm", "generator=uniform", "generator=tied", "ties_embeddings=false"])
def test_every_objective_is_trained_saved_and_resumed(data, tmp_path, change):
    pretrain(tiny_settings(data, tmp_path / "whole", change, "steps=4", save_every=2), quiet=True)
    for stop in (3, 4):
        pretrain(tiny_settings(data, tmp_path / "pieces", change, "steps=4", save_every=2, stop_at=stop), quiet=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "pieces")


def test_a_run_starts_from_another_one(data, whole_run, tmp_path, capsys):
    settings = tiny_settings(data, tmp_path, "steps=13", stop_at=13, evaluate_every=0, start_from=str(whole_run))
    assert pretrain(settings).step == 13
    told = capsys.readouterr().err
    assert "goes on from its step 12 with its state of Adam" in told
    assert "of peak)" in told


def test_a_run_of_other_networks_starts_from_one_without_its_state_of_adam(data, whole_run, tmp_path):
    changes, options = ("generator=uniform", "steps=13"), {"start_from": str(whole_run), "evaluate_every": 0}
    message = "step-00000012: Adam's state does not fit the model: generator.* anew with --fresh-optimizer"
    with pytest.raises(ValueError, match=message):
        pretrain(tiny_settings(data, tmp_path / "run", *changes, **options), quiet=True)
    again = tiny_settings(data, tmp_path / "run", *changes, fresh_optimizer=True, stop_at=1, **options)
    assert pretrain(again, quiet=True).step == 1


def test_a_run_starts_from_two_folders(data, whole_run, tmp_path):
    from electra_pt import ElectraForJointPreTraining

    ElectraForJointPreTraining.from_pretrained(list_checkpoints(whole_run)[-1]).save_halves(tmp_path)
    settings = tiny_settings(
        data,
        tmp_path / "run",
        "steps=1",
        "warmup_steps=0",
        "learning_rate=1e-12",
        start_from=str(tmp_path / "discriminator"),
        start_generator_from=str(tmp_path / "generator"),
    )
    pretrain(settings, quiet=True)
    expected, found = last_state(whole_run), last_state(tmp_path / "run")
    for name in expected:
        if name.startswith(("discriminator.", "generator.")):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)


def test_sigterm_ends_a_run_with_a_checkpoint(data, tmp_path):
    settings = tiny_settings(data, tmp_path, "steps=100_000", log_every=10_000, save_every=10_000, evaluate_every=0)
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    state = pretrain(settings, quiet=True)
    assert 0 < state.step < 100_000
    assert list_checkpoints(tmp_path)[-1].name == f"step-{state.step:08d}"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_ends_a_run_at_once(data, tmp_path, monkeypatch):
    computed = loop.compute_gradients

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return computed(*arguments)

    monkeypatch.setattr(loop, "compute_gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.pretrain(tiny_settings(data, tmp_path), quiet=True)
    assert not list_checkpoints(tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(data, tmp_path, monkeypatch):
    computed = loop.compute_gradients

    def fails_in_the_seventh(network, micro_batches, run, processes):
        losses = computed(network, micro_batches, run, processes)
        return losses * float("nan") if run.state.step == 6 else losses

    monkeypatch.setattr(loop, "compute_gradients", fails_in_the_seventh)
    message = r"step 8: loss is nan, .*; the last good checkpoint is .*step-00000005 \(if .*remove it\); try a smaller"
    with pytest.raises(TrainingDivergedError, match=message):
        loop.pretrain(tiny_settings(data, tmp_path), quiet=True)
    assert [item.name for item in list_checkpoints(tmp_path)] == ["step-00000005"]


def test_weights_that_grew_beyond_all_numbers_are_noticed_by_the_evaluation(data, tmp_path):
    settings = tiny_settings(data, tmp_path, "learning_rate=1e30", "warmup_steps=0", stop_at=1)
    with pytest.raises(TrainingDivergedError, match=r"step 1: .* is (nan|inf); no checkpoint was written yet"):
        pretrain(settings, quiet=True)


@pytest.mark.parametrize(("area", "notes"), [(0.5, 1), (0.5001, 0)])
def test_a_discriminator_that_answers_every_token_alike_is_told(data, tmp_path, monkeypatch, capsys, area, notes):
    monkeypatch.setattr(loop, "evaluate", lambda *_: {"auc": area})
    pretrain(tiny_settings(data, tmp_path, evaluate_every=2, stop_at=2))
    told = "step 2: the discriminator answers every held-out token alike (auc 0.5); if that stays so,"
    assert capsys.readouterr().err.count(told) == notes


def test_bfloat16_and_the_compiler_are_not_ignored(data, tmp_path, monkeypatch):
    functions, modules = [], []
    monkeypatch.setattr(torch, "compile", lambda function, **_: functions.append(function.__name__) or function)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: modules.append(type(module).__name__))
    pretrain(tiny_settings(data, tmp_path / "32", "steps=3", compile=True), quiet=True)
    assert functions == ["_generator_loss", "_sample"]
    assert modules[0] == "ElectraEmbeddings"
    assert modules.count("ElectraLayer") == 3  # of both networks
    pretrain(tiny_settings(data, tmp_path / "16", "steps=3", precision="bfloat16"), quiet=True)
    exact, rounded = last_state(tmp_path / "32"), last_state(tmp_path / "16")
    differences = [np.abs(exact[name] - rounded[name]).max() for name in exact if name.startswith("discriminator.")]
    assert 0 < max(differences) < 0.05


def test_an_evaluation_is_without_dropout_and_leaves_it_to_the_steps(data, tmp_path):
    found = []
    for dropout in (0.0, 0.5):
        settings = tiny_settings(data, tmp_path / str(dropout), f"dropout={dropout}", "initializer_range=0.5")
        with started(settings) as (run, processes):
            model, _ = loop.start_training(run, processes)
            found.append(loop.evaluate(model, run, processes))
            assert {module.training for module in model.modules()} == {True}
    assert found[0] == found[1]


def test_a_network_to_divide_is_divided_before_its_optimizer_is_made(data, tmp_path, monkeypatch):
    """What is then computed is the same as without, so no result could tell."""
    calls, adam = [], loop.electra_adam
    monkeypatch.setattr(loop, "shard", lambda model: calls.append(type(model).__name__))
    monkeypatch.setattr(loop, "electra_adam", lambda *given, **named: calls.append("Adam") or adam(*given, **named))
    alike = Processes(2, (0,), lambda values: np.full_like(values, values[0]))
    for divided in (True, False):
        with started(tiny_settings(data, tmp_path / str(divided), shard=divided), alike) as (run, processes):
            loop.start_training(run, processes)
    assert calls == ["ElectraForJointPreTraining", "Adam", "Adam"]


@pytest.mark.parametrize("is_divided", [False, True], ids=["whole", "divided"])
def test_what_takes_all_processes_is_not_done_where_one_may_have_failed_alone(data, tmp_path, monkeypatch, is_divided):
    """Such as on a full disk: it would leave, and the others wait for ever. What is whole each evaluates alone."""
    inside, done = [], []

    @contextmanager
    def together(processes):
        inside.append(None)
        yield
        inside.pop()

    def watched(name, function):
        def call(*given, **named):
            assert bool(inside) is (name == "evaluate" and not is_divided), name
            done.append(name)
            return function(*given, **named)

        return call

    monkeypatch.setattr(Processes, "together", together)
    monkeypatch.setattr(run_module, "_check_shard", lambda *_: None)  # one process cannot divide
    monkeypatch.setattr(loop, "shard", lambda model: None)
    monkeypatch.setattr(RunProcesses, "add_up", watched("add_up", RunProcesses.add_up))
    for name in ("compute_gradients", "evaluate", "read_by_all", "whole"):
        monkeypatch.setattr(loop, name, watched(name, getattr(loop, name)))
    every = dict.fromkeys(("log_every", "evaluate_every", "save_every"), 1)
    pretrain(tiny_settings(data, tmp_path, stop_at=1, shard=is_divided, **every), quiet=True)
    assert done == ["compute_gradients", "add_up", "evaluate", "read_by_all", "whole"]
    assert len(list_checkpoints(tmp_path)) == 1
    assert [entry.split for entry in read_metrics(tmp_path)] == ["train", "held-out"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_evaluation_computes_in_the_precision_of_the_training(data, tmp_path, monkeypatch, precision):
    seen, counted = set(), loop._held_out_outputs

    def watched(output, batch):
        seen.update((output["logits"].dtype, output["generator_logits"].dtype))
        return counted(output, batch)

    monkeypatch.setattr(loop, "_held_out_outputs", watched)
    pretrain(tiny_settings(data, tmp_path, "steps=1", "warmup_steps=0", precision=precision), quiet=True)
    assert seen == {getattr(torch, precision)}
    assert all(np.isfinite(value) for value in read_metrics(tmp_path)[-1].metrics.values())


def test_masks_are_left_out_where_none_of_a_step_hides_anything():
    full, short = np.ones((2, 3), np.int32), np.array([[1, 1, 1], [1, 1, 0]], np.int32)
    both = [MicroBatch({"input_ids": full, "attention_mask": mask}, 0.25, 0.5, 11) for mask in (full, short)]
    (alone,) = _step_inputs(both[:1])
    assert alone.keys() == {"input_ids", "generator_share", "discriminator_share"}
    assert alone["generator_share"] == 0.25
    assert [inputs["attention_mask"].tolist() for inputs in _step_inputs(both)] == [full.tolist(), short.tolist()]


def test_a_change_of_the_recipe_is_refused(data, whole_run):
    with pytest.raises(ValueError, match=r"holds another run: recipe dropout 0.1, now 0.2"):
        pretrain(tiny_settings(data, whole_run, "dropout=0.2"), quiet=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("max_length=23", "examples have 24 tokens, the recipe wants 23; prepare the corpus with --max-length 23"),
        ("batch_size=7", "a batch of 7 does not divide into 1 process"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(data, tmp_path, change, message):
    options = {"accumulation": 2} if change == "batch_size=7" else {}
    with pytest.raises(ValueError, match=message):
        pretrain(tiny_settings(data, tmp_path / "run", change, **options), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_of_another_corpus_is_refused(data, tmp_path):
    import shutil

    shutil.copytree(data, tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    file = tmp_path / "data" / "tokenizer" / manifest["vocabulary"]["file"]
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="not the vocabulary that the examples were made with"):
        pretrain(tiny_settings(tmp_path / "data", tmp_path / "run"), quiet=True)


@pytest.mark.thorough
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path):
    """`make check-kills` does it twenty times, in both frameworks."""
    assert len(kill_and_compare("pt", "pretraining", tmp_path, kills=2)) == 2


def test_a_run_goes_on_from_googles_checkpoint_with_its_step_and_its_adam(tmp_path, capsys):
    pretrain(settings_to_go_on(tmp_path, stop_at=7))
    check_one_more_step(tmp_path / "run", read_optimizer_state(GOOGLE / "trained" / "model.ckpt-6")[1])
    assert "goes on from its step 6 with its state of Adam" in capsys.readouterr().err


def test_adam_starts_at_zero_where_that_is_asked_for_or_nothing_else_is_there(tmp_path, capsys):
    assert pretrain(settings_to_go_on(tmp_path, fresh_optimizer=True, stop_at=1)).step == 1
    assert "the weights alone; Adam starts at zero" in capsys.readouterr().err


def test_a_masked_language_model_starts_from_the_generator_of_a_checkpoint_without_a_config(tmp_path):
    sizes = ("hidden_size=32", "num_attention_heads=2")
    settings = settings_to_go_on(tmp_path, "objective=mlm", *sizes, fresh_optimizer=True, stop_at=1)
    assert pretrain(settings, quiet=True).step == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps=6", "was trained for 6 steps, and the recipe has 6 in all: set more steps, or .*--fresh-optimizer"),
        ("generator_intermediate_size=64", r"generator intermediate_size 128 \(recipe and data: 64\); choose another"),
    ],
)
def test_weights_and_a_recipe_that_do_not_go_together_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        pretrain(settings_to_go_on(tmp_path, change), quiet=True)
