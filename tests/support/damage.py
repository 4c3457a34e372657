"""Damaged files by the hundred, each made from a seed, and how a reader of one format takes them."""

import os
import random
import tracemalloc

import numpy as np

from electra_common import CheckpointError
from support.thoroughness import sample

SLACK_BYTES = 8 << 20


def damaged_cases(usual):
    """Return how many cases a test makes: the share of some number that ELECTRA_FUZZ_CASES is of 1,000.

    Unset it is 100, a tenth, and 1,000 in thorough runs.
    """
    return usual * int(os.environ.get("ELECTRA_FUZZ_CASES", sample(100, thorough=1000))) // 1000


def truncations(content, name, count):
    """Yield ``(what, shorter content)``; half of the cuts lie near an end, where the tables are."""
    for seed in range(count):
        chooser = random.Random(f"truncate {name} {seed}")
        near = chooser.randrange(min(len(content), 400))
        length = chooser.choice((chooser.randrange(len(content)), near, len(content) - 1 - near))
        yield f"{name}: seed {seed}: cut to {length} of {len(content)} bytes", content[:length]


def flips(content, name, count):
    """Yield ``(what, position, content with one bit changed)``; half of them lie near an end."""
    for seed in range(count):
        chooser = random.Random(f"flip {name} {seed}")
        near = chooser.randrange(min(len(content), 400))
        position = chooser.choice((chooser.randrange(len(content)), near, len(content) - 1 - near))
        changed = bytearray(content)
        changed[position] ^= 1 << chooser.randrange(8)
        yield f"{name}: seed {seed}: byte {position} of {len(content)} is {changed[position]}", position, bytes(changed)


def attempt(read, path, content, what):
    """Return ``{name: array}`` of a changed file, or None where it is refused.

    Fails on any other error than CheckpointError, and on memory out of proportion to the file.
    """
    path.write_bytes(content)
    message = ""
    tracemalloc.start()
    try:
        arrays = {name: np.array(tensor.read()) for name, tensor in read(path)[0].items()}
    except CheckpointError as error:
        arrays, message = None, str(error)
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__} instead of CheckpointError: {error}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert arrays is not None or (message.startswith(f"{path}: ") and "\n" not in message), what
    assert peak < 2 * len(content) + SLACK_BYTES, f"{what}: took {peak} bytes for a file of {len(content)}"
    return arrays
