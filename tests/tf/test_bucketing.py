"""Length buckets: the same outputs as padding, from batches of few shapes."""

import numpy as np
import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD

tf = pytest.importorskip("tensorflow")

import electra_tf  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_tf.bucketing import predict_in_buckets  # noqa: E402

# Weights five times as wide as in real models. LayerNorm over ten numbers amplifies rounding: at 0.3 it now and then
# reaches the tolerance, from the order of a sum alone.
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.1, num_labels=4,
)  # fmt: skip
HEADS = ("TFElectraModel", "TFElectraForPreTraining", "TFElectraForMaskedLM", "TFElectraForSequenceClassification")


def rows_of(lengths, width=15):
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype("int64")
    return {"input_ids": np.random.default_rng(0).integers(1, 97, mask.shape) * mask, "attention_mask": mask}


@pytest.mark.parametrize("head", HEADS[1:2])
def test_each_shape_may_be_compiled(head):
    model = getattr(electra_tf, head)(CONFIG)
    inputs = rows_of([15, 1, 3])
    found = predict_in_buckets(model, inputs, boundaries=(4, 19), batch_size=2, jit_compile=True)
    real = inputs["attention_mask"] == 1
    assert_close("logits", whole_batch(model, inputs)["logits"][real], found["logits"][real], FORWARD)


def whole_batch(model, inputs):
    return {name: np.asarray(tensor) for name, tensor in model(**inputs).items()}


@pytest.mark.parametrize("head", HEADS)
def test_buckets_give_what_padding_gives(head):
    model = getattr(electra_tf, head)(CONFIG)
    inputs = rows_of([15, 1, 3, 4, 9, 2, 8, 15, 5])
    found = predict_in_buckets(model, inputs, boundaries=(4, 8, 19), batch_size=2)
    for name, expected in whole_batch(model, inputs).items():
        assert found[name].shape == expected.shape
        real = inputs["attention_mask"] == 1
        is_per_token = expected.shape[:2] == real.shape
        pair = (expected[real], found[name][real]) if is_per_token else (expected, found[name])
        assert_close(name, *pair, FORWARD)


def watch_shapes(monkeypatch, model, shapes):
    encoder = model.electra.encoder
    call = encoder.call

    def watched(states, **options):
        shapes.append(tuple(states.shape))
        return call(states, **options)

    monkeypatch.setattr(encoder, "call", watched)


def test_without_boundaries_one_program_serves_all_lengths(monkeypatch):
    model = electra_tf.TFElectraForPreTraining(CONFIG)
    shapes = []
    watch_shapes(monkeypatch, model, shapes)
    inputs = rows_of([15, 1, 3, 4, 9, 2, 8, 15, 5])
    found = predict_in_buckets(model, inputs, batch_size=2)
    assert shapes == [(None, None, 24)]
    predict_in_buckets(model, rows_of([2, 6, 11], width=13), batch_size=3)
    assert len(shapes) == 1
    real = inputs["attention_mask"] == 1
    assert_close("logits", whole_batch(model, inputs)["logits"][real], found["logits"][real], FORWARD)
    assert not found["logits"][1, 2:].any()  # beyond the batch of the rows of one token and two


def test_every_batch_has_one_of_the_few_shapes(monkeypatch):
    model = electra_tf.TFElectraForPreTraining(CONFIG)
    shapes = []
    watch_shapes(monkeypatch, model, shapes)
    predict_in_buckets(model, rows_of([15, 1, 3, 4, 9, 2, 8, 15, 5]), boundaries=(4, 8, 19), batch_size=2)
    assert set(shapes) == {(2, 4, 24), (2, 8, 24), (2, 19, 24)}
    assert len(shapes) == 3  # one trace for each
    predict_in_buckets(model, rows_of([2, 6, 11]), boundaries=(4, 8, 19), batch_size=2)
    assert len(shapes) == 3  # and none the next time


def test_buckets_see_a_new_vocabulary():
    model = electra_tf.TFElectraForMaskedLM(CONFIG)
    inputs = rows_of([4, 1, 3], width=4)
    predict_in_buckets(model, inputs, boundaries=(4,), batch_size=2)
    model.resize_token_embeddings(101)
    found = predict_in_buckets(model, inputs, boundaries=(4,), batch_size=2)
    real = inputs["attention_mask"] == 1
    assert_close("logits", whole_batch(model, inputs)["logits"][real], found["logits"][real], FORWARD)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (rows_of([15, 3]), {"boundaries": (4, 8)}, "a row has 15 tokens, but the last boundary is 8"),
        (rows_of([15, 3]), {"boundaries": (16, 8)}, "ascending"),
        (rows_of([15, 3]), {"batch_size": 0}, "at least 1"),
        ({"input_ids": np.ones((2, 3), int)}, {}, "attention_mask is needed"),
        ({**rows_of([15, 3]), "labels": np.ones(2)}, {}, r"must be \[rows, length\]"),
    ],
)
def test_what_cannot_be_is_refused(inputs, options, message):
    with pytest.raises(ValueError, match=message):
        predict_in_buckets(electra_tf.TFElectraModel(CONFIG), inputs, **options)


@pytest.mark.parametrize(
    ("head", "changes", "found"),
    [
        ("TFElectraForQuestionAnswering", {"num_labels": 2, "head": "google"}, "start_top_log_probs"),
        ("TFElectraForSequenceClassification", {"output_hidden_states": True}, "logits of this.*hidden_states/0"),
    ],
)
def test_outputs_that_are_not_for_each_token_or_row_are_refused(head, changes, found):
    model = getattr(electra_tf, head)(CONFIG.replace(**changes))
    tf.config.run_functions_eagerly(True)  # tracing takes longer than one batch
    try:
        with pytest.raises(ValueError, match=f"puts together .*{found} too"):
            predict_in_buckets(model, rows_of([3, 2], width=3))
    finally:
        tf.config.run_functions_eagerly(False)
