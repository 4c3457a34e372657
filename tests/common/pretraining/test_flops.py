"""Operations of a step, beside what Google's own script counts."""

import pytest

from electra_common.objective import PretrainingObjective
from electra_common.pretraining.flops import fastest_product, step_flops
from electra_common.pretraining.recipes import load_recipe

SIZES = (
    "embedding_size=6", "hidden_size=10", "num_hidden_layers=2", "num_attention_heads=2", "intermediate_size=14",
    "generator_hidden_size=7", "generator_num_attention_heads=1", "generator_num_hidden_layers=1",
    "generator_intermediate_size=9",
)  # fmt: skip
LENGTH, SLOTS, ROWS, VOCABULARY = 5, 3, 4, 13
# Of one row, forward: products of the discriminator's sizes, and of a generator's own.
LAYER = LENGTH * (4 * 10 * 10 + 2 * 10 * 14) + 2 * LENGTH * LENGTH * 10
ENCODER = LENGTH * 6 * 10 + 2 * LAYER
JUDGED = LENGTH * (10 * 10 + 10 * 1)
PREDICTED = SLOTS * (10 * 6 + 6 * VOCABULARY)
OWN_LAYER = LENGTH * (4 * 7 * 7 + 2 * 7 * 9) + 2 * LENGTH * LENGTH * 7
OWN_GENERATOR = LENGTH * 6 * 7 + OWN_LAYER + SLOTS * (7 * 6 + 6 * VOCABULARY)
UNTIED_GENERATOR = OWN_LAYER + SLOTS * (7 * 7 + 7 * VOCABULARY)  # its embeddings are as wide as its layers


@pytest.mark.parametrize(
    ("change", "forward"),
    [
        ("generator=own", ENCODER + JUDGED + OWN_GENERATOR),
        ("ties_embeddings=false", ENCODER + JUDGED + UNTIED_GENERATOR),
        ("generator=tied", ENCODER + JUDGED + ENCODER + PREDICTED),
        ("generator=uniform", ENCODER + JUDGED),
        ("objective=mlm", ENCODER + PREDICTED),
    ],
)
def test_tiny_networks_of_every_objective_are_counted_by_hand(change, forward):
    recipe = load_recipe("nano").with_changes([*SIZES, change])
    found = step_flops(
        *recipe.configs(VOCABULARY), recipe.pretraining_objective(), rows=ROWS, length=LENGTH, slots=SLOTS
    )
    assert found == 3 * ROWS * 2 * forward  # backward is twice forward; each product is multiplied and added


@pytest.mark.parametrize(("name", "forward"), [("small", 3.68e9), ("base", 1.22e11), ("large-400k", 3.70e11)])
def test_published_sizes_come_near_googles_count(name, forward):
    """Google's script gives these for one example forward; lookups as products are the difference."""
    recipe = load_recipe(name)
    discriminator, _ = recipe.configs(30522)
    alone = PretrainingObjective(generator="uniform")
    found = step_flops(discriminator, None, alone, rows=1, length=recipe.max_length, slots=0) / 3
    assert 0.6 < found / forward < 1.05


def test_the_fastest_turn_counts():
    assert fastest_product(lambda: 0.0, 8) > 0
