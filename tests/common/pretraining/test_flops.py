"""Operations of a step, beside what Google's own script counts."""

import pytest

from electra_common.pretraining.flops import fastest_product, step_flops
from electra_common.pretraining.recipes import load_recipe


def test_a_tiny_network_is_counted_by_hand():
    discriminator, generator = load_recipe("nano").with_changes(
        ["embedding_size=6", "hidden_size=10", "num_hidden_layers=2", "num_attention_heads=2", "intermediate_size=14",
         "generator_hidden_size=7", "generator_num_attention_heads=1", "generator_num_hidden_layers=1",
         "generator_intermediate_size=9"]
    ).configs(13)  # fmt: skip
    length, slots, rows = 5, 3, 4
    layer = length * (4 * 10 * 10 + 2 * 10 * 14) + 2 * length * length * 10
    one = length * 6 * 10 + 2 * layer + length * 10 * 10
    other = length * 6 * 7 + length * (4 * 7 * 7 + 2 * 7 * 9) + 2 * length * length * 7 + slots * (7 * 6 + 6 * 13)
    expected = 3 * rows * 2 * (one + other)
    assert step_flops(discriminator, generator, rows=rows, length=length, slots=slots) == expected


@pytest.mark.parametrize(("name", "forward"), [("small", 3.68e9), ("base", 1.22e11), ("large-400k", 3.70e11)])
def test_published_sizes_come_near_googles_count(name, forward):
    """Google's script gives these for one example forward; lookups as products are the difference."""
    recipe = load_recipe(name)
    discriminator, _ = recipe.configs(30522)
    found = step_flops(discriminator, None, rows=1, length=recipe.max_length, slots=0) / 3
    assert 0.6 < found / forward < 1.05


def test_the_fastest_turn_counts():
    assert fastest_product(lambda: 0.0, 8) > 0
