"""Which file of a folder is read, and by which reader."""

import pytest

from electra_common.tasks.readers.read import find_file, read_examples
from electra_common.tasks.task import find_task

OWN = find_task("classification")


def labels(task, path, content):
    path.write_text(content, encoding="utf-8")
    return [example.label for example in read_examples(task, path, split="test")]


def test_the_first_file_of_a_split_that_is_there_is_found(tmp_path):
    task = find_task("mrpc")
    (tmp_path / "msr_paraphrase_train.txt").touch()
    assert find_file(task, tmp_path, "train") == tmp_path / "msr_paraphrase_train.txt"
    (tmp_path / "train.tsv.zst").touch()
    assert find_file(task, str(tmp_path), "train") == tmp_path / "train.tsv.zst"
    (tmp_path / "train.tsv").touch()
    assert find_file(task, tmp_path, "train") == tmp_path / "train.tsv"


def test_a_split_that_is_not_there_is_none_but_training_needs_one(tmp_path):
    task = find_task("mrpc")
    assert find_file(task, tmp_path, "dev") is None
    assert find_file(find_task("banking77"), tmp_path, "dev") is None
    with pytest.raises(
        ValueError, match=r"no file of task mrpc to train on; looked for train.tsv, msr_paraphrase_train"
    ):
        find_file(task, tmp_path, "train")
    with pytest.raises(ValueError, match="no file of task mrpc to train on; it names no file"):
        find_file(task.with_changes(files={}), tmp_path, "train")
    with pytest.raises(ValueError, match="gone: expected a folder with the files of task mrpc, found none"):
        find_file(task, tmp_path / "gone", "dev")


def test_an_unknown_split_is_told_at_once(tmp_path):
    with pytest.raises(ValueError, match="split must be one of train, dev, test; found 'validation'"):
        read_examples(find_task("cola"), tmp_path / "train.tsv", split="validation")
    with pytest.raises(ValueError, match="split must be one of train, dev, test; found 'valid'"):
        find_file(find_task("cola"), tmp_path, "valid")


def test_a_test_set_has_labels_where_any_row_has_one(tmp_path):
    named = OWN.with_changes(label="is.spam")
    assert labels(named, tmp_path / "a.csv", "text,is.spam\nx,yes\n") == ["yes"]
    assert labels(named, tmp_path / "a.jsonl", '{"text": "x", "is": {"spam": "yes"}}\n') == ["yes"]
    assert labels(OWN, tmp_path / "b.jsonl", '{"text": "x"}\n{"text": "y"}\n') == [None, None]
    with pytest.raises(ValueError, match=r"b\.jsonl, line 1: there is no column 'label'"):
        labels(OWN, tmp_path / "b.jsonl", '{"text": "x"}\n{"text": "y", "label": "a"}\n')


def test_a_test_set_without_the_label_still_has_its_header(tmp_path):
    """The label's column is the only one with a name: that alone tells that the first line is a header."""
    task = OWN.with_changes(text=0, label="cat")
    assert labels(task, tmp_path / "a.csv", "txt,cat\nx,yes\n") == ["yes"]
    assert labels(task, tmp_path / "b.csv", "txt,other\nx,yes\n") == [None]
