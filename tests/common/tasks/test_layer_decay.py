"""Layer-wise decay by the numbers of the paper's description and of Google's ``_get_layer_lrs``."""

import pytest

from electra_common.tasks.layer_decay import layer_decay_factors

LAYERS, DECAY = 3, 0.8
NAMES = {
    "electra.embeddings.word_embeddings.weight": "embeddings",
    "electra.embeddings.LayerNorm.bias": "embeddings",
    "electra.embeddings_project.weight": "embeddings",
    "electra.encoder.layer.0.output.dense.weight": 0,
    "electra.encoder.layer.1.attention.self.query.bias": 1,
    "electra.encoder.layer.2.attention.output.LayerNorm.weight": 2,
    "classifier.out_proj.weight": "head",
    "qa_outputs.bias": "head",
    "answer_head.end_dense.weight": "head",
}


def test_in_the_paper_each_layer_moves_less_than_the_one_above_it():
    expected = {"embeddings": 0.8**4, 0: 0.8**3, 1: 0.8**2, 2: 0.8, "head": 1.0}
    assert layer_decay_factors(NAMES, LAYERS, DECAY) == {name: expected[place] for name, place in NAMES.items()}


def test_google_counts_a_pooler_that_is_not_there():
    """Google: lr * decay ** (layers + 2 - depth); embeddings have depth 0, layer i has i + 1, the head layers + 2."""
    depths = {"embeddings": 0, 0: 1, 1: 2, 2: 3, "head": LAYERS + 2}
    expected = {name: DECAY ** (LAYERS + 2 - depths[place]) for name, place in NAMES.items()}
    assert layer_decay_factors(NAMES, LAYERS, DECAY, "google") == expected


def test_without_decay_all_move_alike():
    assert set(layer_decay_factors(NAMES, LAYERS, 1.0, "google").values()) == {1.0}


def test_an_unknown_style_and_a_layer_too_many_are_refused():
    with pytest.raises(ValueError, match="one of paper, google, found 'bert'"):
        layer_decay_factors(NAMES, LAYERS, DECAY, "bert")
    with pytest.raises(ValueError, match=r"layer\.2\..* is not of an encoder of 2 layers"):
        layer_decay_factors(NAMES, 2, DECAY)
