"""Random damage to every readable form: CheckpointError or a checkpoint, never another exception, never much memory.

A tenth of the run by default; ELECTRA_FUZZ_CASES=10000 makes the whole of it. Every case is a function of its number.
"""

import os
import shutil
import tracemalloc
import warnings

import numpy as np
import pytest

from electra_common import CheckpointError, ElectraConfig, convert_checkpoint, open_checkpoint
from electra_common.weights.saving import WRITABLE_FORMATS, save_folder
from electra_common.weights.shapes import expected_shapes
from support.tiny_networks import stored

CASES = int(os.environ.get("ELECTRA_FUZZ_CASES", "1000"))
SLACK = 8 << 20
CONFIG = ElectraConfig(
    vocab_size=11, embedding_size=5, hidden_size=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7,
    max_position_embeddings=3, type_vocab_size=2, architectures=("ElectraForPreTraining",),
)  # fmt: skip


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


@pytest.mark.parametrize("format", WRITABLE_FORMATS)
def test_damage_of_any_kind_is_a_checkpoint_error_or_harmless(tmp_path, format):
    random = np.random.Generator(np.random.Philox(0))
    shapes = expected_shapes(CONFIG, "ElectraForPreTraining")
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_folder(tmp_path / "source", CONFIG, stored(arrays))
    convert_checkpoint(tmp_path / "source", tmp_path / "good", format=format)
    files = sorted(file for file in (tmp_path / "good").iterdir() if file.name not in ("config.json", "checkpoint"))
    original = {file: file.read_bytes() for file in files}
    size = sum(map(len, original.values()))
    refused = 0
    for case in range(CASES):
        random = np.random.Generator(np.random.Philox(case))
        victim = files[case % len(files)]
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        (tmp_path / "bad" / victim.name).write_bytes(damaged(original[victim], random))
        tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy may warn of a strange header before it is refused
                read_everything(tmp_path / "bad")
        except CheckpointError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"case {case} of {format}: {type(error).__name__}: {error}") from error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 2 * size + SLACK, f"case {case} of {format}: {peak} bytes for a file of {size}"
        shutil.rmtree(tmp_path / "bad")
    assert refused > CASES / 3
