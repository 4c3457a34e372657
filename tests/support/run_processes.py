"""Several processes that compute pre-training runs together, started as a launcher would, without its overhead.

`python -m support.run_processes FAMILY COUNT JOBS` imports a framework once and forks. Each child has its number and
the environment that the framework reads, and carries out every job of the file JOBS. What came of each job, its step or
its error, is left beside JOBS. Children that have not ended in time are killed.
"""

import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from support.fixtures import TESTS

SECONDS = 150.0


def run_together(family, count, jobs, folder):
    """Carry runs out, one after the other, in so many processes; return what each process told of each run.

    Args:
        family: ``"pt"`` or ``"tf"``.
        count: of processes.
        jobs: dictionaries: ``data``, ``out``, ``changes`` of the recipe, ``options`` of the settings; ``fault`` names
            what goes wrong, of :mod:`support.run_faults`.
        folder: where this leaves its files.
    """
    folder.mkdir(exist_ok=True)
    plan = [{**job, "ports": free_ports(count)} for job in jobs]
    (folder / "jobs.json").write_text(json.dumps(plan, default=str))
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "support.run_processes",
        family,
        str(count),
        str(folder / "jobs.json"),
    ]
    finish(subprocess.Popen(command, **in_own_group()))
    return [json.loads((folder / f"told-{number}.json").read_text()) for number in range(count)]


def run_on_devices(count, jobs, folder):
    """Carry runs of TensorFlow out in one process with so many devices; return what it told of each run."""
    _start("devices", count, jobs, folder)
    return json.loads((folder / "told-0.json").read_text())


def _start(family, count, jobs, folder):
    folder.mkdir(exist_ok=True)
    plan = [{**job, "ports": free_ports(count)} for job in jobs]
    (folder / "jobs.json").write_text(json.dumps(plan, default=str))
    arguments = [family, str(count), str(folder / "jobs.json")]
    program = [sys.executable, "-W", "error", "-m", "support.run_processes"]
    finish(subprocess.Popen([*program, *arguments], **in_own_group()))


def in_own_group(**environment):
    """Return arguments of Popen for a program whose children end with it, each with one thread."""
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, **threads, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
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


def free_ports(count):
    """Return ports of this machine that nobody listens to, below those that the system gives to connections."""
    found = []
    for port in random.SystemRandom().sample(range(10_000, 30_000), 100):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def environment_of(family, count, number, ports):
    """Return the variables by which a framework knows its place among several processes."""
    if family == "pt":
        place = {"RANK": number, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0]}
        return {name: str(value) for name, value in place.items()}
    if family == "devices":
        return {}
    workers = [f"127.0.0.1:{port}" for port in ports]
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}})}


def carry_out(family, count, number, file, jobs):
    """Carry jobs out as one of the processes, and leave what came of them."""
    from support import run_faults
    from support.pretraining_runs import tiny_settings

    loop = importlib.import_module(f"electra_{'pt' if family == 'pt' else 'tf'}.pretraining")
    answer = file.parent / f"told-{number}.json"
    told = json.loads(answer.read_text()) if answer.exists() else []
    for job in jobs:
        os.environ.update(environment_of(family, count, number, job["ports"]))
        settings = tiny_settings(Path(job["data"]), Path(job["out"]), *job.get("changes", []), **job.get("options", {}))
        with getattr(run_faults, job.get("fault", "none"))(number):
            try:
                told.append(loop.pretrain(settings, quiet=True).step)
            except Exception as error:
                told.append(f"{type(error).__name__}: {error}")
    answer.write_text(json.dumps(told))


def start_children(family, count, file):
    """Fork the processes of a framework that has computed nothing, anew for each job; return the worst exit code."""
    importlib.import_module(f"electra_{family}.pretraining")
    worst = 0
    for job in json.loads(file.read_text()):
        children = [_fork(family, count, number, file, job) for number in range(count)]
        worst = max(worst, *(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children))
    return worst


def _fork(family, count, number, file, job):
    child = os.fork()
    if child == 0:
        carry_out(family, count, number, file, [job])
        os._exit(0)
    return child


def divide_processor(count):
    """Let TensorFlow see so many devices."""
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


if __name__ == "__main__":
    chosen, wanted, plan_file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if chosen != "devices":
        sys.exit(start_children(chosen, wanted, plan_file))
    divide_processor(wanted)
    carry_out(chosen, wanted, 0, plan_file, json.loads(plan_file.read_text()))
