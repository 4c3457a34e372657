"""A run's folder: one writer, one run, whole checkpoints."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.runs.folder_lock import lock_folder
from electra_common.runs.optimizer_file import OPTIMIZER_FILE, read_moments, write_moments
from electra_common.runs.run_folder import RunState, list_checkpoints, open_run_folder, read_checkpoint, read_run
from electra_common.weights.atomic import write_files

IDENTITY = {"recipe": {"steps": 7, "learning_rate": 1e-3}, "seed": 3, "data": "abc"}
MOMENTS = {
    "discriminator.a.weight": (np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)),
    "generator.b.bias": (np.full(5, -2, np.float32), np.zeros(5, np.float32)),
}


def write_model(folder):
    write_files(folder, {"weights": b"numbers"})


def save(folder, *steps, keep=2):
    with open_run_folder(folder, IDENTITY, {"command": "test"}) as run:
        for step in steps:
            run.save(RunState(step, 10 * step), write_model, MOMENTS, keep)


def test_a_checkpoint_gives_back_what_was_saved(tmp_path):
    save(tmp_path, 5)
    (checkpoint,) = list_checkpoints(tmp_path)
    state, moments = read_checkpoint(checkpoint)
    assert state == RunState(5, 50)
    assert moments.keys() == MOMENTS.keys()
    for name, pair in MOMENTS.items():
        for expected, found in zip(pair, moments[name], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert (checkpoint / "weights").read_bytes() == b"numbers"


def test_the_newest_checkpoints_stay(tmp_path):
    save(tmp_path, 1, 2, 3, 12, keep=2)
    assert [item.name for item in list_checkpoints(tmp_path)] == ["step-00000003", "step-00000012"]


def test_a_step_of_nine_digits_is_newer_than_one_of_eight(tmp_path):
    save(tmp_path, 99_999_999, 100_000_000, 250_000_000, keep=2)
    assert [item.name for item in list_checkpoints(tmp_path)] == ["step-100000000", "step-250000000"]


def test_a_failed_checkpoint_leaves_the_last_one(tmp_path):
    save(tmp_path, 1)

    def full_disk(folder):
        write_model(folder)
        raise OSError(28, os.strerror(28))

    with open_run_folder(tmp_path, IDENTITY, {}) as run:
        with pytest.raises(CheckpointError, match="No space left"):
            run.save(RunState(2, 20), full_disk, MOMENTS, 2)
        assert [item.name for item in run.checkpoints] == ["step-00000001"]
    assert [item.name for item in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_what_a_killed_program_left_is_removed(tmp_path):
    save(tmp_path, 1)
    left = tmp_path / "checkpoints" / ".step-00000002.abcd.tmp"
    left.mkdir()
    (left / "state.json").write_text("{}")
    save(tmp_path)
    assert not left.exists()


def test_a_second_program_is_refused_while_the_first_runs(tmp_path):
    code = (
        "import sys; from pathlib import Path; from electra_common.runs.run_folder import open_run_folder\n"
        f"with open_run_folder(Path({str(tmp_path)!r}), {IDENTITY!r}, {{}}):\n"
        "    print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(ValueError, match="another run is writing here"):
            save(tmp_path)
        other.kill()
    save(tmp_path, 1)  # a killed program holds nothing


def test_another_run_is_refused_by_what_differs(tmp_path):
    save(tmp_path, 1)
    changed = {**IDENTITY, "recipe": {"steps": 7, "learning_rate": 2e-3}, "seed": 4}
    message = "recipe learning_rate 0.001, now 0.002; seed 3, now 4"
    with pytest.raises(ValueError, match=message), open_run_folder(tmp_path, changed, {}):
        pass


def test_a_run_without_a_checkpoint_may_be_started_otherwise(tmp_path):
    save(tmp_path)
    with open_run_folder(tmp_path, {**IDENTITY, "seed": 4}, {"command": "again"}):
        pass
    assert read_run(tmp_path)["seed"] == 4
    assert read_run(tmp_path)["starts"] == [{"command": "again"}]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"holds thesis\.tex and no run"), open_run_folder(tmp_path, IDENTITY, {}):
        pass


def test_each_start_is_recorded(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert read_run(tmp_path)["starts"] == [{"command": "test"}, {"command": "test"}]


def test_a_state_of_another_step_than_the_folders_is_refused(tmp_path):
    save(tmp_path, 1)
    (checkpoint,) = list_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match=r"state\.json: says step 1, and the folder's name another one"):
        read_checkpoint(checkpoint.rename(checkpoint.with_name("step-00000400")))


def test_a_lock_empties_nothing(tmp_path):
    (tmp_path / ".lock").write_text("of the user")
    save(tmp_path)
    assert (tmp_path / ".lock").read_text() == "of the user"


def test_a_child_that_was_forked_meanwhile_does_not_go_on_holding_the_folder(tmp_path):
    with lock_folder(tmp_path, "run"):
        mine = [item.name for item in Path("/proc/self/fd").iterdir() if item.resolve().name == ".lock"]
        others = [os.dup(int(name)) for name in mine]  # as a fork leaves them
    with lock_folder(tmp_path, "run"):
        assert others
    for descriptor in others:
        os.close(descriptor)


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="not held against other programs: No locks available"):
        save(tmp_path, 1)
    assert len(list_checkpoints(tmp_path)) == 1


def test_a_second_run_is_told_apart_from_a_folder_that_cannot_be_locked(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(CheckpointError, match=r"\.lock: cannot be locked: Is a directory"):
        save(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", '{"format": 2, "step": 1, "tokens": 1}', '{"format": 1, "step": -1}',
                                     '{"format": 1, "step": true, "tokens": 1}'])  # fmt: skip
def test_a_damaged_state_is_refused(tmp_path, content):
    save(tmp_path, 1)
    (checkpoint,) = list_checkpoints(tmp_path)
    (checkpoint / "state.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        read_checkpoint(checkpoint)


def test_a_moment_alone_is_refused(tmp_path):
    write_moments(tmp_path, MOMENTS)
    assert read_moments(tmp_path).keys() == MOMENTS.keys()
    file = tmp_path / OPTIMIZER_FILE
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"m/generator.b.bias"', b'"n/generator.b.bias"'))
    with pytest.raises(CheckpointError, match=OPTIMIZER_FILE):
        read_moments(tmp_path)
    file.write_bytes(content[:-3])
    with pytest.raises(CheckpointError, match=OPTIMIZER_FILE):
        read_moments(tmp_path)


def test_run_json_is_plain_json(tmp_path):
    save(tmp_path, 1)
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == 3
