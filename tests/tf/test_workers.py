"""Several programs compute the same run in TensorFlow as one does; each is told of the others by ``TF_CONFIG``."""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

pytest.importorskip("tensorflow")

from electra_common.runs.run_folder import list_checkpoints, read_run
from electra_tf.pretraining import pretrain
from support.pretraining_runs import TINY, assert_same_run, prepare_tiny_corpus, tiny_settings
from support.run_processes import finish, in_own_group

pytestmark = pytest.mark.thorough
CHANGES = [*(change for change in TINY if not change.startswith("steps=")), "steps=4", "num_hidden_layers=1"]
OPTIONS = {"log_every": 2, "evaluate_every": 0}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The corpus, and a run of one program."""
    folder = tmp_path_factory.mktemp("alone")
    data = prepare_tiny_corpus(folder)
    pretrain(tiny_settings(data, folder / "run", *CHANGES, **OPTIONS), quiet=True)
    return data, folder / "run"


def in_programs(count, *arguments):
    """Let so many programs carry a command of `electra` out together; return what each printed."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{item.getsockname()[1]}" for item in sockets]
    command = [sys.executable, "-m", "electra_common", *arguments]
    programs = []
    for index in range(count):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        programs.append(subprocess.Popen(command, **in_own_group(TF_CONFIG=json.dumps(place))))
    return [finish(program)[0] for program in programs]


@pytest.mark.parametrize("count", [2, 4])
def test_several_programs_end_as_one_does(alone, tmp_path, count):
    data, expected = alone
    flags = ("--log-every=2", "--evaluate-every=0", *(f"--set={change}" for change in CHANGES))
    options = ("--framework=tf", f"--data={data}", f"--out={tmp_path / 'run'}", *flags, "--json")
    first, *others = in_programs(count, "pretrain", "run", *options)
    assert json.loads(first)["step"] == 4
    assert not any(others)  # the first alone speaks
    assert_same_run(expected, tmp_path / "run")
    assert [start["processes"] for start in read_run(tmp_path / "run")["starts"]] == [count]
    assert len(list_checkpoints(tmp_path / "run")) == 1
