"""Padding-free: a packed layout gives what padding gives, and a sequence never sees another one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.assertions import assert_close
from support.tolerances import FORWARD, GRADIENT

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import electra_tf  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_tf import TFElectraForMultipleChoice, TFElectraForPreTraining, TFElectraModel  # noqa: E402
from electra_tf.layout import FirstTokensLayout, PackedLayout  # noqa: E402
from electra_tf.pretrained import canonical_state  # noqa: E402

# Weights five times as wide as in real models. LayerNorm over ten numbers amplifies rounding: at 0.3 it now and then
# reaches the tolerance, from the order of a sum alone.
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.1, num_labels=2,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, summary_last_dropout=0.0,
)  # fmt: skip
LENGTH = 19
TOKEN_HEADS = (
    "TFElectraModel",
    "TFElectraForPreTraining",
    "TFElectraForMaskedLM",
    "TFElectraForTokenClassification",
)
HEADS = (*TOKEN_HEADS, "TFElectraForSequenceClassification", "TFElectraForMultipleChoice")
# 1 and the maximum are always there.
LENGTHS = st.lists(st.integers(1, LENGTH), max_size=4).flatmap(lambda some: st.permutations([*some, 1, LENGTH]))


@pytest.fixture(scope="module")
def models():
    """Make each model once: Keras takes longer for that than for a call."""
    keras.utils.set_random_seed(4)
    return {head: getattr(electra_tf, head)(CONFIG) for head in (*HEADS, "TFElectraForQuestionAnswering")}


def batch_of(lengths, head="", seed=0):
    """Return (inputs, mask, labels) with rows of these lengths; of multiple choice, two choices a row."""
    random = np.random.default_rng(seed)
    mask = (np.arange(LENGTH)[None] < np.array(lengths)[:, None]).astype("int32")
    if head == "TFElectraForMultipleChoice":
        mask = np.stack([mask, mask[::-1]], 1)  # [batch, choices, length]
    inputs = {
        "input_ids": random.integers(1, 97, mask.shape).astype("int32"),
        "token_type_ids": random.integers(0, 2, mask.shape).astype("int32"),
    }
    if head == "TFElectraModel":
        return inputs, mask, {}
    if head in TOKEN_HEADS:
        wide = random.integers(0, 2, mask.shape).astype("int32")
        return inputs, mask, {"labels": wide if head.endswith("PreTraining") else np.where(mask == 1, wide, -100)}
    return inputs, mask, {"labels": random.integers(0, 2, len(lengths)).astype("int32")}


def at_real_tokens(tensor, mask):
    array = np.asarray(tensor)
    return array[mask == 1] if array.shape[:2] == mask.shape else array


def run(model, output_hidden_states=True, **arguments):
    """Return (output, gradients by canonical name)."""
    with tf.GradientTape() as tape:
        output = model(**arguments, output_hidden_states=output_hidden_states)
    if "loss" not in output:
        return output, {}
    state = canonical_state(model)
    found = tape.gradient(output.loss, list(state.values()))
    return output, {name: tf.convert_to_tensor(item) for name, item in zip(state, found, strict=True)}


@pytest.mark.parametrize("head", HEADS)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_packed_equals_padded(models, head, lengths):
    model = models[head]
    inputs, mask, labels = batch_of(lengths, head)
    padded, expected = run(model, **inputs, attention_mask=mask, **labels)
    packed, gradients = run(model, **inputs, **labels, layout=PackedLayout.from_mask(mask))
    real = mask.reshape(-1, LENGTH)
    for name, tensor in padded.flat().items():
        assert_close(name, at_real_tokens(tensor, real), at_real_tokens(packed.flat()[name], real), FORWARD)
    assert bool(gradients) == bool(labels)
    for name, gradient in gradients.items():
        assert_close(name, expected[name], gradient, GRADIENT)


FIRST_TOKEN_HEADS = ("TFElectraForSequenceClassification", "TFElectraForMultipleChoice")


@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("head", FIRST_TOKEN_HEADS)
@settings(max_examples=3, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_first_tokens_alone_give_the_same(models, head, recomputes, lengths):
    model = models[head]
    inputs, mask, labels = batch_of(lengths, head)
    layout = FirstTokensLayout.from_mask(mask)
    model.electra.encoder.recomputes = recomputes
    try:
        padded, expected = run(model, **inputs, attention_mask=mask, **labels, output_hidden_states=False)
        found, gradients = run(model, **inputs, **labels, layout=layout, output_hidden_states=False, training=True)
    finally:
        model.electra.encoder.recomputes = False
    assert_close("logits", padded.logits, found.logits, FORWARD)
    assert gradients
    for name, gradient in gradients.items():
        assert_close(name, expected[name], gradient, GRADIENT)
    if head == FIRST_TOKEN_HEADS[0]:
        row = model(**{name: layout.pack(tensor) for name, tensor in inputs.items()}, layout=layout)
        assert_close("packed", padded.logits, row.logits, FORWARD)


def test_first_tokens_alone_are_computed_by_the_last_layer(models):
    model = models["TFElectraModel"]
    inputs, mask, _ = batch_of([19, 1, 7])
    layout = FirstTokensLayout.from_mask(mask)
    padded = model(**inputs, attention_mask=mask, output_hidden_states=True)
    assert layout.last_queries(layout.pack(padded.last_hidden_state)).shape == (3, 24)
    first = model(**inputs, layout=layout).last_hidden_state
    assert first.shape == (3, 1, 24)
    assert_close("first", padded.last_hidden_state[:, :1], first, FORWARD)
    whole = model(**inputs, layout=layout, output_hidden_states=True)
    for number, states in enumerate(padded.hidden_states):
        expected, found = (np.asarray(item)[mask == 1] for item in (states, whole.hidden_states[number]))
        assert_close(f"layer {number}", expected, found, FORWARD)


@pytest.mark.parametrize("head", [*HEADS[:-1], "TFElectraForQuestionAnswering"])
@settings(max_examples=3, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_packed_inputs_give_packed_outputs(models, head, lengths):
    inputs, mask, labels = batch_of(lengths, head)
    if head == "TFElectraForQuestionAnswering":
        labels = {"start_positions": np.zeros(len(lengths), "int32"), "end_positions": np.array(lengths) - 1}
    layout = PackedLayout.from_mask(mask)
    expected = models[head](**inputs, **labels, layout=layout)
    packed_inputs = {name: layout.pack(tensor) for name, tensor in inputs.items()}
    packed_labels = {name: layout.pack(tensor) if tensor.ndim > 1 else tensor for name, tensor in labels.items()}
    found = models[head](**packed_inputs, **packed_labels, layout=layout)
    for name, tensor in expected.items():
        wanted = layout.pack(tensor) if tuple(tensor.shape[:2]) == mask.shape else tensor
        assert_close(name, wanted, found[name], FORWARD)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(lengths=LENGTHS, seed=st.integers(0, 1000))
def test_a_row_never_depends_on_its_neighbours(models, lengths, seed):
    model = models["TFElectraForPreTraining"]
    (inputs, mask, _), (others, _, _) = batch_of(lengths, seed=seed), batch_of(lengths, seed=seed + 1)
    whole = model(**inputs, layout=PackedLayout.from_mask(mask)).logits
    for row, length in enumerate(lengths):
        kept = np.arange(len(lengths))[:, None] == row
        mixed = {name: np.where(kept, tensor, others[name]) for name, tensor in inputs.items()}
        among_others = model(**mixed, layout=PackedLayout.from_mask(mask)).logits
        alone = model(**{name: tensor[row : row + 1, :length] for name, tensor in inputs.items()}).logits
        assert_close("among others", whole[row, :length], among_others[row, :length], FORWARD)
        assert_close("alone", alone[0], whole[row, :length], FORWARD)


def test_real_tokens_may_stand_anywhere_in_a_row(models):
    inputs, _, _ = batch_of([19] * 4)
    mask = np.zeros((4, LENGTH), "int32")
    mask[0, 12:] = mask[1, ::3] = mask[2, 5] = mask[3] = 1
    model = models["TFElectraModel"]
    padded = np.asarray(model(**inputs, attention_mask=mask).last_hidden_state)
    packed = np.asarray(model(**inputs, layout=PackedLayout.from_mask(mask)).last_hidden_state)
    assert_close("real tokens", padded[mask == 1], packed[mask == 1], FORWARD)
    assert np.count_nonzero(packed[mask == 0]) == 0


def test_answers_are_sought_among_real_tokens_alone(models):
    """The loss is the mean of what each row has by itself, without padding."""
    model = models["TFElectraForQuestionAnswering"]
    lengths = [19, 1, 7]
    inputs, mask, _ = batch_of(lengths)
    positions = {"start_positions": np.array([3, 0, 2]), "end_positions": np.array([18, 0, 40])}
    found = model(**inputs, **positions, layout=PackedLayout.from_mask(mask))
    padded = model(**inputs, attention_mask=mask)
    losses = {"start": [], "end": []}
    for row, length in enumerate(lengths):
        for name, own in losses.items():
            logits, place = np.asarray(padded[f"{name}_logits"])[row, :length], positions[f"{name}_positions"][row]
            own += [np.log(np.exp(logits).sum()) - logits[place]] if place < LENGTH else []
    assert_close("loss", (sum(losses["start"]) / 3 + sum(losses["end"]) / 2) / 2, found.loss, FORWARD)


def test_a_row_put_together_elsewhere_keeps_its_order(models):
    lengths = [4, 2, 2, 7, 1]
    layout = PackedLayout.from_lengths(lengths)
    row = np.arange(1, 17)
    parts = np.split(row, np.cumsum(lengths)[:-1])
    padded = np.asarray(layout.unpack(tf.constant(row)))
    assert [line[line > 0].tolist() for line in padded] == [part.tolist() for part in parts]
    assert np.array_equal(layout.pack(padded), row)
    assert np.asarray(layout.first(row)).tolist() == [1, 5, 7, 9, 16]
    found = models["TFElectraModel"](row, layout=layout).last_hidden_state
    expected = np.concatenate([models["TFElectraModel"](part[None]).last_hidden_state[0] for part in parts])
    assert_close("row", expected, found, FORWARD)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_layout_is_a_constant_of_a_graph(models, jit_compile):
    inputs, mask, _ = batch_of([19, 1, 7])
    layout = PackedLayout.from_mask(mask)
    model = models["TFElectraForPreTraining"]
    graph = tf.function(lambda ids: model(ids, layout=layout).logits, jit_compile=jit_compile)
    expected = np.asarray(model(inputs["input_ids"], mask).logits)
    found = np.asarray(graph(inputs["input_ids"]))
    assert_close("logits", expected[mask == 1], found[mask == 1], FORWARD)
    with pytest.raises(ValueError, match="outside of the graph"):
        tf.function(PackedLayout.from_mask)(mask)


def test_fewer_tokens_are_computed(models, monkeypatch):
    model, seen = models["TFElectraModel"], []
    layer = model.encoder.layer[0].intermediate
    call = layer.call
    monkeypatch.setattr(layer, "call", lambda states: seen.append(tuple(states.shape)) or call(states))
    inputs, mask, _ = batch_of([19, 1, 7])
    model(**inputs, layout=PackedLayout.from_mask(mask))
    assert seen == [(27, 24)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, ids, mask: m(ids, mask, layout=PackedLayout.from_mask(mask)), "leave attention_mask out"),
        (lambda m, ids, mask: m(ids, layout=PackedLayout.from_mask(mask), output_attentions=True), "no attention maps"),
        (lambda m, ids, mask: m(ids[0]), r"must be \[batch, length\], found \[19\]: a packed row needs its layout"),
        (lambda m, ids, mask: m(ids, layout=PackedLayout.from_mask(mask * 0)), "row 0 has no real token"),
        (lambda m, ids, mask: PackedLayout.from_lengths([3, 0]), r"at least 1, found \[3, 0\]"),
        (lambda m, ids, mask: PackedLayout.from_lengths([3], "cuda"), "device must be None in TensorFlow"),
    ],
)
def test_what_cannot_be_is_refused(models, call, message):
    inputs, mask, _ = batch_of([19, 3])
    with pytest.raises(ValueError, match=message):
        call(models["TFElectraModel"], inputs["input_ids"], mask)


def test_a_summary_that_counts_padding_is_refused():
    inputs, mask, _ = batch_of([19, 3], "TFElectraForMultipleChoice")
    model = TFElectraForMultipleChoice(CONFIG.replace(summary_type="mean"))
    with pytest.raises(ValueError, match="'mean' counts padding"):
        model(**inputs, layout=PackedLayout.from_mask(mask))


def test_it_trains_with_dropout_and_recomputation():
    config = CONFIG.replace(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    model = TFElectraForPreTraining(config)
    inputs, mask, labels = batch_of([19, 1, 7], "TFElectraForPreTraining")
    arguments = {**inputs, **labels, "layout": PackedLayout.from_mask(mask), "training": True}
    results = []
    for recomputes in (False, True):
        if recomputes:
            model.gradient_checkpointing_enable()
        for variable in model.variables:
            if "seed_generator" in variable.path:
                variable.assign([7, 0])
        results.append(run(model, **arguments)[1])
    for name, gradient in results[0].items():
        assert_close(name, gradient, results[1][name], GRADIENT)
    assert TFElectraModel(config)(**inputs, layout=PackedLayout.from_mask(mask)).last_hidden_state.shape == (3, 19, 24)
