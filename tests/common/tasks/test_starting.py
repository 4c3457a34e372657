"""What fine-tuning starts from: the config with the task's head, and whether the checkpoint's own head is kept."""

from pathlib import Path

import pytest

from electra_common import ElectraConfig, ElectraTokenizerFast
from electra_common.embedded_model import embedded_folder
from electra_common.tasks.settings import settings_for
from electra_common.tasks.starting import EMBEDDED_NAME, Start, open_tokenizer, plan_start, task_config
from electra_common.tasks.task import find_task

SETTINGS = settings_for(find_task("sst-2"), 128, ["dropout=0.3", "max_length=40"])


def start_of(config=None, architecture="ElectraForPreTraining", **changes):
    return Start("folder", "folder", Path("folder"), "discriminator", config or ElectraConfig(**changes), architecture)


def test_without_a_model_the_packages_own_is_taken():
    start = plan_start(None)
    assert (start.source, start.name) == (str(embedded_folder("discriminator")), EMBEDDED_NAME)
    assert start.architecture == "ElectraForPreTraining"


def test_a_runs_export_is_taken_for_its_discriminator():
    start = plan_start(str(embedded_folder("discriminator").parent))
    assert start.source == str(embedded_folder("discriminator"))


@pytest.mark.parametrize(
    ("task", "labels", "count", "problem"),
    [
        ("sst-2", ("0", "1"), 2, "single_label_classification"),
        ("banking77", ("a", "b", "c"), 3, "single_label_classification"),
        ("sts-b", (), 1, "regression"),
        ("wnut17", ("O", "B-x", "I-x"), 3, None),
        ("squad", (), 2, None),
    ],
)
def test_the_config_gets_the_tasks_head_and_the_settings_dropout(task, labels, count, problem):
    config = task_config(start_of(num_labels=7), find_task(task), labels, SETTINGS)
    assert (config.label_count, config.problem_type) == (count, problem)
    assert config.architectures == (find_task(task).architecture,)
    assert {config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.head_dropout_prob} == {0.3}
    if labels:
        assert config.id2label == dict(enumerate(labels))


def test_a_head_is_kept_for_the_same_class_labels_and_kind_of_head_alone():
    task, labels = find_task("banking77"), ("a", "b")
    config = task_config(start_of(), task, labels, SETTINGS)
    assert start_of(config, task.architecture).keeps_head(config)
    assert not start_of(config, "ElectraForTokenClassification").keeps_head(config)
    assert not start_of(config.replace(id2label={0: "b", 1: "a"}), task.architecture).keeps_head(config)
    assert not start_of(config.replace(head="google"), task.architecture).keeps_head(config)
    anew = Start("folder", "folder", Path("folder"), "discriminator", config, task.architecture, from_scratch=True)
    assert not anew.keeps_head(config)


def test_the_tokenizer_is_told_how_long_the_runs_rows_are():
    start = plan_start(None)
    assert ElectraTokenizerFast.from_pretrained(start.source).model_max_length == 64
    assert open_tokenizer(start, max_length=40).model_max_length == 64
    assert open_tokenizer(start, max_length=300).model_max_length == 300
    with pytest.raises(ValueError, match="max_length 513 is above the 512 positions"):
        open_tokenizer(start, max_length=513)


def test_a_model_without_a_tokenizer_cannot_be_fine_tuned(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((embedded_folder("discriminator") / name).read_bytes())
    with pytest.raises(ValueError, match=r"holds no tokenizer; put its vocab\.txt there"):
        open_tokenizer(plan_start(str(tmp_path)), max_length=8)
