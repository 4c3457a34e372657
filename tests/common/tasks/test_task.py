"""Tasks by name: those of the library, one's own, and what is told where one cannot be used."""

import json

import pytest

from electra_common.tasks import task as module
from electra_common.tasks.task import Task, find_task, register_task, task_from, task_names

# Zero-based columns, labels and settings of Google's tasks and configuration; WNLI, which it leaves out, by its files.
#            text pair label labels                                          length swaps epochs
GOOGLE = {
    "mnli":   (8, 9, -1, ("contradiction", "entailment", "neutral"), 128, False, None),
    "mrpc":   (3, 4, 0, ("0", "1"), 128, True, None),
    "cola":   (3, None, 1, ("0", "1"), 128, False, None),
    "sst-2":  (0, None, 1, ("0", "1"), 128, False, None),
    "qqp":    (3, 4, 5, ("0", "1"), 128, False, None),
    "rte":    (1, 2, 3, ("entailment", "not_entailment"), 128, False, 10),
    "qnli":   (1, 2, 3, ("entailment", "not_entailment"), 128, False, None),
    "sts-b":  (-3, -2, -1, None, 128, True, 10),
    "wnli":   (1, 2, 3, ("0", "1"), 128, False, None),
    "squad":    ("text", None, "label", None, 512, False, 2),
    "squad-v2": ("text", None, "label", None, 512, False, 2),
    "mrqa":     ("text", None, "label", None, 512, False, 2),
    "chunking": (0, None, -1, None, 256, False, None),
}  # fmt: skip
OTHERS = {"ner", "pos", "wnut17", "ud-english-ewt", "banking77", "commonsenseqa",
          "classification", "regression", "tagging", "answers", "choice"}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_task_is_left_behind(monkeypatch):
    monkeypatch.setattr(module, "_REGISTERED", {})


def own(**changes):
    return Task(**{"name": "own", "kind": "classification", "metrics": ("accuracy",), **changes})


def test_these_tasks_come_with_the_library():
    assert set(task_names()) == set(GOOGLE) | OTHERS
    assert all(find_task(name).summary for name in task_names())


@pytest.mark.parametrize("name", GOOGLE)
def test_columns_and_settings_are_google_s(name):
    task = find_task(name)
    epochs = task.settings.get("epochs")
    found = (task.text, task.pair, task.label, task.labels, task.max_length, task.swaps_pairs, epochs)
    assert found == GOOGLE[name]


def test_only_squad_2_has_questions_without_an_answer():
    assert [name for name in task_names() if find_task(name).has_impossible] == ["squad-v2"]


@pytest.mark.parametrize("name", sorted({*GOOGLE, *OTHERS}))
def test_a_task_survives_json(name):
    task = find_task(name)
    assert task_from(json.loads(json.dumps(task.as_dict())), "there") == task
    assert task.for_split("dev") is task


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnli", {"label": None}),
        ("cola", {"header": True, "text": 1, "label": None}),
        ("qqp", {"text": 1, "pair": 2, "label": None}),
        ("wnut17", {}),
    ],
)
def test_a_test_set_may_have_columns_of_its_own(name, expected):
    task = find_task(name)
    changed = task.for_split("test").as_dict()
    assert {key: value for key, value in changed.items() if value != task.as_dict()[key]} == expected


def test_a_registered_task_is_found_by_its_name():
    register_task(own())
    register_task(own())  # the same one again
    assert find_task("own") == own()
    assert task_names()[-1] == "own"
    with pytest.raises(ValueError, match="there is another task 'own'; give this one a name of its own"):
        register_task(own(text="body"))
    with pytest.raises(ValueError, match="there is another task 'cola'"):
        register_task(own(name="cola"))
    assert find_task("cola").text == 3


def test_a_misspelt_name_gets_a_guess():
    with pytest.raises(ValueError, match=r"^no task 'squad_v2'; did you mean squad-v2\?"):
        find_task("squad_v2")
    with pytest.raises(ValueError, match=r"^no task 'xyzzy'; known: mnli, mrpc, cola, "):
        find_task("xyzzy")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "clasification"}, "task own: kind must be one of classification, .*; found 'clasification'"),
        ({"format": "xml"}, "task own: format must be one of table, words, squad, mrqa; found 'xml'"),
        ({"kind": "tagging", "scheme": "BILOU"}, "task own: scheme must be one of BIO, none; found 'BILOU'"),
        ({"metrics": []}, "task own: name at least one metric"),
        ({"format": "squad"}, "the format squad holds answers, not classification"),
        ({"format": "words"}, "the format words holds tags, not classification"),
        ({"choices": ["a"]}, "a choice, and nothing else, needs choices"),
        ({"kind": "choice"}, "a choice, and nothing else, needs choices"),
        ({"files": {"valid": ["a"]}}, "files of valid; known: train, dev, test"),
        ({"labels_": ["a"]}, "^own.toml: a task has no 'labels_'; did you mean labels?"),
        ({"xyzzy": 1}, "^own.toml: a task has no 'xyzzy'; known: name, kind, metrics"),
    ],
)
def test_what_is_wrong_with_a_task_is_told(changes, expected):
    values = {"name": "own", "kind": "classification", "metrics": ["accuracy"], **changes}
    with pytest.raises(ValueError, match=expected):
        task_from(values, "own.toml")


def test_what_a_task_must_have_is_told():
    with pytest.raises(ValueError, match=r"own\.toml: kind, metrics must be given"):
        task_from({"name": "own"}, "own.toml")
    with pytest.raises(ValueError, match="a task has no 'texts'; known: name, kind"):
        own().with_changes(texts=1)


def test_an_empty_name_of_a_column_is_no_column():
    values = own(id="key").as_dict() | {"label": "", "pair": "", "test_columns": {"id": "", "text": 1}}
    task = task_from(values, "own.toml")
    assert (task.label, task.pair, task.id, task.summary) == (None, None, "key", "")
    assert (task.for_split("test").id, task.for_split("test").text) == (None, 1)


def test_tasks_do_not_share_what_they_were_made_of():
    with pytest.raises(TypeError):
        find_task("cola").files["train"] = ("other.tsv",)
    with pytest.raises(TypeError):
        own().settings["epochs"] = 3
