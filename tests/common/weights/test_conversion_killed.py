"""A conversion killed at any moment leaves either no destination or a complete one."""

import os
import random
import sys
import time
from multiprocessing import Pipe

import numpy as np
import pytest

from electra_common import ElectraConfig, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.saving import WRITABLE_FORMATS, save_folder
from electra_common.weights.shapes import expected_shapes
from support.killed_conversions import convert_and_tell
from support.tiny_networks import stored
from support.warm_processes import WarmProcess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by SIGKILL")
# About 16 MB, so that writing takes long enough to be hit.
CONFIG = ElectraConfig(
    vocab_size=30_000, embedding_size=96, hidden_size=120, num_hidden_layers=4, num_attention_heads=4,
    intermediate_size=480, architectures=("ElectraForPreTraining",),
)  # fmt: skip
KILLS = int(os.environ.get("ELECTRA_KILLS", "5"))  # of each form


def run(source, target, format, *, seconds):
    """Convert in a process of its own and kill it after some time; returns whether it was done, and after how long."""
    ours, theirs = Pipe()
    process = WarmProcess(convert_and_tell, theirs, source, target, format)
    theirs.close()
    assert ours.recv() == "go"
    started = time.perf_counter()
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    try:
        done = ours.recv() == "done"
    except (EOFError, ConnectionResetError):
        done = False
    finally:
        elapsed = time.perf_counter() - started
        process.finish()
    return done, elapsed


@pytest.mark.parametrize("format", WRITABLE_FORMATS)
def test_no_destination_or_a_complete_one(tmp_path, format):
    generator = np.random.default_rng(0)
    shapes = expected_shapes(CONFIG, "ElectraForPreTraining")
    arrays = {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    save_folder(tmp_path / "source", CONFIG, stored(arrays))
    before = fingerprint(open_checkpoint(tmp_path / "source").component().tensors)
    done, whole = run(tmp_path / "source", tmp_path / "whole", format, seconds=None)
    assert done
    moments = random.Random(format)
    outcomes = set()
    for number in range(KILLS):
        target = tmp_path / f"target{number}"
        moment = whole * (number + moments.random()) / KILLS  # one in each part of the time that it takes
        done, _ = run(tmp_path / "source", target, format, seconds=moment)
        outcomes.add(target.exists())
        assert target.exists() or not done
        if target.exists():
            assert fingerprint(open_checkpoint(target).component().tensors) == before
    assert False in outcomes, "no kill came early enough to prove anything"
