"""Writing: complete, or as it was before; through errors and through kills."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from electra_common import CheckpointError
from electra_common.weights.atomic import new_folder, swap_names, write_files


def content_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def fail_halfway(stream):
    stream.write(b"half")
    raise RuntimeError("the power is gone")


def test_files_are_written_from_bytes_and_from_functions(tmp_path):
    write_files(tmp_path / "a" / "b", {"one": b"1", "two": lambda stream: stream.write(b"22")})
    assert content_of(tmp_path / "a" / "b") == {"one": b"1", "two": b"22"}


def test_an_error_while_writing_leaves_the_old_files_and_nothing_temporary(tmp_path):
    old = {"model": b"old model", "config": b"old config"}
    write_files(tmp_path, old)
    with pytest.raises(RuntimeError, match="the power is gone"):
        write_files(tmp_path, {"model": b"new model", "config": fail_halfway})
    assert content_of(tmp_path) == old


def test_an_interrupt_while_writing_leaves_the_old_files(tmp_path):
    def interrupt(stream):
        raise KeyboardInterrupt

    write_files(tmp_path, {"model": b"old"})
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, {"model": interrupt})
    assert content_of(tmp_path) == {"model": b"old"}


def test_a_full_disk_is_a_checkpoint_error_that_leaves_the_old_files(tmp_path):
    def no_space(stream):
        raise OSError(28, "No space left on device")

    write_files(tmp_path, {"model": b"old"})
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        write_files(tmp_path, {"model": no_space})
    assert content_of(tmp_path) == {"model": b"old"}


def test_a_new_folder_appears_when_the_block_ends(tmp_path):
    with new_folder(tmp_path / "new") as temporary:
        (temporary / "file").write_bytes(b"x")
        assert not (tmp_path / "new").exists()
    assert content_of(tmp_path / "new") == {"file": b"x"}
    assert [item.name for item in tmp_path.iterdir()] == ["new"]


def test_an_error_in_the_block_leaves_nothing(tmp_path):
    def write_and_fail():
        with new_folder(tmp_path / "new") as temporary:
            (temporary / "file").write_bytes(b"x")
            raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="the power is gone"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_leaves_the_folder_that_was_to_be_replaced(tmp_path):
    write_files(tmp_path / "new", {"file": b"old"})
    with pytest.raises(RuntimeError), new_folder(tmp_path / "new", overwrite=True):
        raise RuntimeError
    assert content_of(tmp_path / "new") == {"file": b"old"}
    assert [item.name for item in tmp_path.iterdir()] == ["new"]


def test_an_existing_folder_is_refused(tmp_path):
    write_files(tmp_path / "new", {"file": b"old"})
    with pytest.raises(CheckpointError, match="exists already"), new_folder(tmp_path / "new"):
        raise AssertionError
    assert content_of(tmp_path / "new") == {"file": b"old"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_never_replaced_by_a_folder(tmp_path, overwrite):
    (tmp_path / "new").write_bytes(b"old")
    refused = pytest.raises(CheckpointError, match=r"new: exists already and is no folder, so it is not replaced")
    with refused, new_folder(tmp_path / "new", overwrite=overwrite):
        raise AssertionError
    assert (tmp_path / "new").read_bytes() == b"old"


@pytest.mark.parametrize("leads_to", ["folder", "empty", "nowhere"])
def test_a_link_is_never_replaced_by_a_folder(tmp_path, leads_to):
    write_files(tmp_path / "folder", {"file": b"old"})
    (tmp_path / "empty").mkdir()
    (tmp_path / "new").symlink_to(leads_to)
    refused = pytest.raises(CheckpointError, match=r"new: exists already and is a link, so it is not replaced")
    with refused, new_folder(tmp_path / "new", overwrite=True):
        raise AssertionError
    assert (tmp_path / "new").is_symlink()
    assert content_of(tmp_path / "folder") == {"file": b"old"}


@pytest.mark.parametrize("name", ["missing", "new/missing"])
def test_a_file_that_cannot_be_read_is_named_and_not_the_target(tmp_path, name):
    write_files(tmp_path / "new", {"file": b"old"})
    with (
        pytest.raises(CheckpointError, match=rf"^{re.escape(str(tmp_path / name))}: No such file or directory$"),
        new_folder(tmp_path / "new", overwrite=True),
    ):
        (tmp_path / name).read_bytes()
    assert content_of(tmp_path / "new") == {"file": b"old"}


def test_a_file_that_cannot_be_written_is_the_targets_fault(tmp_path):
    """However its path is spelled, and whether the system names it or not."""

    def fail(error, spelled):
        with new_folder(tmp_path / "link" / "new") as folder:
            error.filename = spelled(folder / "inner")
            raise error

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for spelled in (str, lambda path: str(path.resolve()), lambda path: None):
        with pytest.raises(CheckpointError, match=r"link/new: cannot be written: No space left on device$"):
            fail(OSError(28, "No space left on device"), spelled)
    assert list((tmp_path / "real").iterdir()) == []


def test_overwriting_replaces_the_whole_folder(tmp_path):
    write_files(tmp_path / "new", {"old": b"old"})
    with new_folder(tmp_path / "new", overwrite=True) as temporary:
        (temporary / "file").write_bytes(b"x")
    assert content_of(tmp_path / "new") == {"file": b"x"}
    assert [item.name for item in tmp_path.iterdir()] == ["new"]


# Writes a first piece, says so, and then goes on without end.
WRITER = """
import sys
from pathlib import Path
from electra_common.weights.atomic import new_folder, swap_names, write_files

def endless(stream):
    stream.write(b"new" * 1000)
    stream.flush()
    print("writing", flush=True)
    while True:
        stream.write(b"new")

target = Path(sys.argv[2])
if sys.argv[1] == "files":
    write_files(target, {"config": b"new", "model": endless})
else:
    with new_folder(target, overwrite=True) as temporary:
        write_files(temporary, {"config": b"new", "model": endless})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by SIGKILL")
@pytest.mark.parametrize("way", ["files", "folder"])
def test_a_kill_while_writing_leaves_the_old_files(way, tmp_path):
    old = {"model": b"old model", "config": b"old config"}
    write_files(tmp_path / "target", old)
    process = subprocess.Popen([sys.executable, "-c", WRITER, way, tmp_path / "target"], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"writing\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    found = content_of(tmp_path / "target")
    assert {name: found[name] for name in old} == old
    # What the dead process left has a name that no reader looks at.
    assert all(name.startswith(".") and name.endswith(".tmp") for name in found.keys() - old.keys())


# Replacing a folder in one step --------------------------------------------------------------------------------------


def fill(folder, text):
    folder.mkdir()
    (folder / "file").write_text(text)


@pytest.mark.skipif(sys.platform != "linux", reason="the call is Linux's")
def test_two_folders_change_names_in_one_step(tmp_path):
    fill(tmp_path / "a", "one")
    fill(tmp_path / "b", "two")
    assert swap_names(tmp_path / "a", tmp_path / "b")
    assert [(tmp_path / name / "file").read_text() for name in "ab"] == ["two", "one"]
    assert not swap_names(tmp_path / "a", tmp_path / "nothing")
    assert (tmp_path / "a" / "file").read_text() == "two"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is a moment without the folder")
def test_at_no_moment_is_an_overwritten_folder_missing(tmp_path):
    """Another process looks all the time while a folder is replaced again and again."""
    target = tmp_path / "target"
    fill(target, "0")
    code = (
        "import sys, pathlib\n"
        "target, stop = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
        "print('go', flush=True)\n"
        "looks = missing = 0\n"
        "while not stop.exists():\n"
        "    looks += 1\n"
        "    missing += not target.exists()\n"
        "print(looks, missing)\n"
    )
    command = [sys.executable, "-c", code, str(target), str(tmp_path / "stop")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "go\n"
        for number in range(300):
            with new_folder(target, overwrite=True) as temporary:
                (temporary / "file").write_text(str(number))
        (tmp_path / "stop").touch()
        looks, missing = map(int, process.stdout.read().split())
    assert looks > 300
    assert missing == 0
    assert sorted(item.name for item in tmp_path.iterdir()) == ["stop", "target"]


def test_where_names_cannot_be_swapped_the_old_folder_is_moved_aside(tmp_path, monkeypatch):
    monkeypatch.setattr("electra_common.weights.atomic.swap_names", lambda first, second: False)
    fill(tmp_path / "target", "old")
    with new_folder(tmp_path / "target", overwrite=True) as temporary:
        (temporary / "file").write_text("new")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["target"]


def test_folders_that_may_not_be_looked_at_are_no_hindrance(tmp_path, monkeypatch):
    def refuse(self, other):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "samefile", refuse)
    with new_folder(tmp_path / "target") as temporary:
        (temporary / "file").write_text("new")
    assert (tmp_path / "target" / "file").read_text() == "new"


@pytest.mark.parametrize("name", [".", "..", "../inner"])
def test_the_folder_that_the_program_runs_in_is_not_replaced(tmp_path, monkeypatch, name):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "outer" / "inner")
    with pytest.raises(CheckpointError, match="this program runs in it"), new_folder(Path(name), overwrite=True):
        pass
    with new_folder(Path("../beside")) as temporary:
        (temporary / "file").write_text("new")
    assert (tmp_path / "outer" / "beside" / "file").read_text() == "new"
