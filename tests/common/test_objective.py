"""What can be asked for, and which configs go together with it."""

import pytest

from electra_common import ElectraConfig
from electra_common.objective import PAPER, PretrainingObjective, check_pair, generator_config_for

CONFIG = ElectraConfig(vocab_size=31, embedding_size=6, hidden_size=10, num_attention_heads=2, intermediate_size=14)
GENERATOR = CONFIG.replace(hidden_size=8, intermediate_size=12)


def test_the_default_is_the_papers():
    """Table 6: the discriminator's loss counts 50 times; one generator of its own, embeddings shared."""
    assert (PAPER.discriminator_weight, PAPER.generator_weight, PAPER.temperature) == (50, 1, 1)
    assert PAPER.shares_embeddings
    assert not PAPER.shares_encoder
    assert not PAPER.disallow_correct


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "two-tower"}, "own, uniform, tied, found 'two-tower'"),
        ({"objective": "electric"}, "electra, mlm, found 'electric'"),
        ({"temperature": 0}, "above 0"),
        ({"temperature": float("nan")}, "temperature must be a number"),
        ({"discriminator_weight": -1}, "discriminator_weight must be a number of at least 0"),
        ({"generator_weight": "1"}, "generator_weight must be a number of at least 0"),
    ],
)
def test_values_that_mean_nothing(changes, message):
    with pytest.raises(ValueError, match=message):
        PretrainingObjective(**changes)


@pytest.mark.parametrize(
    ("changes", "given", "expected"),
    [
        ({}, GENERATOR, GENERATOR),
        ({"ties_embeddings": False}, GENERATOR.replace(embedding_size=5), GENERATOR.replace(embedding_size=5)),
        ({"generator": "uniform"}, None, None),
        ({"generator": "tied"}, None, CONFIG),
        ({"objective": "mlm"}, None, CONFIG),
    ],
)
def test_the_generator_that_is_built(changes, given, expected):
    assert generator_config_for(CONFIG, given, PretrainingObjective(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({}, None, "generator='own' needs a generator_config"),
        ({"generator": "uniform"}, GENERATOR, "generator='uniform' takes no generator_config"),
        ({"objective": "mlm"}, GENERATOR, "objective='mlm', generator='own' takes no"),
        ({}, GENERATOR.replace(embedding_size=5), "embedding_size 6 and 5.*ties_embeddings=False"),
        ({"ties_embeddings": False}, GENERATOR.replace(vocab_size=29), "vocab_size is 31 .* 29"),
    ],
)
def test_configs_that_do_not_go_together(changes, given, message):
    with pytest.raises(ValueError, match=message):
        generator_config_for(CONFIG, given, PretrainingObjective(**changes))


@pytest.mark.parametrize("changes", [{}, {"generator": "tied"}, {"ties_embeddings": False}])
def test_networks_of_two_vocabularies_are_no_pair_whatever_they_share(changes):
    objective = PretrainingObjective(**changes)
    check_pair(CONFIG, GENERATOR, objective)
    with pytest.raises(ValueError, match="vocab_size"):
        check_pair(CONFIG, GENERATOR.replace(vocab_size=29), objective)
