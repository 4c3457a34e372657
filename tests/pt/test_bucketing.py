"""Length buckets: the same outputs as padding, from batches of few shapes."""

import numpy as np
import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")

import electra_pt  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_pt.bucketing import predict_in_buckets  # noqa: E402

# Weights five times as wide as in real models. LayerNorm over ten numbers amplifies rounding: at 0.3 it now and then
# reaches the tolerance, from the order of a sum alone.
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.1, num_labels=4,
)  # fmt: skip
HEADS = ("ElectraModel", "ElectraForPreTraining", "ElectraForMaskedLM", "ElectraForSequenceClassification")


def rows_of(lengths, width=15):
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype("int64")
    return {"input_ids": np.random.default_rng(0).integers(1, 97, mask.shape) * mask, "attention_mask": mask}


def whole_batch(model, inputs):
    with torch.no_grad():
        output = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in output.items()}


@pytest.mark.parametrize("head", HEADS)
def test_buckets_give_what_padding_gives(head):
    model = getattr(electra_pt, head)(CONFIG).eval()
    inputs = rows_of([15, 1, 3, 4, 9, 2, 8, 15, 5])
    found = predict_in_buckets(model, inputs, boundaries=(4, 8, 19), batch_size=2)
    for name, expected in whole_batch(model, inputs).items():
        assert found[name].shape == expected.shape
        real = inputs["attention_mask"] == 1
        is_per_token = expected.shape[:2] == real.shape
        pair = (expected[real], found[name][real]) if is_per_token else (expected, found[name])
        assert_close(name, *pair, FORWARD)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own code, on its way to a graph
def test_the_model_may_be_compiled(monkeypatch):
    compile_model, compiled = torch.compile, []
    # Through dynamo, without the C++ compiler that not every machine has.
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or compile_model(model, backend="eager"))
    model = electra_pt.ElectraForPreTraining(CONFIG).eval()
    inputs = rows_of([15, 1, 3])
    found = predict_in_buckets(model, inputs, boundaries=(4, 19), batch_size=2, jit_compile=True)
    real = inputs["attention_mask"] == 1
    assert compiled == [model]
    assert_close("logits", whole_batch(model, inputs)["logits"][real], found["logits"][real], FORWARD)


def test_every_batch_has_one_of_the_few_shapes():
    model = electra_pt.ElectraForPreTraining(CONFIG).eval()
    shapes = []
    layer = model.electra.encoder.layer[0]
    layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output[0].shape)))
    predict_in_buckets(model, rows_of([15, 1, 3, 4, 9, 2, 8, 15, 5]), boundaries=(4, 8, 19), batch_size=2)
    assert set(shapes) == {(2, 4, 24), (2, 8, 24), (2, 19, 24)}


def test_without_boundaries_a_batch_is_as_long_as_its_longest_row():
    model = electra_pt.ElectraForPreTraining(CONFIG).eval()
    shapes = []
    layer = model.electra.encoder.layer[0]
    layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output[0].shape)))
    inputs = rows_of([15, 1, 3, 4, 9, 2, 8, 15, 5])
    found = predict_in_buckets(model, inputs, batch_size=2)
    assert shapes == [(2, 2, 24), (2, 4, 24), (2, 8, 24), (2, 15, 24), (1, 15, 24)]
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
        predict_in_buckets(electra_pt.ElectraModel(CONFIG), inputs, **options)


@pytest.mark.parametrize(
    ("head", "changes", "found"),
    [
        ("ElectraForQuestionAnswering", {"num_labels": 2, "head": "google"}, "start_top_log_probs"),
        ("ElectraForSequenceClassification", {"output_hidden_states": True}, "logits of this.*hidden_states/0"),
        ("ElectraModel", {"output_attentions": True}, "hidden_states of this.*attentions/0"),
    ],
)
def test_outputs_that_are_not_for_each_token_or_row_are_refused(head, changes, found):
    model = getattr(electra_pt, head)(CONFIG.replace(**changes))
    with pytest.raises(ValueError, match=f"puts together .*{found} too"):
        predict_in_buckets(model, rows_of([3, 2], width=3))


def test_hidden_states_of_tokens_are_put_together():
    model = electra_pt.ElectraModel(CONFIG.replace(output_hidden_states=True)).eval()
    inputs = rows_of([7, 2])
    found, real = predict_in_buckets(model, inputs, batch_size=1)["hidden_states/1"], inputs["attention_mask"] == 1
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).hidden_states[1].numpy()
    assert_close("hidden states", expected[real], found[real], FORWARD)
