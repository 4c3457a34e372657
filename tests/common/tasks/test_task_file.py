"""``task.json``: what is written comes back, and what anyone else may have written ends in one clear line."""

import json
import os
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.task import Task
from electra_common.tasks.task_file import MOST_TASK_BYTES, TaskFile, read_task_file
from electra_common.weights.atomic import write_files
from electra_common.weights.errors import CheckpointError

TAGGING = Task(
    name="names", kind="tagging", metrics=("span_f1",), format="words", text=0, label=-1, labels=("O", "B-X", "I-X"),
    files={"train": ("a/train.conll", "train.txt"), "dev": ("dev.conll",)}, settings={"epochs": 10},
)  # fmt: skip
ANSWERS = Task(name="squad2", kind="answers", metrics=("f1", "exact"), format="squad", has_impossible=True)
SIMILARITY = Task(
    name="sts", kind="regression", metrics=("pearson",), text=-3, pair="s2", label_range=(0.0, 5.0), header=True,
    test_columns={"label": None, "text": 1},
)  # fmt: skip
FILES = [
    TaskFile(task=TAGGING, labels=("O", "B-X", "I-X"), max_length=77),
    TaskFile(
        task=ANSWERS, max_length=384, doc_stride=128, max_query_length=64, max_answer_length=30, n_best=20,
        null_threshold=-2.75,
    ),
    TaskFile(task=SIMILARITY, max_length=128),
    TaskFile(
        task=Task(name="odd", kind="classification", metrics=("accuracy",)),
        labels=('a|b "c"\nd', "é\U0001f600\x00", ""), max_length=1,
    ),
]  # fmt: skip


def write(folder, content):
    (folder / "task.json").write_bytes(content)
    return folder


def changed(file=FILES[0], **changes):
    """Return the content of a file with entries changed; those of the task by ``task_name``; ... removes one."""
    values = json.loads(file.as_bytes())
    for name, value in changes.items():
        target = values["task"] if name.startswith("task_") else values
        target[name.removeprefix("task_")] = value
        if value is ...:
            del target[name.removeprefix("task_")]
    return json.dumps(values).encode()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.task.name)
def test_what_is_written_comes_back(file, tmp_path):
    write_files(tmp_path, {"task.json": file.as_bytes()})
    assert read_task_file(tmp_path) == file
    assert read_task_file(str(tmp_path)).task == file.task


@given(labels=st.lists(st.text(), min_size=1, max_size=9, unique=True))
def test_any_labels_come_back(tmp_path_factory, labels):
    file = replace(FILES[3], labels=tuple(labels))
    assert read_task_file(write(tmp_path_factory.mktemp("labels"), file.as_bytes())).labels == tuple(labels)


def test_the_file_says_what_it_is(tmp_path):
    values = json.loads(FILES[1].as_bytes())
    assert values["format"] == 1
    assert values["task"]["kind"] == "answers"
    assert (values["labels"], values["doc_stride"], values["null_threshold"]) == ([], 128, -2.75)


def test_names_of_data_files_elsewhere_stay_out(tmp_path):
    own = replace(TAGGING, files={"train": ("/home/me/train.txt", "train.txt"), "dev": ("../dev.txt",)})
    content = replace(FILES[0], task=own).as_bytes()
    assert b"home" not in content
    assert read_task_file(write(tmp_path, content)).task.files == {"train": ("train.txt",)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 0}, "max_length must be a whole number, 1 to"),
        ({"max_length": 1 << 40}, "max_length"),
        ({"max_length": True}, "found True"),
        ({"max_length": 12.0}, "found 12.0"),
        ({"max_length": None}, "found None"),
        ({"doc_stride": -1}, "doc_stride must be a whole number, 0 to"),
        ({"n_best": 0}, "n_best"),
        ({"null_threshold": float("nan")}, "null_threshold must be a number or null, found nan"),
        ({"null_threshold": "low"}, "null_threshold"),
        ({"null_threshold": True}, "null_threshold"),
        ({"labels": ("O", "B", "O")}, "labels: 'O' stands twice"),
        ({"labels": ()}, "a task of kind tagging has at least one, found 0"),
        ({"task": ANSWERS}, "a task of kind answers has none, found 3"),
    ],
)
def test_values_that_make_no_sense_are_refused_before_they_are_written(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(FILES[0], **changes)


HOSTILE = {
    "nothing": (b"", "Expecting value"),
    "no JSON": (b"{", "Expecting property name"),
    "a list": (b"[]", "expected a JSON object, found list"),
    "not UTF-8": (b'{"format": 1, "labels": ["\xff"]}', "can't decode byte 0xff"),
    "a key twice": (b'{"format": 1, "format": 1}', "stands twice in one JSON object"),
    "deep": (b'{"format": 1, "task": ' + b"[" * 100_000, "nested too deeply"),
    "nested settings": (changed(task_settings=json.loads('{"a":' * 80 + "1" + "}" * 80)), "nested too deeply"),
    "huge": (b" " * (MOST_TASK_BYTES + 1), "more than 4194304 bytes"),
    "another format": (changed(format=2), "format: expected 1, found 2"),
    "true for a format": (changed(format=True), "found True"),
    "no format": (changed(format=...), "found None"),
    "unknown entry": (changed(code="import os"), "unknown entry 'code'"),
    "no labels": (changed(labels=...), "labels must be given"),
    "no task": (changed(task=...), "task must be given"),
    "a task that is a name": (changed(task="names"), "task: expected an object"),
    "labels in a text": (changed(labels="OBI"), "labels: expected a list of texts"),
    "a number among the labels": (changed(labels=["O", 1]), "labels: expected a list of texts"),
    "a label twice": (changed(labels=["O"] * 3), "'O' stands twice"),
    "a third of a million labels, the last twice": (
        changed(labels=[*map(str, range(300_000)), "7"]),
        "'7' stands twice",
    ),
    "endless length": (changed(max_length=10**300), "more than 20 digits"),
    "a number of five thousand digits": (changed(max_length=77_777).replace(b"77777", b"7" * 5000), "5000 digits"),
    "infinite threshold": (changed(FILES[1], null_threshold=float("inf")), "Infinity is not finite"),
    "large threshold": (changed(FILES[1], null_threshold=10**400), "null_threshold must be"),
    "length in a text": (changed(max_length="128"), "max_length must be"),
    "unknown kind": (changed(task_kind="shell"), "kind must be one of"),
    "kind in a list": (changed(task_kind=["tagging"]), "kind must be a text"),
    "kind of other labels": (changed(FILES[2], task_kind="classification"), "has at least one, found 0"),
    "no kind": (changed(task_kind=...), "kind must be given"),
    "unknown attribute": (changed(task_command="rm"), "a task has no 'command'"),
    "metrics in a text": (changed(task_metrics="span_f1"), "metrics must be"),
    "no metrics": (changed(task_metrics=[]), "at least one metric"),
    "a name with an escape": (changed(task_name="\x1b[2J"), "name must be"),
    "an empty name": (changed(task_name=""), "name must be"),
    "a long name": (changed(task_name="n" * 300), "name must be"),
    "an absolute file": (changed(task_files={"train": ["/etc/passwd"]}), "files must be"),
    "a file above": (changed(task_files={"train": ["a/../../secret"]}), "files must be"),
    "a file at home": (changed(task_files={"dev": ["~/secret"]}), "files must be"),
    "a file of Windows": (changed(task_files={"dev": ["C:secret"]}), "files must be"),
    "a file of Windows above": (changed(task_files={"dev": ["..\\secret"]}), "files must be"),
    "a file with a zero": (changed(task_files={"dev": ["a\x00"]}), "files must be"),
    "one file": (changed(task_files={"dev": "dev.txt"}), "files must be"),
    "files in a list": (changed(task_files=["dev.txt"]), "files must be"),
    "unknown split": (changed(task_files={"other": ["dev.txt"]}), "files of other"),
    "a split with an escape": (changed(task_files={"\x1b[2J": ["dev.txt"]}), "files must be"),
    "a column that is true": (changed(task_text=True), "text must be"),
    "a column that is far away": (changed(task_text=10**30), "text must be"),
    "a column in a list": (changed(task_pair=["a"]), "pair must be"),
    "a range of three": (changed(FILES[2], task_label_range=[0, 1, 2]), "label_range must be"),
    "a range upside down": (changed(FILES[2], task_label_range=[5, 0]), "label_range must be"),
    "a range of texts": (changed(FILES[2], task_label_range=["0", "5"]), "label_range must be"),
    "a header in words": (changed(task_header="yes"), "header must be"),
    "a test that is another task": (changed(task_test_columns={"kind": "regression"}), "test_columns must be"),
    "a test of lists": (changed(task_test_columns={"text": [1]}), "test_columns must be"),
    "settings in a list": (changed(task_settings=[1]), "settings must be"),
    "a flag that is one": (changed(task_swaps_pairs=1), "swaps_pairs must be"),
    "a length of nothing": (changed(task_max_length=0), "task: max_length must be"),
    "a task's labels in a text": (changed(task_labels="abc"), "task: labels must be"),
    "a long kind": (changed(task_kind="k" * 100_000), "kind must be one of"),
    "a long attribute": (changed(**{"task_" + "k" * 100_000: 1}), "a task has no 'k"),
    "a long key twice": (b'{"K": 1, "K": 2}'.replace(b"K", b"k" * 100_000), "the key 'k"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_one_clear_line(name, tmp_path):
    content, expected = HOSTILE[name]
    with pytest.raises(CheckpointError) as caught:
        read_task_file(write(tmp_path, content))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'task.json'}: ")
    assert expected in message
    assert message.isprintable()
    assert len(message) < len(str(tmp_path)) + 500


def test_the_unchanged_file_of_the_hostile_ones_is_fine(tmp_path):
    for file in FILES:
        assert read_task_file(write(tmp_path, changed(file))) == file


def test_a_folder_without_one_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=r"task\.json: not found; expected the folder of a model"):
        read_task_file(tmp_path)
    (tmp_path / "task.json").mkdir()
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_task_file(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "task.json")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_task_file(tmp_path)


def test_a_link_that_leads_out_of_the_folder_is_refused_and_the_hubs_is_not(tmp_path):
    folder = tmp_path / "models--owner--name" / "snapshots" / "abc"
    blobs = tmp_path / "models--owner--name" / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1234").write_bytes(FILES[0].as_bytes())
    (folder / "task.json").symlink_to(blobs / "1234")
    assert read_task_file(folder) == FILES[0]
    (tmp_path / "elsewhere").write_bytes(FILES[0].as_bytes())
    (folder / "task.json").unlink()
    (folder / "task.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="a link that leads out of the folder"):
        read_task_file(folder)


def test_what_would_not_be_read_is_not_written():
    with pytest.raises(ValueError, match="task: name must be a text of 1 to 200 printable characters"):
        replace(FILES[0], task=replace(TAGGING, name="a\nb")).as_bytes()
    with pytest.raises(ValueError, match="are the most it may have"):
        replace(FILES[0], labels=tuple(str(number) * 9 for number in range(100_000, 200_000))).as_bytes()
