"""The log of metrics: appended to, read back, taken back where a run goes on, and shown by TensorBoard."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from electra_common.runs.metrics_log import METRICS_FILE, MetricsLog, read_metrics
from electra_common.weights.errors import CheckpointError


def write(folder, *steps, **options):
    """Write a training line for each step, and a held-out line for every third."""
    with MetricsLog(folder, **{"tensorboard": False, **options}) as log:
        for step in steps:
            log.write(step, "train", {"loss": 10 / (step + 1), "learning_rate": 1e-3 * step})
            if step % 3 == 0:
                log.write(step, "held-out", {"auc": 0.5 + step / 100})


def steps_of(folder):
    return [(entry.step, entry.split) for entry in read_metrics(folder)]


def test_each_line_is_one_json_object(tmp_path):
    write(tmp_path / "run", 2, 3)
    lines = [json.loads(line) for line in (tmp_path / "run" / METRICS_FILE).read_text().splitlines()]
    assert [list(line) for line in lines] == [["step", "split", "time", "loss", "learning_rate"]] * 2 + [
        ["step", "split", "time", "auc"]
    ]
    assert lines[2] == {"step": 3, "split": "held-out", "time": lines[2]["time"], "auc": 0.53}
    assert 0 <= lines[0]["time"] <= lines[2]["time"] < 60


def test_what_is_read_is_what_was_written(tmp_path):
    write(tmp_path, np.int64(5))
    (entry,) = read_metrics(tmp_path)
    assert (entry.step, entry.split, entry.metrics) == (5, "train", {"loss": 10 / 6, "learning_rate": 5e-3})


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    with MetricsLog(tmp_path, tensorboard=False) as log:
        log.write(1, "train", {"loss": 2.0})
        assert steps_of(tmp_path) == [(1, "train")]


def test_a_run_that_goes_on_takes_back_what_it_logged_behind_its_checkpoint(tmp_path):
    write(tmp_path, 0, 1, 2, 3, 4, 5)
    write(tmp_path, 4, 6, after_step=3)
    assert steps_of(tmp_path) == [
        (0, "train"), (0, "held-out"), (1, "train"), (2, "train"), (3, "train"), (3, "held-out"),
        (4, "train"), (6, "train"), (6, "held-out"),
    ]  # fmt: skip


def test_the_start_takes_everything_back_and_nothing_else_does(tmp_path):
    write(tmp_path, 0, 1, 2)
    before = (tmp_path / METRICS_FILE).read_bytes()
    write(tmp_path)
    assert (tmp_path / METRICS_FILE).read_bytes() == before
    write(tmp_path, after_step=0)
    assert steps_of(tmp_path) == []


@pytest.mark.parametrize("torn", [b'{"step": 2, "spl', b"\x00\x00\x00", b"\xff"])
def test_a_last_line_torn_by_a_kill_is_dropped(tmp_path, torn):
    write(tmp_path, 1, 2)
    with open(tmp_path / METRICS_FILE, "ab") as stream:
        stream.write(torn)
    assert steps_of(tmp_path) == [(1, "train"), (2, "train")]  # while the run goes on
    write(tmp_path, 4, after_step=2)
    assert steps_of(tmp_path) == [(1, "train"), (2, "train"), (4, "train")]


def test_time_goes_on_where_the_run_before_stopped(tmp_path):
    line = {"step": 7, "split": "train", "time": 3600.5, "loss": 1.0}
    (tmp_path / METRICS_FILE).write_text(json.dumps(line) + "\n")
    write(tmp_path, 8, after_step=7)
    assert 3600.5 <= read_metrics(tmp_path)[-1].time < 3660


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1]", "expected a JSON object, found list"),
        ("{'step': 1}", "not a JSON object"),
        ("[" * 10**5, "not a JSON object"),
        ('{"step": true, "split": "train", "time": 1}', '"step"'),
        ('{"step": -1, "split": "train", "time": 1}', '"step"'),
        ('{"step": 1, "split": "test", "time": 1}', "train or held-out"),
        ('{"step": 1, "split": ["train"], "time": 1}', "train or held-out"),
        ('{"step": 1, "split": "train"}', '"time"'),
        ('{"step": 1, "split": "train", "time": 1, "loss": NaN}', "NaN is not a number"),
        ('{"step": 1, "split": "train", "time": 1, "loss": 1e999}', "finite number for loss"),
        (f'{{"step": 1, "split": "train", "time": 1, "loss": 1{"0" * 400}}}', "finite number for loss"),
        ('{"step": 1, "split": "train", "time": 1, "loss": "x"}', "finite number for loss"),
        ("", "not a JSON object"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, words):
    good = '{"step": 1, "split": "train", "time": 1}\n'
    (tmp_path / METRICS_FILE).write_text(f"{good}{line}\n{good}")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: ") as error:
        read_metrics(tmp_path)
    assert words in str(error.value)


def test_no_log_says_where_one_is_expected(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.jsonl: cannot be read.*a run's folder holds one"):
        read_metrics(tmp_path / "nothing")


def test_values_that_are_not_finite_or_of_no_split_are_refused(tmp_path):
    with MetricsLog(tmp_path, tensorboard=False) as log:
        with pytest.raises(ValueError, match=r"step 3: expected finite metrics, found \{'loss': nan\}"):
            log.write(3, "train", {"loss": float("nan"), "rate": 1.0})
        with pytest.raises(ValueError, match="split must be one of train, held-out"):
            log.write(3, "test", {"loss": 1.0})
    assert steps_of(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk")
@pytest.mark.parametrize("full", ["log", "events"])
def test_a_full_disk_is_told_once_by_the_file_and_leaves_none_open(tmp_path, full):
    """What could not be written is tried again when a file is closed."""
    streams = {}

    def write_until_it_is_full():
        with open("/dev/full", "wb") as disk, MetricsLog(tmp_path) as log:
            log.write(1, "train", {"loss": 2.0})
            streams.update(log=log._stream, events=log._events._stream)
            os.dup2(disk.fileno(), streams[full].fileno())
            log.write(2, "train", {"loss": 1.0})

    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: cannot be written: No space left on device"):
        write_until_it_is_full()
    assert [stream.closed for stream in streams.values()] == [True, True]
    assert steps_of(tmp_path) == [(step, "train") for step in ((1,) if full == "log" else (1, 2))]


# TensorBoard ----------------------------------------------------------------------------------------------------------


def test_tensorboard_reads_what_was_written_and_hides_what_was_taken_back(tmp_path):
    write(tmp_path, 1, 2, 3, 4, tensorboard=True)
    write(tmp_path, 3, 5, tensorboard=True, after_step=2)
    code = (
        "import json, sys, types\n"
        # Its reader would import TensorFlow; a module of this name tells it not to.
        "sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf')\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator as Reader\n"
        "reader = Reader(sys.argv[1]).Reload()\n"
        "print(json.dumps({t: [(e.step, e.value) for e in reader.Scalars(t)] for t in reader.Tags()['scalars']}))"
    )
    command = [sys.executable, "-c", code, tmp_path / "tensorboard"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [step for step, _ in shown["loss/train"]] == [1, 2, 3, 5]
    assert [value for _, value in shown["loss/train"]] == pytest.approx([5, 10 / 3, 2.5, 10 / 6], rel=1e-6)
    assert shown["auc/held-out"] == [[3, pytest.approx(0.53)]]


def test_writing_for_tensorboard_loads_no_framework(tmp_path):
    code = (
        "import sys; from electra_common.runs.metrics_log import MetricsLog\n"
        "with MetricsLog(sys.argv[1]) as log: log.write(1, 'train', {'loss': 1.0})\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, tmp_path]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "tensorboard" in loaded
    assert not {"torch", "tensorflow", "keras"} & set(loaded)


def test_without_tensorboard_one_warning_says_so_and_the_log_is_written(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.warns(UserWarning, match=r"metrics\.jsonl alone.*pip install 'electra-dual\[train\]'"):
        write(tmp_path, 1, tensorboard=True)
    assert steps_of(tmp_path) == [(1, "train")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path, 2, tensorboard=False)  # not asked for, so there is nothing to say
