"""Programs of several processes or devices: started, waited for, and killed with their children if they hang."""

import json
import os
import signal
import socket
import subprocess
import warnings
from pathlib import Path

from support.fixtures import TESTS
from support.warm_processes import WarmProcess, start_electra

SECONDS = 100.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def run_on_devices(count, jobs, folder):
    """Carry runs of TensorFlow out in one process with so many devices; return where each run then stands.

    Args:
        count: of devices.
        jobs: dictionaries; of pre-training ``data``, ``out``, ``changes`` of the recipe, ``options`` of settings; of
            fine-tuning ``kind``, ``data``, ``start``, ``out``, ``changes`` of the settings.
        folder: where this leaves its files.
    """
    folder.mkdir(exist_ok=True)
    finished = WarmProcess(_carry_out, count, jobs, folder, environment=ONE_THREAD).finish(SECONDS)
    assert finished.returncode == 0, f"exit code {finished.returncode}:\n{finished.stderr[-6000:]}"
    return json.loads((folder / "steps.json").read_text())


def run_ranks(count, *arguments, code=0, others=0, prepare=None):
    """Run a command of `electra` in several processes, each told its place as torchrun does.

    Args:
        count: of processes.
        arguments: of the command.
        code: with which the first ends; it alone judges what came out.
        others: with which the others end.
        prepare: is called in the first process before the command.

    Returns:
        What all of them printed, on standard output.
    """
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), **ONE_THREAD}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    prepares = [prepare, *[None] * (count - 1)]
    processes = [
        start_electra(*arguments, environment={**place, **rank}, prepare=prepared)
        for rank, prepared in zip(ranks, prepares, strict=True)
    ]
    ends = [process.finish(SECONDS) for process in processes]
    codes = [end.returncode for end in ends]
    told = "".join(f"\n--- process {rank}:\n{end.stderr[-3000:]}" for rank, end in enumerate(ends))
    assert codes == [code, *[others] * (count - 1)], f"exit codes {codes}:{told}"
    assert not any("Traceback" in end.stderr for end in ends), told
    return "".join(end.stdout for end in ends)


def in_own_group(**environment):
    """Return arguments of Popen for a program whose children end with it, each with one thread."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, **ONE_THREAD, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return {
        "env": variables, "process_group": 0, "text": True,
        "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
    }  # fmt: skip


def finish(process, code=0):
    """Wait for a program's end, with that exit code; kill it and its children where it takes too long."""
    try:
        output, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"still running after {SECONDS:.0f} s:\n{process.communicate()[1][-6000:]}") from None
    assert process.returncode == code, f"exit code {process.returncode}:\n{errors[-6000:]}"
    return output, errors


def divide_processor(count):
    """Let TensorFlow see so many devices."""
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


def _carry_out(count, jobs, folder):
    warnings.simplefilter("error")
    divide_processor(count)
    from electra_tf.fine_tuning import fine_tune
    from electra_tf.pretraining import pretrain
    from support.fine_tuning_runs import job_of
    from support.pretraining_runs import tiny_settings

    steps = []
    for job in jobs:
        data, out = Path(job["data"]), Path(job["out"])
        if "kind" in job:
            fine_tune(job_of(job["kind"], data, job["start"], out, *job["changes"]), quiet=True)
            steps.append(json.loads((out / "seed-0" / "result.json").read_text())["steps"])
        else:
            settings = tiny_settings(data, out, *job["changes"], **job["options"])
            steps.append(pretrain(settings, quiet=True).step)
    (folder / "steps.json").write_text(json.dumps(steps))
