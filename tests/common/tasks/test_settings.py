"""The settings of fine-tuning: the paper's table 7 by the size of the network, then the task's, then the user's."""

import re

import pytest

from electra_common import ElectraConfig
from electra_common.tasks.settings import FineTuningSettings, settings_for, size_name
from electra_common.tasks.task import find_task

# Paper, table 7: learning rate and layer-wise decay; the rest is the same for all.
PAPER = {"small": (3e-4, 0.8), "base": (1e-4, 0.8), "large": (5e-5, 0.9)}


@pytest.mark.parametrize("size", PAPER)
def test_each_size_has_the_papers_values_and_no_other_sizes(size):
    width = ElectraConfig.preset(f"{size}-discriminator").hidden_size
    settings = settings_for(find_task("sst-2"), width)
    assert size_name(width) == size
    assert (settings.learning_rate, settings.layer_decay) == PAPER[size]
    assert (settings.epochs, settings.batch_size, settings.dropout) == (3, 32, 0.1)
    assert (settings.warmup_fraction, settings.weight_decay, settings.adam_epsilon) == (0.1, 0, 1e-6)


@pytest.mark.parametrize(("task", "epochs", "length"), [("rte", 10, 128), ("sts-b", 10, 128), ("squad", 2, 512),
                                                         ("squad-v2", 2, 512), ("chunking", 3, 256)])  # fmt: skip
def test_a_task_has_its_own_epochs_and_lengths(task, epochs, length):
    settings = settings_for(find_task(task), 256)
    assert (settings.epochs, settings.max_length) == (epochs, length)


def test_the_user_has_the_last_word():
    changed = settings_for(find_task("rte"), 256, ["epochs=0.5", "learning_rate=2e-5", "layer_decay_style=google"])
    assert (changed.epochs, changed.learning_rate, changed.layer_decay_style) == (0.5, 2e-5, "google")


def test_googles_head_brings_its_own_threshold_unless_one_is_given():
    squad = find_task("squad-v2")
    assert settings_for(squad, 256, ["head=google"]).null_threshold == -2.75
    assert settings_for(squad, 256, ["head=google", "null_threshold=1.5"]).null_threshold == 1.5
    assert settings_for(squad, 256).null_threshold == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("learning_rat=1e-4", "has no field 'learning_rat'; did you mean learning_rate?"),
        ("epochs=many", "epochs must be of type float, found 'many'"),
        ("batch_size=0", "batch_size must be above 0 and finite, found 0"),
        ("epochs=inf", "epochs must be above 0 and finite, found inf"),
        ("clip_norm=inf", "clip_norm must be above 0 and finite, found inf"),
        ("learning_rate=nan", "learning_rate must be above 0 and finite, found nan"),
        ("decay_power=-1", "decay_power must be at least 0 and finite, found -1"),
        ("adam_beta_1=2", "adam_beta_1 must be from 0 to below 1, found 2"),
        ("adam_beta_2=1", "adam_beta_2 must be from 0 to below 1, found 1"),
        ("max_length=7", "max_length must be 8 … 1048576, found 7"),
        ("weight_decay=inf", "weight_decay must be at least 0 and finite, found inf"),
        ("batch_size=true", "batch_size must be of type int, found True"),
        ("dropout=1.5", "dropout must be 0 … 0.99, found 1.5"),
        ("head=bert", "head must be one of transformers, google; found 'bert'"),
        ("class_weights=yes", "class_weights must be one of none, balanced; found 'yes'"),
        ("early_stopping=-1", "early_stopping must be at least 0 and finite, found -1"),
        ("epochs", "--set takes name=value, found 'epochs'"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(change, told):
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        settings_for(find_task("sst-2"), 256, [change])
    assert "\n" not in str(error.value)


def test_settings_can_be_written_down_and_made_again():
    settings = FineTuningSettings(learning_rate=3e-4, epochs=2.5, head="google")
    assert FineTuningSettings(**settings.as_dict()) == settings


@pytest.mark.parametrize(
    ("task", "change", "told"),
    [
        ("squad-v2", "null_threshold=nan", "null_threshold must be finite, found nan"),
        ("sst-2", "doc_stride=3", "doc_stride of answers alone; task sst-2 is classification"),
        (
            "squad",
            "null_threshold=1.0",
            "null_threshold is for tasks whose questions may have no answer",
        ),
        ("sts-b", "class_weights=balanced", "class_weights are of classes and tags; task sts-b is regression"),
        ("wnut17", "head=google", "for tags Google's head is transformers'"),
    ],
)
def test_what_a_task_would_not_look_at_is_refused(task, change, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        settings_for(find_task(task), 256, [change])
