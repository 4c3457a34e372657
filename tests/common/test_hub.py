"""Names: local paths stay local, other names come from the Hub's cache; no test asks the network."""

import subprocess
import sys

import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.hub import resolve_path
from support.fixtures import GOOGLE, TRANSFORMERS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
NAME = "someone/electra-tiny"


@pytest.fixture
def cache(tmp_path):
    """A cache as huggingface_hub lays it out: a branch, and a snapshot for each of two commits."""
    repository = tmp_path / "cache" / "models--someone--electra-tiny"
    for commit, configuration in ((COMMIT, "small-like"), (OTHER_COMMIT, "base-like")):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for name in ("config.json", "model.safetensors"):
            source = TRANSFORMERS / configuration / "ForPreTraining" / name
            (snapshot / name).write_bytes(source.read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", [str, lambda path: path])
@pytest.mark.parametrize("path", [GOOGLE / "init", GOOGLE / "init" / "model.ckpt-0", GOOGLE / "init" / "checkpoint"])
def test_a_local_path_stays_what_it_is(path, kind):
    assert resolve_path(kind(path)) == path


def test_a_local_folder_goes_before_a_repository_of_that_name(cache, tmp_path, monkeypatch):
    (tmp_path / NAME).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert str(resolve_path(NAME, cache_dir=cache, local_files_only=True)) == NAME


def test_a_revision_of_a_local_path_is_a_wrong_argument():
    with pytest.raises(ValueError, match="revision 'main' means nothing for the local path") as error:
        open_checkpoint(GOOGLE / "init", revision="main")
    assert not isinstance(error.value, CheckpointError)


@pytest.mark.parametrize("name", ["/no/such/folder", "./folder", "../folder", "a/b/c", "a b", "", "owner/name\n/x"])
def test_a_missing_path_that_is_no_name_is_refused_without_asking(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # an import of it would fail
    with pytest.raises(CheckpointError, match=r"no such file or folder|no checkpoint found"):
        open_checkpoint(name)


def test_a_folder_called_as_the_owner_stands_in_the_way_of_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    (tmp_path / "google").mkdir()
    with pytest.raises(CheckpointError, match=r"in the folder google that is here; if a name on the Hub is meant, ren"):
        open_checkpoint("google/electra-small-discriminator")


def test_a_missing_path_object_is_never_a_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        open_checkpoint(tmp_path / "nothing")


def test_a_name_in_the_cache_is_opened(cache):
    checkpoint = open_checkpoint(NAME, cache_dir=cache, local_files_only=True)
    assert checkpoint.config.hidden_size == 32
    assert checkpoint.path.parent.name == COMMIT


def test_a_revision_in_the_cache_is_opened(cache):
    checkpoint = open_checkpoint(NAME, revision=OTHER_COMMIT, cache_dir=cache, local_files_only=True)
    assert checkpoint.config.hidden_size == 24


@pytest.mark.parametrize("revision", ["v2", "f" * 40])
def test_a_revision_that_is_not_in_the_cache_is_a_checkpoint_error(revision, cache):
    with pytest.raises(CheckpointError, match=rf"{NAME}: no such file or folder, and it cannot be fetched"):
        open_checkpoint(NAME, revision=revision, cache_dir=cache, local_files_only=True)


def test_a_name_that_is_not_in_the_cache_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match=rf"{NAME}: no such file or folder, and it cannot be fetched"):
        open_checkpoint(NAME, cache_dir=tmp_path, local_files_only=True)


def test_a_snapshot_without_weights_is_a_checkpoint_error(cache):
    for file in cache.rglob("model.safetensors"):
        file.unlink()
    with pytest.raises(CheckpointError, match="the cache holds no weights of it"):
        open_checkpoint(NAME, cache_dir=cache, local_files_only=True)


OFFLINE = """
import sys
from electra_common import CheckpointError, open_checkpoint
try:
    open_checkpoint("someone/electra-tiny", cache_dir=sys.argv[1])
except CheckpointError as error:
    print(error)
"""


def test_without_a_network_the_error_is_a_checkpoint_error(tmp_path):
    environment = {"HF_HUB_OFFLINE": "1", "PATH": "", "HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", OFFLINE, tmp_path], capture_output=True, text=True, env=environment, check=True
    )
    assert result.stdout.startswith("someone/electra-tiny: no such file or folder, and it cannot be fetched")


def test_the_hub_client_is_not_loaded_for_local_paths():
    code = f"import sys, electra_common; electra_common.open_checkpoint({str(GOOGLE / 'init')!r}); " \
           "print('huggingface_hub' in sys.modules)"  # fmt: skip
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
