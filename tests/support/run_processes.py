"""Programs of several processes or devices: started, waited for, and killed with their children if they hang.

`python -m support.run_processes DEVICES JOBS` carries runs of TensorFlow out on a processor cut into so many devices.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.fixtures import TESTS

SECONDS = 100.0


def run_on_devices(count, jobs, folder):
    """Carry runs of TensorFlow out in one process with so many devices; return where each run then stands.

    Args:
        count: of devices.
        jobs: dictionaries; of pre-training ``data``, ``out``, ``changes`` of the recipe, ``options`` of settings; of
            fine-tuning ``kind``, ``data``, ``start``, ``out``, ``changes`` of the settings.
        folder: where this leaves its files.
    """
    folder.mkdir(exist_ok=True)
    plan = folder / "jobs.json"
    plan.write_text(json.dumps(jobs, default=str))
    program = [sys.executable, "-W", "error", "-m", "support.run_processes", str(count), str(plan)]
    finish(subprocess.Popen(program, **in_own_group()))
    return json.loads((folder / "steps.json").read_text())


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


def divide_processor(count):
    """Let TensorFlow see so many devices."""
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


if __name__ == "__main__":
    divide_processor(int(sys.argv[1]))
    from electra_tf.fine_tuning import fine_tune
    from electra_tf.pretraining import pretrain
    from support.fine_tuning_runs import job_of
    from support.pretraining_runs import tiny_settings

    file = Path(sys.argv[2])
    steps = []
    for job in json.loads(file.read_text()):
        data, out = Path(job["data"]), Path(job["out"])
        if "kind" in job:
            fine_tune(job_of(job["kind"], data, job["start"], out, *job["changes"]), quiet=True)
            steps.append(json.loads((out / "seed-0" / "result.json").read_text())["steps"])
        else:
            settings = tiny_settings(data, out, *job["changes"], **job["options"])
            steps.append(pretrain(settings, quiet=True).step)
    (file.parent / "steps.json").write_text(json.dumps(steps))
