"""What weights bring to a run that starts from them, before any framework is there."""

import re
from pathlib import Path

import pytest

from electra_common import convert_checkpoint
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.settings import RunSettings
from electra_common.pretraining.starting import config_overrides, fresh_optimizer_named
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.google_start import SPEC

BARE = str(GOOGLE / "trained" / "model.ckpt-6")  # no config lies beside it


def overrides(*changes, start=BARE, generator=None):
    recipe = load_recipe("nano").with_changes([*SPEC, *changes])
    return config_overrides(settings_from(recipe, start, generator), recipe.configs(128))


def settings_from(recipe, start, generator=None):
    folders = {"data": Path("data"), "out": Path("run")}
    return RunSettings(**folders, recipe=recipe, start_from=start, start_generator_from=generator)


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ([], {"discriminator": 4, "generator": 1}),
        (["generator=tied"], {"discriminator": 4, "generator": 4}),
        (["generator=uniform"], {"discriminator": 4}),
        (["objective=mlm", "num_attention_heads=2"], {"generator": 2}),
    ],
)
def test_without_a_config_each_network_has_the_heads_of_the_recipe(changes, heads):
    found = overrides("dropout=0.3", *changes)
    assert found == {"num_attention_heads": heads, "hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}


def test_a_config_beside_the_weights_decides_for_the_networks_of_its_checkpoint_alone(tmp_path):
    convert_checkpoint(GOOGLE / "trained", tmp_path, format="joint", num_attention_heads=GOOGLE_HEADS)
    told = str(tmp_path)
    assert "num_attention_heads" not in overrides(start=told)
    assert overrides(start=told, generator=BARE)["num_attention_heads"] == {"generator": 1}
    assert overrides(start=BARE, generator=told)["num_attention_heads"] == {"discriminator": 4}
    (tmp_path / "generator_config.json").unlink()
    assert overrides(start=told)["num_attention_heads"] == {"generator": 1}


@pytest.mark.parametrize("resume_from", [None, Path("run/checkpoints/step-00000005")])
def test_others_state_of_adam_that_does_not_fit_names_how_to_start_without_it(resume_from):
    settings = settings_from(load_recipe("nano"), BARE)
    expected = "Adam's state does not fit"
    if resume_from is None:
        expected = f"{BARE}: {expected}; start Adam and the schedule anew with --fresh-optimizer"
    with (
        pytest.raises(ValueError, match=f"^{re.escape(expected)}$"),
        fresh_optimizer_named(settings, resume_from),
    ):
        raise ValueError("Adam's state does not fit")
