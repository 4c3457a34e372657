"""Several devices compute the same run in TensorFlow as one does."""

import pytest

pytest.importorskip("tensorflow")

from electra_common.pretraining.run_folder import read_run
from electra_tf.pretraining import pretrain
from support.pretraining_runs import assert_same_run, prepare_tiny_corpus, tiny_settings
from support.run_processes import run_on_devices

SIX_STEPS = ("steps=6", "num_hidden_layers=1")
OPTIONS = {"log_every": 2, "evaluate_every": 0}


def test_two_devices_go_on_with_what_one_began_and_end_as_one_does(tmp_path):
    data = prepare_tiny_corpus(tmp_path)
    pretrain(tiny_settings(data, tmp_path / "alone", *SIX_STEPS, **OPTIONS), quiet=True)
    pretrain(tiny_settings(data, tmp_path / "shared", *SIX_STEPS, stop_at=2, **OPTIONS), quiet=True)
    job = {"data": data, "out": tmp_path / "shared", "changes": SIX_STEPS, "options": OPTIONS}
    assert run_on_devices(2, [job], tmp_path / "told") == [6]
    assert_same_run(tmp_path / "alone", tmp_path / "shared", logs=False)
    assert [start["processes"] for start in read_run(tmp_path / "shared")["starts"]] == [1, 2]
