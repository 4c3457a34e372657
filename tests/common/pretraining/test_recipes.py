"""Recipes: the published runs with all their values, and errors that say what is meant."""

import pytest

from electra_common.pretraining.recipes import load_recipe, recipe_from, recipe_names

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
    assert (recipe.adam_beta_1, recipe.adam_beta_2, recipe.adam_epsilon) == (0.9, 0.999, 1e-6)
    assert (recipe.weight_decay, recipe.dropout, recipe.clip_norm) == (0.01, 0.1, 1.0)
    assert (recipe.discriminator_weight, recipe.generator_weight, recipe.temperature) == (50.0, 1.0, 1.0)


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
