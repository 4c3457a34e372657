"""Calls outside of graphs: the layers run as one graph, and nobody can tell but by the clock."""

import copy
import pickle

import numpy as np
import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD, GRADIENT

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from electra_common import ElectraConfig  # noqa: E402
from electra_tf import (  # noqa: E402
    TFElectraForMaskedLM,
    TFElectraForPreTraining,
    TFElectraForSequenceClassification,
    TFElectraModel,
)
from electra_tf.pretrained import canonical_state  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.1,
)  # fmt: skip
# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
KERAS_ARRAYS = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
IDS = np.arange(1, 27, dtype="int32").reshape(2, 13)
MASK = np.array([[1] * 13, [1] * 5 + [0] * 8], "int32")


def watched(model, monkeypatch):
    """Return a list that grows whenever Python runs through the last layer: at a trace, or layer by layer."""
    calls = []
    layer = encoder(model).layer[-1].intermediate
    call = layer.call
    monkeypatch.setattr(layer, "call", lambda states: calls.append(tuple(states.shape)) or call(states))
    return calls


def encoder(model):
    return getattr(model, "electra", model).encoder


def one_by_one(model, *inputs, **options):
    """What the model gives where no graph has a part in it."""
    model.run_eagerly = True
    try:
        return model(*inputs, **options)
    finally:
        model.run_eagerly = False


def assert_as_one_by_one(model, *inputs):
    assert_close("output", one_by_one(model, *inputs)[0], model(*inputs)[0], FORWARD)


def test_one_trace_serves_all_shapes(monkeypatch):
    model = TFElectraForPreTraining(CONFIG)
    calls = watched(model, monkeypatch)
    model(IDS, MASK)
    assert calls == [(None, 24)]
    for ids, mask in ((IDS, MASK), (IDS[:1, :7], MASK[1:, :7]), (np.full((5, 3), 8), np.tril(np.ones((5, 3), int)))):
        found = model(ids, mask).logits
        assert len(calls) == 1
        assert_close("logits", model(ids, mask, output_hidden_states=True).logits, found, FORWARD)
        calls.pop()
    model(IDS)  # without a mask attention has one operation less
    model(IDS, np.ones_like(MASK))
    model(IDS[:, None, 2], np.ones((2, 1)))  # a sequence of one token
    assert len(calls) == 2


def test_run_eagerly_runs_layer_by_layer(monkeypatch):
    model = TFElectraForPreTraining(CONFIG)
    calls = watched(model, monkeypatch)
    model.run_eagerly = True
    model(IDS, MASK)
    model({"input_ids": IDS, "attention_mask": MASK})
    assert calls == [(26, 24)] * 2
    model.run_eagerly = False
    model.compile(run_eagerly=True)
    model.predict({"input_ids": IDS, "attention_mask": MASK}, verbose=0)
    assert calls == [(26, 24)] * 3
    model.compile()
    model(IDS, MASK)
    model(IDS, MASK)
    assert calls == [(26, 24)] * 3 + [(None, 24)]


def test_functions_that_run_eagerly_do_so_in_models_too(monkeypatch):
    model = TFElectraModel(CONFIG)
    calls = watched(model, monkeypatch)
    tf.config.run_functions_eagerly(True)
    try:
        model(IDS)
    finally:
        tf.config.run_functions_eagerly(False)
    assert calls == [(26, 24)]


def test_who_looks_inside_gets_what_gradients_go_through(monkeypatch):
    model = TFElectraForSequenceClassification(CONFIG)
    calls = watched(model, monkeypatch)
    with tf.GradientTape() as tape:
        output = model(IDS, MASK, output_hidden_states=True, output_attentions=True)
    gradients = tape.gradient(output.logits, [output.hidden_states[1], output.attentions[0]])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    model(IDS, MASK, training=True)
    assert calls == [(2, 13, 24), (26, 24)]


# Changes --------------------------------------------------------------------------------------------------------------


def assign(model):
    kernel = encoder(model).layer[0].intermediate.dense.kernel
    kernel.assign(np.random.default_rng(0).normal(size=(24, 40)))


def add_low_rank_weights(model):
    value = encoder(model).layer[1].attention.self_attention.value
    value.enable_lora(2)
    value.lora_kernel_b.assign(np.ones((2, 24)))


def replace_layer(model):
    encoder(model).layer[1] = encoder(model).layer[0]


def replace_activation(model):
    encoder(model).layer[0].intermediate.activation = keras.ops.relu


def replace_epsilon(model):
    encoder(model).layer[1].residual_output.LayerNorm.epsilon = 0.5


def wrap_call(model):
    layer = encoder(model).layer[0].residual_output
    call = layer.call
    layer.call = lambda *arguments, **options: 2 * call(*arguments, **options)


CHANGES = (assign, add_low_rank_weights, replace_layer, replace_activation, replace_epsilon, wrap_call)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_layer_is_seen(change):
    model = TFElectraModel(CONFIG)
    before = model(IDS, MASK)[0]
    change(model)
    assert np.abs(before - model(IDS, MASK)[0]).max() > 1e-3
    assert_as_one_by_one(model, IDS, MASK)


def test_changes_outside_of_the_layers_need_no_new_trace(monkeypatch):
    model = TFElectraForMaskedLM(CONFIG)
    calls = watched(model, monkeypatch)
    model(IDS)
    model.resize_token_embeddings(120)
    model.set_input_embeddings(model.get_input_embeddings())
    assert model(IDS).logits.shape == (2, 13, 120)
    model(IDS, training=True)
    del calls[1:]
    assert_as_one_by_one(model, IDS)
    assert calls == [(None, 24), (26, 24)]


def test_fitting_changes_numbers_and_needs_no_new_trace(monkeypatch):
    model = TFElectraForPreTraining(CONFIG)
    calls = watched(model, monkeypatch)
    before = model(IDS).logits
    model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
    model.fit({"input_ids": IDS, "labels": np.ones((2, 13))}, verbose=0)
    del calls[1:]
    assert np.abs(before - model(IDS).logits).max() > 1e-3
    assert len(calls) == 1
    assert_as_one_by_one(model, IDS)


@pytest.mark.parametrize("is_frozen_first", [True, False])
def test_gradients_flow_also_after_freezing_and_unfreezing(is_frozen_first):
    model = TFElectraForSequenceClassification(CONFIG)

    def gradients(call):
        variables = list(canonical_state(model).values())
        with tf.GradientTape() as tape:
            loss = call(IDS, MASK, labels=np.array([0, 1])).loss
        return [None if item is None else tf.convert_to_tensor(item) for item in tape.gradient(loss, variables)]

    for is_frozen in (is_frozen_first, not is_frozen_first):
        model.freeze() if is_frozen else model.unfreeze()
        expected = gradients(lambda *inputs, **options: one_by_one(model, *inputs, **options))
        for name, one, other in zip(canonical_state(model), expected, gradients(model), strict=True):
            assert (one is None) == (other is None), name
            if one is not None:
                assert_close(name, one, other, GRADIENT)


# Copies, files and others ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(KERAS_ARRAYS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_go_their_own_way(duplicate):
    model = TFElectraForPreTraining(CONFIG)
    before = model(IDS).logits
    other = duplicate(model)
    assert_close("copy", before, other(IDS).logits, FORWARD)
    assign(other)
    assert np.abs(before - other(IDS).logits).max() > 1e-3
    assert_close("original", before, model(IDS).logits, 0.0)


def test_a_layer_is_copied_without_what_was_traced():
    model = TFElectraModel(CONFIG)
    model(IDS)
    program = copy.copy(encoder(model)._program)
    assert not program._traced
    assert encoder(model)._program._traced


@pytest.mark.filterwarnings(KERAS_ARRAYS)
def test_a_called_model_is_saved_and_exported(tmp_path):
    model = TFElectraForPreTraining(CONFIG)
    expected = model(IDS).logits
    model.save(tmp_path / "model.keras")
    assert_close("file", expected, keras.saving.load_model(tmp_path / "model.keras")(IDS).logits, FORWARD)
    model.export(str(tmp_path / "saved"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    inputs = {"input_ids": IDS, "attention_mask": np.ones_like(IDS), "token_type_ids": np.zeros_like(IDS)}
    logits = served(**{name: tf.constant(array) for name, array in inputs.items()})["logits"]
    assert_close("export", expected, logits, FORWARD)


def test_models_inside_of_models_and_graphs(monkeypatch):
    inner = TFElectraModel(CONFIG)
    calls = watched(inner, monkeypatch)
    ids = keras.Input((None,), dtype="int32")
    outer = keras.Model(ids, keras.layers.Dense(3)(inner(ids).last_hidden_state))
    del calls[:]
    found = outer(IDS)
    outer(IDS)
    assert calls == [(None, 24)]
    graph = tf.function(lambda ids: outer(ids))
    assert_close("graph", found, graph(tf.constant(IDS)), FORWARD)
    assert_close("predicted", found, outer.predict(IDS, verbose=0), FORWARD)
    outer(IDS, training=True)
    assert calls[-1] == (26, 24)


def test_other_values_in_the_place_of_the_variables_are_used():
    model = TFElectraModel(CONFIG)
    model(IDS)
    values = [variable + 0.1 for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    output, _ = model.stateless_call(values, others, IDS)
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)
    assert_close("stateless", model(IDS)[0], output[0], FORWARD)


def test_a_strategy_has_its_own_variables():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = TFElectraModel(CONFIG)
    expected = model(IDS)[0]
    found = strategy.run(lambda: model(IDS)[0])
    assert_close("replica", expected, found, FORWARD)


def test_precision_is_that_of_the_policy():
    model = TFElectraModel(CONFIG, dtype="mixed_bfloat16")
    for mask in (MASK, None):
        output = model(IDS, mask)[0]
        assert output.dtype == "bfloat16"
        expected = one_by_one(model, IDS, mask)[0]
        # Two programs may round the same sum differently, to eight bits.
        assert np.abs(tf.cast(output - expected, "float32")).max() < 0.1


@pytest.mark.parametrize(("inputs", "message"), [
    ({"input_ids": np.array([[97]])}, "input_ids must be from 0 to 96"),
    ({"input_ids": np.ones((1, 20), "int32")}, "20.*19"),
    ({"input_ids": IDS, "inputs_embeds": np.ones((2, 13, 10))}, "either input_ids or inputs_embeds"),
])  # fmt: skip
def test_errors_are_the_same_after_a_trace(inputs, message):
    model = TFElectraModel(CONFIG)
    model(IDS)
    with pytest.raises(ValueError, match=message):
        model(**inputs)
