"""Several workers, or devices of one, compute the same run in TensorFlow as one does alone, and end together."""

import pytest

pytest.importorskip("tensorflow")

from electra_common.pretraining.run_folder import list_checkpoints, read_run
from electra_tf.pretraining import pretrain
from support.pretraining_runs import assert_same_run, prepare_tiny_corpus, tiny_settings
from support.run_processes import run_on_devices, run_together

SIX_STEPS = ("steps=6", "num_hidden_layers=1")
OPTIONS = {"log_every": 2, "evaluate_every": 0}
ANOTHER = "AnotherProcessFailedError: process 0 of 2 failed, and tells why"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """The folder of runs; `alone` is that of one process."""
    folder = tmp_path_factory.mktemp("runs")
    pretrain(tiny_settings(data, folder / "alone", *SIX_STEPS, **OPTIONS), quiet=True)
    return folder


def job(data, out, *changes, fault="none", **options):
    options = {**OPTIONS, **options}
    return {"data": data, "out": out, "changes": [*SIX_STEPS, *changes], "options": options, "fault": fault}


def test_two_workers_and_then_two_devices_of_one_give_the_losses_and_weights_of_one(data, runs):
    """The workers of TF_CONFIG stop at one step, though one alone was asked to; the devices go on from there."""
    stopped = job(data, runs / "shared", fault="second_is_asked_to_stop")
    refused = job(data, runs / "shared", "learning_rate=1e-3")
    first, second = run_together("tf", 2, [stopped, refused], runs / "told")
    assert (first[0], second[0]) == (3, 3)
    assert [item.name for item in list_checkpoints(runs / "shared")] == ["step-00000003"]
    assert "holds another run: recipe learning_rate" in first[1]
    assert second[1] == ANOTHER
    assert run_on_devices(2, [job(data, runs / "shared")], runs / "told-by-devices") == [6]
    assert_same_run(runs / "alone", runs / "shared", logs=False)
    assert [start["processes"] for start in read_run(runs / "shared")["starts"]] == [2, 2]
