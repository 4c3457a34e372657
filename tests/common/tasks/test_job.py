"""Which files a fine-tuning run reads, and that what does not go together is told before it begins."""

import json
import re

import pytest

from electra_common.tasks.job import DataChoice, make_job

ROW = "text,label\nhm,a\n"


def test_files_are_named_by_text_or_path_and_go_before_the_folders(tmp_path):
    for name in ("train.csv", "dev.csv", "other.csv"):
        (tmp_path / name).write_text(ROW)
    named = DataChoice(folder=tmp_path, files={"train": str(tmp_path / "other.csv")})
    job = make_job("classification", named, tmp_path / "out")
    assert job.files == {"train": tmp_path / "other.csv", "dev": tmp_path / "dev.csv"}
    assert make_job("classification", tmp_path, tmp_path / "out").files["train"] == tmp_path / "train.csv"


def test_without_dev_examples_nothing_tells_which_model_is_better(tmp_path):
    (tmp_path / "train.csv").write_text(ROW)
    with pytest.raises(ValueError, match="restarts: whether a seed collapsed is told by dev examples"):
        make_job("classification", tmp_path, tmp_path / "out", restarts=1)
    with pytest.raises(ValueError, match="early_stopping: what is better is told by dev examples"):
        make_job("classification", tmp_path, tmp_path / "out", changes=["early_stopping=1"])
    with pytest.raises(ValueError, match="seeds: expected one or more, each once"):
        make_job("classification", tmp_path, tmp_path / "out", seeds=(1, 1))


def test_only_a_folder_that_is_there_can_be_resumed_whatever_it_holds_yet(tmp_path):
    (tmp_path / "train.csv").write_text(ROW)
    with pytest.raises(ValueError, match=r"out: no such folder, so no run to resume; is its name right\?"):
        make_job("classification", tmp_path, tmp_path / "out", resume=True)
    (tmp_path / "out").mkdir()
    assert make_job("classification", tmp_path, tmp_path / "out", resume=True).resume


def test_a_metric_of_another_kind_of_task_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "train.csv").write_text(ROW)
    choice = DataChoice(folder=tmp_path, changes={"metrics": ("accuracy", "pearson")})
    with pytest.raises(ValueError, match="no metric 'pearson' for classification; known: accuracy"):
        make_job("classification", choice, tmp_path / "out")


@pytest.mark.parametrize(
    ("task", "changes", "told"),
    [
        (
            "ner",
            {"pair": "next", "id": 0, "label": 1},
            "task ner: pair, id: not looked at in files of the format words",
        ),
        ("squad", {"text": "nonsense"}, "task squad: text: not looked at in files of the format squad for answers"),
        ("mrqa", {"quoting": False}, "task mrqa: quoting: not looked at in files of the format mrqa"),
        ("tagging", {"pair": "next"}, "task tagging: pair: not looked at in files of the format table for tagging"),
    ],
)
def test_columns_that_files_of_a_task_have_not_got_are_refused(tmp_path, task, changes, told):
    (tmp_path / "train").write_text("")
    with pytest.raises(ValueError, match=re.escape(told)):
        make_job(task, DataChoice(files={"train": tmp_path / "train"}, changes=changes), tmp_path / "out")


def test_columns_that_a_file_may_have_and_values_that_change_nothing_are_taken(tmp_path):
    (tmp_path / "train").write_text("")
    for task, changes in (("ner", {"text": 1, "pair": None}), ("answers", {"pair": "page", "id": "n"})):
        job = make_job(task, DataChoice(files={"train": tmp_path / "train"}, changes=changes), tmp_path / "out")
        assert {name: getattr(job.task, name) for name in changes} == changes


def test_seeds_may_be_any_whole_numbers(tmp_path):
    (tmp_path / "train.csv").write_text(ROW)
    job = make_job("classification", tmp_path, tmp_path / "out", seeds=range(3))
    assert job.seeds == (0, 1, 2)
    assert json.loads(json.dumps(job.shared(job.identity())))["seeds"] == [0, 1, 2]
