"""Several PyTorch processes, started by torchrun or as it does, compute the same run as one, and end together."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")

import electra_pt
from electra_common.runs.metrics_log import MetricsLog, read_metrics
from electra_common.runs.run_folder import list_checkpoints, read_run
from electra_common.weights.errors import CheckpointError
from electra_pt.fine_tuning import fine_tune
from electra_pt.pretraining import pretrain
from support.fine_tuning_runs import STILL, assert_same_weights, job_of, write_data, write_start
from support.pretraining_runs import TINY, assert_same_run, prepare_tiny_corpus, tiny_settings
from support.run_processes import SECONDS, finish, in_own_group, run_ranks
from support.tolerances import GRADIENT

SMALL = [f"--set={change}" for change in TINY if not change.startswith("steps=")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def torchrun(data, out, *options, count=2):
    """Start `electra pretrain run` in several processes."""
    given = ("--framework=pt", f"--data={data}", f"--out={out}", *SMALL, *options)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m",
               "electra_common", "pretrain", "run", *given]  # fmt: skip
    return subprocess.Popen(command, **in_own_group())


def test_two_processes_go_on_with_what_one_began_and_end_as_one_does(data, tmp_path):
    """At last each has a part of every parameter, which one process reads again."""
    options = {"log_every": 2, "evaluate_every": 2, "save_every": 500}
    pretrain(tiny_settings(data, tmp_path / "alone", "steps=8", **options), quiet=True)
    pretrain(tiny_settings(data, tmp_path / "shared", "steps=8", stop_at=2, **options), quiet=True)
    flags = ("--set=steps=8", "--log-every=2", "--evaluate-every=2", "--evaluation-examples=13", "--accumulation=2")
    run = ("pretrain", "run", "--framework=pt", f"--data={data}", f"--out={tmp_path / 'shared'}", *SMALL, *flags)
    printed = run_ranks(2, *run, "--stop-at=4", "--json")
    assert printed.count('"step": 4') == 1  # the first process alone speaks
    run_ranks(2, *run, "--stop-at=6", "--shard")
    pretrain(tiny_settings(data, tmp_path / "shared", "steps=8", **options), quiet=True)
    assert_same_run(tmp_path / "alone", tmp_path / "shared")
    assert [start["processes"] for start in read_run(tmp_path / "shared")["starts"]] == [1, 2, 2, 1]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "flags"),
    [(4, ()), (4, ("--shard",)), (2, ("--shard", "--compile"))],
    ids=["whole", "divided", "compiled"],
)
def test_processes_end_as_one_does(data, tmp_path, count, flags):
    pretrain(tiny_settings(data, tmp_path / "alone", "steps=6", log_every=2, evaluate_every=0), quiet=True)
    options = ("--set=steps=6", "--log-every=2", "--evaluate-every=0", "--save-every=5", *flags)
    finish(torchrun(data, tmp_path / "shared", *options, count=count))
    assert_same_run(tmp_path / "alone", tmp_path / "shared")
    assert [start["processes"] for start in read_run(tmp_path / "shared")["starts"]] == [count]


def no_space_for_the_log():
    def write(log, step, split, metrics):
        raise CheckpointError("metrics.jsonl: cannot be written: No space left on device")

    MetricsLog.write = write


@pytest.mark.thorough
@pytest.mark.parametrize("flags", [(), ("--shard",)], ids=["whole", "divided"])
def test_a_full_disk_of_the_first_process_ends_all_of_them(data, tmp_path, flags):
    """While the first one leaves, the others would wait for it in what all compute together."""
    options = ("--set=steps=6", "--log-every=2", "--evaluate-every=2", "--save-every=2", *flags)
    run = ("pretrain", "run", "--framework=pt", f"--data={data}", f"--out={tmp_path}", *SMALL, *options)
    run_ranks(2, *run, code=2, others=1, prepare=no_space_for_the_log)
    assert not list_checkpoints(tmp_path)


def test_to_divide_a_model_takes_several_processes(data, tmp_path):
    with pytest.raises(ValueError, match="shard: networks are divided among several processes, and there is one"):
        pretrain(tiny_settings(data, tmp_path / "run", shard=True), quiet=True)
    assert not (tmp_path / "run").exists()


def test_asked_to_stop_both_end_at_one_step_with_one_checkpoint(data, tmp_path):
    """SIGTERM to torchrun, which hands it to both processes."""
    flags = ("--set=steps=100000", "--log-every=1", "--save-every=100000", "--evaluate-every=0")
    process = torchrun(data, tmp_path / "run", *flags)
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + SECONDS
    while not (log.exists() and log.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = finish(process, code=1)  # torchrun's own, for having been stopped
    assert errors.count("the same command goes on from there") == 1
    (checkpoint,) = list_checkpoints(tmp_path / "run")
    assert read_metrics(tmp_path / "run")[-1].step == int(checkpoint.name.removeprefix("step-")) > 0


def test_two_processes_fine_tune_as_one_does(tmp_path):
    """A batch of tags divides unequally: by labels, not by rows."""
    write_data(tmp_path / "data")
    start = write_start(tmp_path / "start", electra_pt)
    changes = ("epochs=0.5", "early_stopping=9", *STILL)
    fine_tune(job_of("tagging", tmp_path / "data", start, tmp_path / "alone", *changes), quiet=True)
    options = ("epochs=0.5", "early_stopping=9", *STILL, "batch_size=8", "learning_rate=3e-3", "max_length=48")
    printed = run_ranks(
        2, "finetune", "tagging", "--framework=pt", f"--data={tmp_path / 'data' / 'tagging'}", f"--model={start}",
        f"--out={tmp_path / 'shared'}", "--json", *(f"--set={option}" for option in options),
        code=1,  # so little training comes to nothing
    )  # fmt: skip
    assert printed.count('"summary"') == 1  # the first process alone speaks
    alone, shared = (tmp_path / name / "seed-0" for name in ("alone", "shared"))
    assert_same_weights(alone / "last", shared / "last", atol=GRADIENT)
    assert [read_run(tmp_path / name)["starts"][0]["processes"] for name in ("alone", "shared")] == [1, 2]
