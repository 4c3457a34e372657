"""Several PyTorch processes compute the same run as one, and end together, whatever happens to one of them."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch")

from electra_common.pretraining.metrics_log import read_metrics
from electra_common.pretraining.run_folder import list_checkpoints, read_run
from electra_pt.pretraining import pretrain
from support.pretraining_runs import TINY, assert_same_run, prepare_tiny_corpus, tiny_settings
from support.run_processes import SECONDS, finish, free_ports, in_own_group, run_together

EIGHT_STEPS = ("steps=8",)
OPTIONS = {"log_every": 2, "evaluate_every": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """The folder of runs; `alone` is that of one process."""
    folder = tmp_path_factory.mktemp("runs")
    pretrain(tiny_settings(data, folder / "alone", *EIGHT_STEPS, **OPTIONS), quiet=True)
    return folder


@pytest.fixture(scope="module")
def told(data, runs):
    """What each of two processes told of many runs, by the run's name."""

    def job(name, *changes, fault="none", out=None, **options):
        return name, {
            "data": data, "out": runs / (out or name), "changes": [*EIGHT_STEPS, *changes],
            "options": {**OPTIONS, **options}, "fault": fault,
        }  # fmt: skip

    jobs = dict(
        [
            job("two"),
            job("accumulated", accumulation=2),
            job("objective=mlm", "objective=mlm"),
            job("generator=uniform", "generator=uniform"),
            job("stopped", fault="second_is_asked_to_stop"),
            job("goes-on", out="begun-alone"),
            job("other-run", "learning_rate=1e-3", out="two"),
            job("full", fault="disk_is_full"),
            job("two-folders", fault="second_sees_no_checkpoint", out="two"),
            job("dropout", "dropout=0.1", stop_at=1),
        ]
    )
    pretrain(tiny_settings(data, runs / "begun-alone", *EIGHT_STEPS, stop_at=5, **OPTIONS), quiet=True)
    first, second = run_together("pt", 2, jobs.values(), runs / "told")
    return dict(zip(jobs, zip(first, second, strict=True), strict=True))


@pytest.mark.parametrize("name", ["two", "accumulated"])
def test_two_processes_give_the_losses_and_weights_of_one(runs, told, name):
    assert told[name] == (8, 8)
    assert_same_run(runs / "alone", runs / name)
    assert read_run(runs / name)["starts"][0]["processes"] == 2


def test_four_processes_give_the_losses_and_weights_of_one(data, runs):
    job = {"data": data, "out": runs / "four", "changes": EIGHT_STEPS, "options": OPTIONS}
    assert run_together("pt", 4, [job], runs / "told-by-four") == [[8]] * 4
    assert_same_run(runs / "alone", runs / "four")


@pytest.mark.parametrize("change", ["objective=mlm", "generator=uniform"])
def test_two_processes_train_what_has_one_network_only(data, runs, told, change):
    assert told[change] == (8, 8)
    alone = runs / f"alone-{change}"
    pretrain(tiny_settings(data, alone, *EIGHT_STEPS, change, **OPTIONS), quiet=True)
    assert_same_run(alone, runs / change)


def test_all_stop_at_the_same_step_though_one_alone_was_asked_to_and_one_goes_on(data, runs, told):
    assert told["stopped"] == (3, 3)
    assert [item.name for item in list_checkpoints(runs / "stopped")] == ["step-00000003"]
    pretrain(tiny_settings(data, runs / "stopped", *EIGHT_STEPS, **OPTIONS), quiet=True)
    assert_same_run(runs / "alone", runs / "stopped", logs=False)


def test_two_go_on_with_what_one_began(runs, told):
    assert told["goes-on"] == (8, 8)
    assert_same_run(runs / "alone", runs / "begun-alone", logs=False)
    assert [start["processes"] for start in read_run(runs / "begun-alone")["starts"]] == [1, 2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other-run", "ValueError: .*: holds another run: recipe learning_rate"),
        ("full", "CheckpointError: no space left"),
    ],
)
def test_what_fails_in_the_first_process_ends_the_second_too(told, name, message):
    first, second = told[name]
    with pytest.raises(ValueError, match=message):
        raise ValueError(first)
    assert second == "AnotherProcessFailedError: process 0 of 2 failed, and tells why"


def test_processes_that_see_different_folders_are_refused(told):
    for error in told["two-folders"]:
        assert error.endswith("would go on from steps 8, 0; give them one folder that all of them see")


def test_with_dropout_each_process_has_masks_of_its_own(data, runs, told):
    """The first step: its losses are near those of one process, and not the same."""
    assert told["dropout"] == (1, 1)
    pretrain(tiny_settings(data, runs / "alone-dropout", *EIGHT_STEPS, "dropout=0.1", stop_at=1, **OPTIONS), quiet=True)
    alone, both = (read_metrics(runs / name)[0].metrics["loss"] for name in ("alone-dropout", "dropout"))
    assert alone != pytest.approx(both, rel=1e-4)
    assert alone == pytest.approx(both, rel=0.1)


def test_torchrun_ends_with_one_checkpoint_when_it_is_asked_to_stop(data, tmp_path):
    """The command itself: SIGTERM to torchrun, which hands it to both processes."""
    small = [f"--set={change}" for change in TINY if not change.startswith("steps=")]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_ports(1)[0]}",
        "-m", "electra_common", "pretrain", "run", "--framework=pt", f"--data={data}", f"--out={tmp_path / 'run'}",
        "--set=steps=100000", "--log-every=1", "--save-every=100000", "--evaluate-every=0", *small,
    ]  # fmt: skip
    process = subprocess.Popen(command, **in_own_group())
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + SECONDS
    while not (log.exists() and log.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = finish(process, code=1)  # torchrun's own, for having been stopped
    assert errors.count("the same command goes on from there") == 1
    steps = [int(item.name[5:]) for item in list_checkpoints(tmp_path / "run")]
    assert len(steps) == 1
    assert read_metrics(tmp_path / "run")[-1].step == steps[0]
    np.testing.assert_array_less(0, steps)
