"""Hundreds of damaged and lying files of each format: an error, or exactly the weights; never anything else.

Each case is made from a seed that the failure names. Memory is measured in every case.
"""

import random
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file

from electra_common import CheckpointError, ElectraConfig, open_checkpoint
from electra_common.weights.loading import plan_loading
from electra_common.weights.saving import save_folder
from support import tiny_networks as tiny
from support.bundle_writer import write_bundle
from support.damage import damaged_cases
from support.fixtures import GOOGLE, TRANSFORMERS
from support.lies import lie_about_bundle, lie_about_safetensors

CASES = damaged_cases(500)
GOOGLE_CLASSES = ("ElectraForPreTraining", "ElectraForMaskedLM")
SLACK_BYTES = 8 << 20


class Source:
    """A folder with a good checkpoint, the classes to load from it, and what they then hold.

    What a safetensors file holds says the safetensors library. That a good bundle is read and named correctly is
    tested elsewhere; here its content is what the good file gives.
    """

    def __init__(self, folder, classes):
        self.folder = folder
        self.classes = classes
        self.all_files = sorted(item for item in folder.iterdir() if item.suffix != ".npz")
        self.files = [item for item in self.all_files if item.name not in ("config.json", "checkpoint")]
        if self.files[0].suffix == ".safetensors":
            self.expected = {name: load_file(self.files[0]) for name in classes}
        else:
            self.expected = {name: load_arrays(folder, name) for name in classes}


def load_arrays(folder, architecture):
    """Load a network as the frameworks do, and read every tensor."""
    plan = plan_loading(folder, architecture)
    return {name: np.array(tensor.read()) for name, tensor in plan.tensors.items()}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every format, by name."""
    transformers = tmp_path_factory.mktemp("transformers")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(TRANSFORMERS / "base-like" / "ForPreTraining" / name, transformers / name)
    ours = tmp_path_factory.mktemp("ours")
    arrays = tiny.stored(load_file(transformers / "model.safetensors"))
    save_folder(ours, ElectraConfig.from_pretrained(transformers), arrays)
    bundle = tmp_path_factory.mktemp("bundle")
    write_bundle(bundle / "model.ckpt-7", tiny.random_arrays(tiny.google_pretraining()), block_bytes=700)
    return {
        "ours": Source(ours, ("ElectraForPreTraining",)),
        "transformers": Source(transformers, ("ElectraForPreTraining",)),
        "bundle": Source(bundle, GOOGLE_CLASSES),
        "google": Source(GOOGLE / "init", GOOGLE_CLASSES),
    }


@pytest.fixture
def attempt(tmp_path):
    """Load changed files; each class ends in an error or in the expected arrays. Returns how many were refused."""

    def attempt(source, changed, what, expected=None):
        folder = tmp_path / source.folder.name
        folder.mkdir(exist_ok=True)
        for file in source.all_files:
            (folder / file.name).write_bytes(changed[file.name] if file.name in changed else file.read_bytes())
        size = sum(file.stat().st_size for file in folder.iterdir())
        return sum(
            not is_loaded(folder, architecture, what, (expected or source.expected)[architecture], size)
            for architecture in source.classes
        )

    return attempt


def is_loaded(folder, architecture, what, expected, size):
    """Whether a class loads; fails on any other error than ours, on other arrays, and on memory out of proportion."""
    tracemalloc.start()
    try:
        found = load_arrays(folder, architecture)
    except CheckpointError:
        found = None
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__} instead of CheckpointError: {error}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * size + SLACK_BYTES, f"{what}: took {peak} bytes for files of {size}"
    if found is not None:
        try:
            tiny.assert_same_bytes(expected, found)
        except AssertionError as error:
            raise AssertionError(f"{what}: loaded something else: {error}") from error
    return found is not None


FORMATS = [("ours", CASES), ("transformers", CASES), ("bundle", CASES), ("google", 20)]


@pytest.mark.parametrize(("name", "cases"), FORMATS)
def test_a_truncated_file_is_always_refused(name, cases, sources, attempt):
    source = sources[name]
    for seed in range(cases):
        chooser = random.Random(f"truncate {name} {seed}")
        file = chooser.choice(source.files)
        content = file.read_bytes()
        # Half of the cuts lie near the start, where the tables are.
        length = chooser.randrange(len(content) if chooser.random() < 0.5 else min(len(content), 5000))
        what = f"seed {seed}: {file.name} cut to {length} of {len(content)} bytes"
        assert attempt(source, {file.name: content[:length]}, what) == len(source.classes), what


def flip(content, position, bit):
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


@pytest.mark.parametrize(("name", "cases"), [item for item in FORMATS if item[0] != "transformers"])
def test_a_flipped_bit_is_refused_or_harmless(name, cases, sources, attempt):
    source, refused = sources[name], 0
    for seed in range(cases):
        chooser = random.Random(f"flip {name} {seed}")
        file = chooser.choice(source.files)
        content = file.read_bytes()
        position = chooser.randrange(len(content) if chooser.random() < 0.5 else min(len(content), 5000))
        bit = chooser.randrange(8)
        what = f"seed {seed}: bit {bit} of byte {position} of {file.name} flipped"
        refused += attempt(source, {file.name: flip(content, position, bit)}, what)
    # Harmless are padding, metadata, the other network of a bundle, and its Adam slots.
    assert refused > cases * len(source.classes) // 4


def test_a_flipped_bit_in_a_file_without_checksum_gives_at_most_that_bit(sources, attempt):
    """What transformers writes can hide a flip in the data; then the arrays are the file's bytes, no others."""
    source, refused = sources["transformers"], 0
    (file,) = source.files
    content = file.read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    for seed in range(2 * CASES):
        chooser = random.Random(f"flip transformers {seed}")
        position = chooser.randrange(data_start) if seed % 2 else chooser.randrange(data_start, len(content))
        changed = flip(content, position, chooser.randrange(8))
        what = f"seed {seed}: byte {position} of {file.name} is {changed[position]}, was {content[position]}"
        in_data = position >= data_start
        expected = {source.classes[0]: load(changed)} if in_data else None
        found_bad = attempt(source, {file.name: changed}, what, expected)
        assert not (in_data and found_bad), what
        refused += found_bad
    assert refused > CASES // 2


@pytest.mark.parametrize("name", ["ours", "transformers"])
def test_a_safetensors_table_that_lies_is_refused_or_harmless(name, sources, attempt):
    source, refused, kinds = sources[name], 0, set()
    content = source.files[0].read_bytes()
    for seed in range(2 * CASES):
        what, changed = lie_about_safetensors(content, random.Random(f"lie {name} {seed}"))
        kinds.add(what.split(":")[0])
        refused += attempt(source, {"model.safetensors": changed}, f"seed {seed}: {what}")
    assert len(kinds) > 20
    assert refused > CASES


def test_a_bundle_that_lies_is_refused_or_harmless(sources, attempt, tmp_path_factory):
    source, refused, kinds = sources["bundle"], 0, set()
    arrays = tiny.random_arrays(tiny.google_pretraining())
    for seed in range(CASES + 50):
        what, writer = lie_about_bundle(arrays, random.Random(f"lie bundle {seed}"))
        kinds.add(what.split(":")[0])
        folder = tmp_path_factory.mktemp("lie")
        writer.write(folder / "model.ckpt-7")
        changed = {file.name: file.read_bytes() for file in folder.iterdir()}
        refused += attempt(source, changed, f"seed {seed}: {what}")
    assert len(kinds) > 20
    assert refused > CASES // 2


@pytest.mark.parametrize("name", ["ours", "transformers", "bundle"])
def test_random_bytes_under_the_right_name_are_refused(name, sources, attempt):
    source = sources[name]
    for seed in range(40):
        chooser = random.Random(f"noise {name} {seed}")
        changed = {file.name: chooser.randbytes(chooser.choice((0, 1, 7, 8, 9, 47, 48, 333))) for file in source.files}
        assert attempt(source, changed, f"seed {seed}") == len(source.classes)


def test_the_good_files_are_loaded(sources, attempt):
    """Otherwise everything above could pass because nothing loads."""
    for name, source in sources.items():
        assert attempt(source, {}, name) == 0
        assert all(source.expected.values())


def test_no_case_leaves_the_original_changed(sources):
    assert open_checkpoint(Path(GOOGLE / "init")).format == "tf1"
    for source in sources.values():
        for architecture in source.classes:
            tiny.assert_same_bytes(source.expected[architecture], load_arrays(source.folder, architecture))
