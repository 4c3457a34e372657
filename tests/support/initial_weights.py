"""Whether newly drawn weights follow the scheme that `initialization.py` of both families documents."""

import math

import numpy as np

GLOROT = (
    "embeddings_project", "dense_prediction", "classifier", "out_proj", "qa_outputs", "start_classifier", "end_dense",
    "end_classifier", "impossible_dense", "impossible_classifier",
)  # fmt: skip
# A normal that is cut off at two deviations has this share of its deviation.
CUT_OFF_SHARE = 0.8796
# How many standard errors a mean or a spread may be off; the seeds are fixed, so this is no lottery.
STANDARD_ERRORS = 4.5


def assert_documented_scheme(state, config):
    """Check mean, spread and bounds of every parameter in {canonical name: array}."""
    assert state
    for name, array in state.items():
        module, _, parameter = name.rpartition(".")
        if parameter == "bias" or name.endswith("LayerNorm.weight"):
            assert np.all(array == (0 if parameter == "bias" else 1)), name
        elif module.rpartition(".")[2] in GLOROT:
            bound = math.sqrt(6 / sum(array.shape))
            _assert_drawn(name, array, deviation=bound / math.sqrt(3), bound=bound)
        else:
            drawn = array
            if name.endswith("word_embeddings.weight"):
                assert np.all(array[config.pad_token_id] == 0), name
                drawn = np.delete(array, config.pad_token_id, axis=0)
            deviation = config.initializer_range
            _assert_drawn(name, drawn, deviation=CUT_OFF_SHARE * deviation, bound=2 * deviation)


def _assert_drawn(name, array, *, deviation, bound):
    error = deviation / math.sqrt(array.size)
    assert abs(array.mean()) < STANDARD_ERRORS * error, f"{name}: mean {array.mean():.2e}"
    assert abs(array.std() - deviation) < STANDARD_ERRORS * error, f"{name}: deviation {array.std():.4f}"
    assert np.abs(array).max() <= bound * (1 + 1e-6), f"{name}: beyond {bound}"
    if array.size > 1000:
        assert np.abs(array).max() > 0.9 * bound, f"{name}: no values near {bound}"
