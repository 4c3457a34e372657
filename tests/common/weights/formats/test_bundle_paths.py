"""Which bundle a folder means: the text file `checkpoint`, and names in it that try to lead elsewhere."""

import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats.bundle_paths import find_prefix
from support.bundle_writer import write_bundle


def bundle(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(folder / name, {"x": np.ones(3)})
    return folder / name


def state(folder, path):
    (folder / "checkpoint").write_bytes(b'model_checkpoint_path: "' + path + b'"\nall_model_checkpoint_paths: "x"\n')


@pytest.mark.parametrize(
    "path",
    [
        b"model.ckpt-20",
        b"./model.ckpt-20",
        b"/home/someone/else/model.ckpt-20",
        b"gs://bucket/model.ckpt-20",
        b"../../model.ckpt-20",
        b"C:\\\\models\\\\model.ckpt-20",
        b"/caf\\303\\251/model.ckpt-20",
        b"mod\\145l.ckpt-20",
        b"\\x6dodel.ckpt-20",
        b'a \\"name\\"/model.ckpt-20',
    ],
)
def test_the_latest_checkpoint_is_the_one_of_that_name_in_the_folder(path, tmp_path):
    bundle(tmp_path, "model.ckpt-10")
    latest = bundle(tmp_path, "model.ckpt-20")
    state(tmp_path, path)
    assert find_prefix(tmp_path) == latest


def test_a_name_with_special_letters_is_found(tmp_path):
    bundle(tmp_path, "other")
    latest = bundle(tmp_path, 'mod\u00e8le "7"')
    state(tmp_path, rb"mod\303\250le \"7\"")
    assert find_prefix(tmp_path) == latest


@pytest.mark.parametrize(
    "path",
    [
        b"../outside/model.ckpt-1",
        b"..\\\\outside\\\\model.ckpt-1",
        b"\\056\\056/outside/model.ckpt-1",
        b"\\056\\056\\057outside\\057model.ckpt-1",
        b"\\x2e\\x2e\\x2foutside\\x2fmodel.ckpt-1",
    ],
)
def test_a_path_never_leaves_the_folder(path, tmp_path):
    bundle(tmp_path / "outside", "model.ckpt-1")
    inside = tmp_path / "inside"
    inside.mkdir()
    state(inside, path)
    assert find_prefix(inside) is None
    (inside / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path}/outside/model.ckpt-1"')
    assert find_prefix(inside) is None


@pytest.mark.parametrize("path", [b"", b".", b"..", b"/", b"model.ckpt-9", b"..\\\\", b"a\\000b", b"\xff\xfe"])
def test_a_name_that_is_no_checkpoint_leaves_the_choice_to_the_only_index(path, tmp_path):
    only = bundle(tmp_path, "model.ckpt-1")
    state(tmp_path, path)
    assert find_prefix(tmp_path) == only


def test_a_folder_of_one_bundle_needs_no_text_file(tmp_path):
    assert find_prefix(tmp_path) is None
    assert bundle(tmp_path, "model.ckpt-1") == find_prefix(tmp_path)


def test_a_folder_of_several_bundles_needs_the_text_file(tmp_path):
    bundle(tmp_path, "model.ckpt-1")
    bundle(tmp_path, "model.ckpt-2")
    with pytest.raises(CheckpointError, match=r"holds several checkpoints \(model.ckpt-1, model.ckpt-2\)"):
        find_prefix(tmp_path)


def test_other_files_that_end_like_an_index_do_not_count(tmp_path):
    only = bundle(tmp_path, "model.ckpt-1")
    (tmp_path / "words.index").write_bytes(b"not a bundle" * 9)
    assert find_prefix(tmp_path) == only


@pytest.mark.parametrize("name", ["model.ckpt-1", "model.ckpt-1.index", "model.ckpt-1.data-00000-of-00001"])
def test_a_prefix_and_its_files_mean_the_bundle(name, tmp_path):
    assert bundle(tmp_path, "model.ckpt-1") == find_prefix(tmp_path / name)


@pytest.mark.parametrize("name", ["model.ckpt", "model.ckpt-1.data", ".index", "nothing"])
def test_other_names_mean_nothing(name, tmp_path):
    bundle(tmp_path, "model.ckpt-1")
    (tmp_path / ".index").write_bytes(b"x")
    assert find_prefix(tmp_path / name) is None
