"""The pre-training loop in TensorFlow: it goes on bit for bit, learns, divides its batches, and stops in order."""

import shutil
import signal
from contextlib import nullcontext

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from electra_common.pretraining.run import PretrainingRun, open_run  # noqa: E402
from electra_common.runs.metrics_log import read_metrics  # noqa: E402
from electra_common.runs.processes import Processes  # noqa: E402
from electra_common.runs.run import TrainingDivergedError  # noqa: E402
from electra_common.runs.run_folder import list_checkpoints, read_checkpoint, read_run  # noqa: E402
from electra_common.weights.optimizer_state import read_optimizer_state  # noqa: E402
from electra_tf import TFElectraForJointPreTraining, TFElectraForMaskedLM, TFElectraForPreTraining  # noqa: E402
from electra_tf import pretraining as loop  # noqa: E402
from electra_tf.joint_networks import joint_state  # noqa: E402
from electra_tf.pretrained import read_canonical  # noqa: E402
from electra_tf.pretraining import pretrain  # noqa: E402
from electra_tf.processes import RunProcesses  # noqa: E402
from support.fixtures import GOOGLE  # noqa: E402
from support.google_start import check_one_more_step, settings_to_go_on  # noqa: E402
from support.pretraining_runs import (  # noqa: E402
    VOCABULARY,
    assert_same_bits,
    last_state,
    prepare_tiny_corpus,
    tiny_settings,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def whole_run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert pretrain(tiny_settings(data, out, "dropout=0.1"), quiet=True).step == 12
    return out


def test_a_run_writes_checkpoints_and_metrics(whole_run):
    assert [item.name for item in list_checkpoints(whole_run)] == ["step-00000005", "step-00000010", "step-00000012"]
    entries = read_metrics(whole_run)
    assert [entry.step for entry in entries if entry.split == "train"] == [4, 5, 6, 8, 10, 12]
    assert [entry.step for entry in entries if entry.split == "held-out"] == [6, 12]
    assert {"auc", "masked_accuracy", "positive_rate", "recall"} <= entries[-1].metrics.keys()
    assert all(0 < entry.metrics["share_of_peak"] < 1 for entry in entries if entry.split == "train")
    assert read_run(whole_run)["starts"][0]["framework"] == "tf"


def test_all_evaluations_of_a_run_share_one_trace_and_none_has_dropout(data, tmp_path, monkeypatch):
    """The weights stand still, so that what an evaluation drew would be all that tells it from another."""
    traced, count = [], loop._forward
    monkeypatch.setattr(loop, "_forward", lambda model: count(watched(model, traced)))
    still = ("steps=3", "learning_rate=1e-30", "dropout=0.4")
    pretrain(tiny_settings(data, tmp_path, *still, evaluate_every=1), quiet=True)
    first, *others = [entry.metrics for entry in read_metrics(tmp_path) if entry.split == "held-out"]
    assert others == [first, first]
    assert len(traced) == 1


def watched(model, calls):
    """Return a function that calls a model and notes it."""
    return lambda **inputs: calls.append(1) or model(**inputs)


def test_both_networks_of_a_checkpoint_load_by_the_usual_classes(whole_run):
    checkpoint = list_checkpoints(whole_run)[-1]
    discriminator = TFElectraForPreTraining.from_pretrained(checkpoint)
    generator = TFElectraForMaskedLM.from_pretrained(checkpoint)
    tables = [model.electra.embeddings.word_embeddings.embeddings.numpy() for model in (discriminator, generator)]
    np.testing.assert_array_equal(*tables)


def test_a_run_in_pieces_ends_in_the_same_bits(data, whole_run, tmp_path):
    """Stopped behind a checkpoint, so that steps are done again, and started anew with dropout on."""
    for stop in (7, 12):
        pretrain(tiny_settings(data, tmp_path / "pieces", "dropout=0.1", stop_at=stop), quiet=True)
    assert_same_bits(whole_run, tmp_path / "pieces")


def test_a_run_starts_from_two_folders_and_with_the_recipes_adam(data, whole_run, tmp_path):
    TFElectraForJointPreTraining.from_pretrained(list_checkpoints(whole_run)[-1]).save_halves(tmp_path)
    pair = {"start_from": str(tmp_path / "discriminator"), "start_generator_from": str(tmp_path / "generator")}
    changes = ("adam_beta_1=0.8", "adam_beta_2=0.95", "adam_epsilon=1e-3", "weight_decay=0.1")
    settings = tiny_settings(data, tmp_path / "run", *changes, **pair)
    with open_run(settings, framework="tf", version=tf.__version__, processes=Processes(), quiet=True) as run:
        model, optimizer = loop.start_training(run, RunProcesses(Processes(), tf.distribute.get_strategy()))
    expected, found = last_state(whole_run), joint_state(model)
    for name, variable in found.items():
        assert np.array_equal(expected[name], read_canonical(name, variable)), name
    assert {name.partition(".")[0] for name in found} == {"discriminator", "generator"}
    assert (*optimizer.betas, optimizer.eps, optimizer.decay_rate) == (0.8, 0.95, 1e-3, 0.1)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_micro_batches_add_up_to_the_batch_and_compiling_changes_nothing(data, tmp_path, compiled):
    options = {"evaluate_every": 0, "stop_at": 6}
    pretrain(tiny_settings(data, tmp_path / "one", **options), quiet=True)
    pretrain(tiny_settings(data, tmp_path / "two", accumulation=2, compile=compiled, **options), quiet=True)
    expected, found = last_state(tmp_path / "one"), last_state(tmp_path / "two")
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-4, err_msg=name)


def test_it_learns(data, tmp_path):
    settings = tiny_settings(data, tmp_path, "steps=80", "warmup_steps=8", evaluate_every=80, log_every=40)
    pretrain(settings, quiet=True)
    entries = read_metrics(tmp_path)
    first, *_, last = (entry.metrics for entry in entries if entry.split == "train")
    assert last["generator_loss"] < first["generator_loss"] - 0.2
    assert last["discriminator_loss"] < first["discriminator_loss"]
    assert entries[-1].metrics["generator_loss"] < np.log(VOCABULARY)  # of the held-out documents: below guessing


@pytest.mark.parametrize("change", ["objective=mlm", "generator=uniform"])
def test_objectives_of_one_network_are_trained_evaluated_and_saved(data, tmp_path, monkeypatch, change):
    """Until SIGTERM, after the step at hand."""
    seed = loop.dropout_seed
    monkeypatch.setattr(loop, "dropout_seed", lambda *place: signal.raise_signal(signal.SIGTERM) or seed(*place))
    settings = tiny_settings(data, tmp_path, change, "steps=30", "clip_norm=0.01", evaluate_every=1)
    assert pretrain(settings, quiet=True).step == 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    training, held_out = (entry.metrics for entry in read_metrics(tmp_path))
    assert ("auc" in held_out) == (change != "objective=mlm")
    assert ("masked_accuracy" in held_out) == (change != "generator=uniform")
    (checkpoint,) = list_checkpoints(tmp_path)
    _, moments = read_checkpoint(checkpoint)
    squares = sum(np.square(mean, dtype=np.float64).sum() for mean, _ in moments.values())
    assert training["gradient_norm"] > 0.01
    assert np.sqrt(squares) == pytest.approx((1 - 0.9) * 0.01)  # a tenth of the first gradient, which was clipped


def test_mixed_precision_lasts_as_long_as_the_run(data, whole_run, tmp_path):
    """A start that goes on computes in it as well: from the same checkpoint, the same step ends in other bits."""
    shutil.copytree(whole_run, tmp_path / "run")
    shutil.rmtree(list_checkpoints(tmp_path / "run")[-1])
    settings = tiny_settings(data, tmp_path / "run", "dropout=0.1", precision="bfloat16", evaluate_every=0)
    pretrain(settings, quiet=True)
    exact, rounded = last_state(whole_run), last_state(tmp_path / "run")
    differences = [np.abs(exact[name] - rounded[name]).max() for name in exact if name.startswith("discriminator.")]
    assert 0 < max(differences) < 0.05
    assert keras.config.dtype_policy().name == "float32"


def test_only_pytorch_divides_a_model(data, tmp_path):
    with pytest.raises(ValueError, match="shard: only PyTorch divides networks among processes"):
        pretrain(tiny_settings(data, tmp_path / "run", shard=True), quiet=True)
    assert not (tmp_path / "run").exists()


def test_xla_is_refused_where_several_processors_compute_together(data, tmp_path, monkeypatch):
    two = RunProcesses(Processes(2, (0, 1)), tf.distribute.get_strategy())
    monkeypatch.setattr(loop, "open_processes", lambda: nullcontext(two))
    with pytest.raises(ValueError, match="compile: XLA compiles no step that 2 CPUs compute together; leave it out"):
        pretrain(tiny_settings(data, tmp_path / "run", compile=True), quiet=True)
    assert not (tmp_path / "run").exists()


def test_weights_that_grew_beyond_all_numbers_are_noticed_before_a_checkpoint_is_made_of_them(
    data, tmp_path, monkeypatch
):
    monkeypatch.setattr(PretrainingRun, "learning_rate", lambda _, step: 1e30 if step else 1e-3)
    message = r"step 2: .* is (nan|inf).*; the last good checkpoint is .*step-00000001 \(if .*remove it\); try a"
    with pytest.raises(TrainingDivergedError, match=message):
        pretrain(tiny_settings(data, tmp_path, save_every=1, stop_at=2), quiet=True)
    (checkpoint,) = list_checkpoints(tmp_path)
    assert checkpoint.name == "step-00000001"
    assert all(np.isfinite(array).all() for array in last_state(tmp_path).values())


def test_a_run_goes_on_from_googles_checkpoint_with_its_step_and_its_adam(tmp_path, capsys):
    pretrain(settings_to_go_on(tmp_path, stop_at=7))
    check_one_more_step(tmp_path / "run", read_optimizer_state(GOOGLE / "trained" / "model.ckpt-6")[1])
    assert "goes on from its step 6 with its state of Adam" in capsys.readouterr().err
