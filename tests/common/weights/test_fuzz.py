"""Random damage to every readable form: CheckpointError or a checkpoint, never another exception, never much memory.

A hundredth of the run by default; ELECTRA_FUZZ_CASES=10000 makes the whole of it, and ELECTRA_FUZZ_REPORT names a file
to which each form adds a line of figures. Every case is a function of its number.
"""

import os
import resource
import tracemalloc
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from support.damage import damaged_cases
from support.every_form import FORMS, arrays, write_form
from support.tiny_networks import stored

CASES = damaged_cases(1000)
SLACK = 8 << 20
MEASURED = 8  # one case in so many is held to its share of memory to the byte, all of them to the address space
ADDRESS_SPACE = 256 << 20


def damaged(content, random):
    """Return a copy with a few random changes of one kind."""
    content = bytearray(content)
    kind = random.integers(6)
    for _ in range(1 + random.integers(4)):
        place = int(random.integers(len(content))) if content else 0
        length = int(random.integers(1, 40))
        if kind == 0 and content:
            content[place] ^= 1 << int(random.integers(8))
        elif kind == 1 and content:
            content[place] = int(random.integers(256))
        elif kind == 2:
            del content[place:]
        elif kind == 3:
            del content[place : place + length]
        elif kind == 4:
            content[place:place] = random.bytes(length)
        else:
            source = int(random.integers(len(content))) if content else 0
            content[place : place + length] = content[source : source + length]
    return bytes(content)


def read_everything(folder):
    checkpoint = open_checkpoint(folder)
    for component in checkpoint.components.values():
        checkpoint.config_of(component)
        for tensor in component.tensors.values():
            assert tensor.read().shape == tensor.shape


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("tf2", "model garden")])
def test_the_undamaged_files_hold_the_network(tmp_path, form):
    write_form(form, tmp_path / "good")
    component = open_checkpoint(tmp_path / "good").component()
    assert fingerprint(component.tensors) == fingerprint(stored(arrays()))
    assert not component.unexpected


@contextmanager
def at_most(extra_bytes):
    """Let the process grow by so much: in no case may a file ask for more; MemoryError is no CheckpointError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def is_refused(folder, what):
    """Read a damaged folder; anything but a checkpoint or a CheckpointError is a failure."""
    try:
        read_everything(folder)
    except CheckpointError:
        return True
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return False


def is_refused_in_little_memory(folder, what, allowed):
    """The same, with the exact peak of memory, which takes ten times as long."""
    tracemalloc.start()
    try:
        return is_refused(folder, what), tracemalloc.get_traced_memory()[1]
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < allowed, f"{what}: {peak} bytes ({allowed} allowed)"


@pytest.mark.parametrize("form", FORMS)
def test_damage_of_any_kind_is_a_checkpoint_error_or_harmless(tmp_path, form):
    files = write_form(form, tmp_path / "case")
    original = [file.read_bytes() for file in files]
    size = sum(map(len, original))
    refused = highest = 0
    with warnings.catch_warnings(), at_most(ADDRESS_SPACE):
        warnings.simplefilter("ignore")  # numpy may warn of a strange header before it is refused
        for case in range(CASES):
            victim = case % len(files)
            random = np.random.Generator(np.random.Philox(case))
            files[victim].write_bytes(damaged(original[victim], random))
            what = f"case {case} of {form}"
            if random.integers(MEASURED) == 0:
                answer, peak = is_refused_in_little_memory(tmp_path / "case", what, 2 * size + SLACK)
                highest = max(highest, peak)
            else:
                answer = is_refused(tmp_path / "case", what)
            refused += answer
            files[victim].write_bytes(original[victim])
    assert refused > CASES / 3
    if report := os.environ.get("ELECTRA_FUZZ_REPORT"):
        with Path(report).open("a") as stream:
            stream.write(f"| {form} | {CASES} | {refused} | {size / 1000:.0f} kB | {highest / 1000:.0f} kB |\n")
