"""What converting costs: time and memory for every pair of forms at ELECTRA-Large's size, beside copying the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Final

FORMATS: Final = ("safetensors", "bin", "h5", "tf1", "npz", "joint")
READ_ONLY: Final = "keras"  # written by Keras itself

# Weights of the right size and number, made tensor by tensor.
_MAKE_LARGE: Final = """
import sys
import numpy as np
from electra_common import ElectraConfig
from electra_common.weights.saving import save_folder
from electra_common.weights.shapes import expected_shapes
from electra_common.weights.tensors import StoredTensor
config = ElectraConfig.preset("large-discriminator")
def tensor(name, shape):
    seed = sum(name.encode())
    return StoredTensor(name, shape, "float32", lambda: np.random.default_rng(seed).standard_normal(shape, np.float32))
shapes = expected_shapes(config, "ElectraForPreTraining")
save_folder(sys.argv[1], config, {name: tensor(name, shape) for name, shape in shapes.items()})
"""
_MAKE_KERAS: Final = """
import sys
from electra_tf import TFElectraForPreTraining
TFElectraForPreTraining.from_pretrained(sys.argv[1]).save(sys.argv[2] + "/model.keras")
"""
_MEMORY: Final = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_CONVERT: Final = (
    """
import sys
from electra_common import convert_checkpoint
(done,) = convert_checkpoint(sys.argv[1], sys.argv[2], format=sys.argv[3])
assert done.unchanged
"""
    + _MEMORY
)
_NOTHING: Final = "import electra_common" + _MEMORY
_INSPECT: Final = """
import sys
from electra_common.cli.main import main
sys.argv = ["electra", "inspect", sys.argv[1], "--no-fingerprint"]
main()
"""


@dataclass(frozen=True)
class Converted:
    """One conversion: seconds for a gigabyte, how often a plain copy's time, and memory beyond an idle interpreter."""

    source: str
    target: str
    seconds_per_gigabyte: float
    copies: float
    megabytes: float


def make_large(folder: Path) -> None:
    """Write a checkpoint of ELECTRA-Large's size."""
    subprocess.run([sys.executable, "-c", _MAKE_LARGE, str(folder)], check=True)


def measure_conversions(folder: Path, large: Path) -> list[Converted]:
    """Convert every form into every other, each in a fresh process, and copy the source file in between."""
    from tqdm import tqdm

    sources = {"safetensors": large}
    for form in FORMATS[1:]:
        sources[form] = folder / form
        _run(_CONVERT, str(large), str(sources[form]), form)
    sources[READ_ONLY] = _make_keras(large, folder / READ_ONLY)
    idle = _run(_NOTHING)[1]
    results = []
    pairs = [*permutations(FORMATS, 2), (READ_ONLY, "safetensors")]
    for source, target in tqdm(pairs, unit="conversion", disable=None):
        weights = max(sources[source].iterdir(), key=lambda file: file.stat().st_size)
        gigabytes = weights.stat().st_size / 1e9
        copying = _copy(weights, folder / "copy")
        seconds, megabytes = _run(_CONVERT, str(sources[source]), str(folder / "new"), target)
        shutil.rmtree(folder / "new")
        results.append(Converted(source, target, seconds / gigabytes, seconds / copying, megabytes - idle))
    return results


def _make_keras(large: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run([sys.executable, "-W", "ignore", "-c", _MAKE_KERAS, str(large), str(folder)], check=True)
    return folder


def inspect_seconds(large: Path) -> float:
    """Return the time of `electra inspect --no-fingerprint`, process start included."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", _INSPECT, str(large)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _run(program: str, *arguments: str) -> tuple[float, float]:
    """Return seconds and peak megabytes of a program that prints its peak in kilobytes."""
    started = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started, int(finished.stdout.split()[-1]) / 1024


def _copy(source: Path, target: Path) -> float:
    """Copy a file and make it durable, as a conversion does."""
    import os

    started = time.perf_counter()
    shutil.copyfile(source, target)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds
