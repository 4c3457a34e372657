"""Several devices compute the same run in TensorFlow as one does."""

import json

import pytest

pytest.importorskip("tensorflow")

import electra_tf
from electra_common.runs.run_folder import read_run
from electra_tf.fine_tuning import fine_tune
from electra_tf.pretraining import pretrain
from electra_tf.processes import _workers
from support.fine_tuning_runs import STILL, assert_same_weights, job_of, write_data, write_start
from support.pretraining_runs import assert_same_run, prepare_tiny_corpus, tiny_settings
from support.run_processes import run_on_devices
from support.tolerances import GRADIENT

SIX_STEPS = ("steps=6", "num_hidden_layers=1")
OPTIONS = {"log_every": 2, "evaluate_every": 0}


def test_two_devices_go_on_with_what_one_began_and_end_as_one_does(tmp_path):
    data = prepare_tiny_corpus(tmp_path)
    pretrain(tiny_settings(data, tmp_path / "alone", *SIX_STEPS, **OPTIONS), quiet=True)
    pretrain(tiny_settings(data, tmp_path / "shared", *SIX_STEPS, stop_at=2, **OPTIONS), quiet=True)
    job = {"data": data, "out": tmp_path / "shared", "changes": SIX_STEPS, "options": OPTIONS}
    assert run_on_devices(2, [job], tmp_path / "told") == [6]
    assert_same_run(tmp_path / "alone", tmp_path / "shared")
    assert [start["processes"] for start in read_run(tmp_path / "shared")["starts"]] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "number", "place"),
    [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2), ("worker", 2, None), ("evaluator", 0, None), ("ps", 0, None)],
)
def test_a_chief_is_the_first_of_those_that_train(monkeypatch, kind, number, place):
    addresses = {"worker": ["b:1", "c:1"], "ps": ["d:1"], "chief": ["a:1"]}
    settings = {"cluster": addresses, "task": {"type": kind, "index": number}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(settings))
    if place is not None:
        assert _workers() == (3, place)
        return
    message = f"TF_CONFIG: the task is {kind} {number}; expected one .*: chief 0, worker 0, worker 1$"
    with pytest.raises(ValueError, match=message):
        _workers()


@pytest.mark.thorough
def test_two_devices_fine_tune_as_one_does(tmp_path):
    """A batch of tags divides unequally: by labels, not by rows."""
    write_data(tmp_path / "data")
    start = write_start(tmp_path / "start", electra_tf, "TF", num_hidden_layers=1)
    job = {"kind": "tagging", "data": tmp_path / "data", "start": start, "changes": ("epochs=0.5", *STILL)}
    fine_tune(job_of("tagging", job["data"], start, tmp_path / "alone", *job["changes"]), quiet=True)
    assert run_on_devices(2, [{**job, "out": tmp_path / "shared"}], tmp_path / "told")[0] > 0
    alone, shared = (tmp_path / name / "seed-0" / "last" for name in ("alone", "shared"))
    assert_same_weights(alone, shared, atol=GRADIENT)
    assert [read_run(tmp_path / name)["starts"][0]["processes"] for name in ("alone", "shared")] == [1, 2]
