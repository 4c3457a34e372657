"""The files of a run are looked through before anything is trained."""

import json

import pytest

from electra_common.tasks.data import read_task_data
from electra_common.tasks.settings import FineTuningSettings
from electra_common.tasks.task import find_task

CLASSES, TAGS = find_task("classification"), find_task("tagging")


def read(task, folder, **splits):
    """Read files with these (text, label) in them; no tokenizer is asked for before they are found to be of use."""
    files = {split: folder / f"{split}.jsonl" for split in splits}
    for split, pairs in splits.items():
        lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in pairs)
        files[split].write_text("".join(lines), encoding="utf-8")
    return read_task_data(task, files, None, FineTuningSettings())


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_label_that_training_does_not_know_is_told_before_it_begins(tmp_path, split):
    good = [("x", "a"), ("y", "b")]
    splits = {"dev": good, "test": good} | {split: [*good, ("z", "-1")]}
    with pytest.raises(ValueError, match=rf"{split}\.jsonl, line 3: label '-1' is not among 'a', 'b'"):
        read(CLASSES, tmp_path, train=good, **splits)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_tags_that_mark_no_spans_are_told_before_training_begins(tmp_path, split):
    good = [(["x", "y"], ["O", "B-a"])]
    splits = {"train": good, "dev": good, "test": good} | {split: [*good, (["x"], ["NOUN"])]}
    with pytest.raises(ValueError, match=rf"{split}\.jsonl, line 2: entity_f1 counts spans.* found 'NOUN'"):
        read(TAGS, tmp_path, **splits)
