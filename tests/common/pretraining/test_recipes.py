"""Recipes: the published runs with all their values, and errors that say what is meant."""

from dataclasses import fields

import pytest

from electra_common.objective import PretrainingObjective
from electra_common.pretraining.masking import MaskingRules
from electra_common.pretraining.recipes import Recipe, load_recipe, recipe_from, recipe_names

# Paper, table 6, and the commented block of Google's configuration (steps of the ++ models: Google's README).
PUBLISHED = {
    #               layers hidden  ffn heads  emb  g-hid g-ffn g-heads mask  lr    warm-up  batch length  steps slots
    "small":       (12,    256,   1024,  4,   128,   64,   256,  1,   0.15, 5e-4, 10_000,  128,  128, 1_000_000, 19),
    "small-owt":   (12,    256,   1024,  4,   128,   64,   256,  1,   0.15, 5e-4, 10_000,  128,  128, 1_000_000, 19),
    "small++":     (12,    256,   1024,  4,   128,  256,  1024,  4,   0.15, 5e-4, 10_000,  128,  512, 4_000_000, 79),
    "base":        (12,    768,   3072, 12,   768,  256,  1024,  4,   0.15, 2e-4, 10_000,  256,  512,   766_000, 79),
    "base++":      (12,    768,   3072, 12,   768,  256,  1024,  4,   0.15, 2e-4, 10_000,  256,  512, 4_000_000, 79),
    "large-400k":  (24,   1024,   4096, 16,  1024,  256,  1024,  4,   0.25, 2e-4, 10_000, 2048,  512,   400_000, 130),
    "large-1.75m": (24,   1024,   4096, 16,  1024,  256,  1024,  4,   0.25, 2e-4, 10_000, 2048,  512, 1_750_000, 130),
}  # fmt: skip
# The same in all of them; of Google's, only the masking is another one (docs/fidelity).
COMMON = {
    "max_position_embeddings": 512, "dropout": 0.1, "masking": "without-replacement", "initializer_range": 0.02,
    "positions": "drawn", "decay_power": 1.0, "weight_decay": 0.01, "adam_beta_1": 0.9, "adam_beta_2": 0.999,
    "adam_epsilon": 1e-6, "clip_norm": 1.0, "discriminator_weight": 50.0, "generator_weight": 1.0, "temperature": 1.0,
    "disallow_correct": False, "generator": "own", "ties_embeddings": True, "objective": "electra",
}  # fmt: skip
OWN = {
    "summary", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "generator_hidden_size", "generator_num_hidden_layers", "generator_num_attention_heads",
    "generator_intermediate_size", "max_length", "mask_probability", "learning_rate", "warmup_steps", "steps",
    "batch_size",
}  # fmt: skip
SPECIAL_IDS = {"[PAD]": 0, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_has_its_published_values(name):
    recipe = load_recipe(name)
    discriminator, generator = recipe.configs(30522)
    rules = recipe.masking_rules(30522, SPECIAL_IDS)
    found = (
        discriminator.num_hidden_layers, discriminator.hidden_size, discriminator.intermediate_size,
        discriminator.num_attention_heads, discriminator.embedding_size, generator.hidden_size,
        generator.intermediate_size, generator.num_attention_heads, recipe.mask_probability, recipe.learning_rate,
        recipe.warmup_steps, recipe.batch_size, recipe.max_length, recipe.steps, rules.slots,
    )  # fmt: skip
    assert found == PUBLISHED[name]
    assert generator.num_hidden_layers == discriminator.num_hidden_layers
    assert generator.embedding_size == discriminator.embedding_size
    assert {field: value for field, value in recipe.as_dict().items() if field not in OWN} == COMMON


def test_sizes_and_start_of_both_networks_are_the_recipes():
    recipe = load_recipe("small").with_changes(
        ["max_position_embeddings=130", "initializer_range=0.05", "dropout=0.3", "generator_num_hidden_layers=5"]
    )
    for config in recipe.configs(97, pad_token_id=11):
        assert (config.vocab_size, config.pad_token_id, config.max_position_embeddings) == (97, 11, 130)
        assert config.initializer_range == 0.05
        assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.3, 0.3)
    assert [config.num_hidden_layers for config in recipe.configs(97)] == [12, 5]


CHANGED = {
    "discriminator_weight": 7.0, "generator_weight": 3.0, "temperature": 2.0, "disallow_correct": True,
    "generator": "tied", "ties_embeddings": False, "objective": "mlm",
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_each_field_of_the_objective_reaches_it(name):
    assert {field.name for field in fields(PretrainingObjective)} == CHANGED.keys()
    recipe = Recipe(**{**load_recipe("small").as_dict(), name: CHANGED[name]})
    assert recipe.pretraining_objective() == PretrainingObjective(**{name: CHANGED[name]})


def test_the_rules_of_masking_are_the_recipes():
    recipe = load_recipe("nano").with_changes(["mask_probability=0.2", "max_length=41", "masking=google"])
    expected = MaskingRules(
        probability=0.2, slots=8, mask_id=103, never_masked=frozenset({0, 101, 102, 103}), vocab_size=104,
        method="google",
    )  # fmt: skip
    assert recipe.masking_rules(104, SPECIAL_IDS) == expected


def test_every_recipe_states_its_own_values():
    assert {*PUBLISHED, "nano"} == set(recipe_names())
    for name in recipe_names():
        assert load_recipe(name).summary


def test_a_changed_field_keeps_its_type():
    recipe = load_recipe("nano").with_changes(["steps=1_000", "learning_rate=1", "masking=google", "dropout = 0.2"])
    assert (recipe.steps, recipe.learning_rate, recipe.masking, recipe.dropout) == (1000, 1.0, "google", 0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning_rat=1", "no field 'learning_rat'; did you mean learning_rate?"),
        ("zzz=1", "no field 'zzz'; known: summary, embedding_size"),
        ("steps=1.5", "steps must be of type int, found 1.5"),
        ("steps=true", "steps must be of type int, found True"),
        ("steps", "name=value, found 'steps'"),
        ("steps=0", "steps must be above 0, found 0"),
        ("max_length=513", "max_length 513 is above max_position_embeddings 512"),
        ("warmup_steps=70000", r"warmup_steps must be 0 … steps \(4500\), found 70000"),
        ("generator=nothing", "generator must be one of own, uniform, tied"),
        ("temperature=0", "temperature must be above 0"),
        ("learning_rate=inf", "learning_rate must be above 0, found inf"),
        ("clip_norm=nan", "clip_norm must be above 0, found nan"),
        ("decay_power=-1", "decay_power must be at least 0, found -1"),
        ("weight_decay=-0.1", "weight_decay must be at least 0"),
        ("adam_beta_2=1", "adam_beta_2 must be from 0 to below 1, found 1"),
        ("mask_probability=0", "mask_probability must be between 0 and 1, found 0"),
        ("mask_probability=nan", "mask_probability must be between 0 and 1, found nan"),
        ("dropout=nan", "dropout"),
    ],
)
def test_a_wrong_change_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        load_recipe("nano").with_changes([change])


def test_a_file_has_the_same_fields(tmp_path):
    nano = {name: value for name, value in load_recipe("nano").as_dict().items() if name != "summary"}
    file = tmp_path / "own.toml"
    file.write_text(
        "".join(
            f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"
            for name, value in nano.items()
        )
    )
    assert load_recipe(str(file)).as_dict() == {**nano, "summary": ""}
    file.write_text("stepz = 3")
    with pytest.raises(ValueError, match=r"own.toml: a recipe has no field 'stepz'; did you mean steps\?"):
        load_recipe(str(file))
    file.write_text("steps = = 3")
    with pytest.raises(ValueError, match=r"own\.toml: cannot be read as a recipe"):
        load_recipe(str(file))


def test_an_unknown_or_incomplete_recipe_is_refused():
    with pytest.raises(ValueError, match=r"no recipe 'big'; known: nano, small, small\+\+"):
        load_recipe("big")
    with pytest.raises(ValueError, match=r"here: embedding_size, hidden_size, .*dropout must be given"):
        recipe_from({"steps": 3}, "here")


def test_an_untied_generator_has_embeddings_of_its_own_width():
    _, tied = load_recipe("small").configs(97)
    _, untied = load_recipe("small").with_changes(["ties_embeddings=false"]).configs(97)
    assert (tied.embedding_size, untied.embedding_size) == (128, 64)


@pytest.mark.parametrize("change", ["generator=uniform", "generator=tied", "objective=mlm"])
def test_without_a_network_of_its_own_a_generator_has_no_config(change):
    assert load_recipe("nano").with_changes([change]).configs(97)[1] is None
