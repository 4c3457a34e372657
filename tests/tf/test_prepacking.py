"""Prepacked weights: the same answers from constants, no training, and a way back."""

import copy
import pickle

import numpy as np
import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import electra_tf  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_tf import PackedLayout, prepacking  # noqa: E402
from electra_tf.bucketing import predict_in_buckets  # noqa: E402
from electra_tf.prepacking import prepack_weights, undo_prepacking  # noqa: E402

# All but the joint model, which is for training, and the decoder, whose layers are no program.
HEADS = sorted(
    name
    for name in electra_tf.__all__
    if name == "TFElectraModel"
    or (name.startswith("TFElectraFor") and not name.endswith(("JointPreTraining", "CausalLM")))
)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
KERAS_ARRAYS = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
IDS = np.arange(1, 27, dtype="int32").reshape(2, 13)
MASK = np.array([[1] * 13, [1] * 5 + [0] * 8], "int32")
INPUTS = {"input_ids": IDS, "attention_mask": MASK}
MATRICES_OF_A_LAYER = 6


def discriminator(config=CONFIG):
    return electra_tf.TFElectraForPreTraining(config)


def graph_of(model):
    return tf.function(lambda ids, mask: model(ids, mask, training=False)[0])


def constants(graph):
    """Return how many weight matrices stand in a graph, in its functions too."""
    definition = graph.get_concrete_function(IDS, MASK).graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    shapes = [
        [size.size for size in node.attr["value"].tensor.tensor_shape.dim] for node in nodes if node.op == "Const"
    ]
    return sum(shape in ([24, 24], [24, 40], [40, 24]) for shape in shapes)


@pytest.mark.parametrize("head", HEADS)
def test_outputs_stay_the_same(head):
    model = getattr(electra_tf, head)(CONFIG)
    shape = (2, 1, 13) if head == "TFElectraForMultipleChoice" else (2, 13)
    inputs = {name: array.reshape(shape) for name, array in INPUTS.items()}
    expected = model(**inputs)
    prepack_weights(model)
    found = model(**inputs)
    assert type(expected) is type(found)
    assert list(expected) == list(found)
    for name, tensor in expected.items():
        assert_close(name, tensor, found[name], FORWARD)


def test_large_products_are_convolutions_with_the_same_outputs(monkeypatch):
    monkeypatch.setattr(prepacking, "_LARGE", 24 * 40)  # all but that of attention's output
    model = discriminator()
    model.electra.encoder.layer[0].residual_output.dense.activation = keras.ops.tanh  # somebody's own change
    expected = model(IDS, MASK).logits
    prepack_weights(model)
    assert_close("outside of graphs", expected, model(IDS, MASK).logits, FORWARD)
    graph = graph_of(model)
    assert_close("in a graph", expected, graph(IDS, MASK), FORWARD)
    definition = graph.get_concrete_function(IDS, MASK).graph.as_graph_def()
    operations = [node.op for function in definition.library.function for node in function.node_def]
    assert operations.count("Conv2D") == 3, "queries, keys and values are one product"
    assert operations.count("MatMul") == 1
    undo_prepacking(model)
    assert_close("undone", expected, model(IDS, MASK).logits, FORWARD)


def bend_the_keys(layer):
    layer.attention.self_attention.key.activation = keras.ops.tanh


def leave_a_shift_out(layer):
    layer.residual_output.LayerNorm.beta = None


def narrow_the_queries(layer):
    layer.attention.self_attention.query.enable_lora(2)
    layer.attention.self_attention.query.lora_kernel_b.assign(np.full((2, 24), 0.5, "float32"))


@pytest.mark.parametrize("change", [bend_the_keys, leave_a_shift_out, narrow_the_queries])
def test_a_layer_that_somebody_changed_is_computed_as_it_is(change):
    model = discriminator()
    for weight in model.weights:
        weight.assign(weight + 0.125)  # biases and shifts are 0 in a new model
    before = model(IDS, MASK).logits
    change(model.electra.encoder.layer[0])
    expected = model(IDS, MASK).logits
    assert np.abs(before - expected).max() > 1e-3
    prepack_weights(model)
    assert_close("outside of graphs", expected, model(IDS, MASK).logits, FORWARD)
    assert_close("in a graph", expected, graph_of(model)(IDS, MASK), FORWARD)


def test_one_copy_serves_all_lengths_in_graphs_and_outside_of_them(monkeypatch):
    model = discriminator()
    shapes = [(2, 13), (1, 1), (3, 7), (1, 19)]
    inputs = [(np.full(shape, 8, "int32"), np.tril(np.ones(shape, "int32"))) for shape in shapes]
    expected = [model(*pair).logits for pair in inputs]
    prepack_weights(model)
    calls = []
    layer = model.electra.encoder.layer[0].intermediate
    call = layer.call
    monkeypatch.setattr(layer, "call", lambda states: calls.append(1) or call(states))
    graph = graph_of(model)
    for pair, logits in zip(inputs, expected, strict=True):
        assert_close("graph", logits, graph(*pair), FORWARD)
        assert_close("eager", logits, model(*pair).logits, FORWARD)
    # With padding and, for the row of one token where that can be seen outside of graphs, without.
    assert calls == [1, 1]


def test_weights_stand_in_graphs_as_constants_until_it_is_undone():
    model = discriminator()
    assert constants(graph_of(model)) == 0
    prepack_weights(model)
    assert constants(graph_of(model)) == MATRICES_OF_A_LAYER
    undo_prepacking(model)
    assert constants(graph_of(model)) == 0


def test_predicting_and_buckets_begin_anew():
    model = discriminator()
    model.jit_compile = False
    expected = model.predict(INPUTS, verbose=0)["logits"]
    bucketed = predict_in_buckets(model, INPUTS)["logits"]
    for change in (prepack_weights, undo_prepacking):
        change(model)
        assert model.predict_function is None
        assert not model.__dict__.get("kept_programs")
        assert_close("predicted", expected, model.predict(INPUTS, verbose=0)["logits"], FORWARD)
        assert_close("bucketed", bucketed, predict_in_buckets(model, INPUTS)["logits"], FORWARD)


def test_labels_and_embeddings_and_positions_are_taken_too():
    model = discriminator()
    inputs = {
        "inputs_embeds": np.random.default_rng(0).normal(size=(2, 13, 10)).astype("float32"),
        "position_ids": IDS[:, ::-1] % 19,
        "labels": IDS % 2,
        "attention_mask": MASK,
    }
    expected = model(**inputs)
    prepack_weights(model)
    for name, tensor in expected.items():
        assert_close(name, tensor, model(**inputs)[name], FORWARD)


def test_variables_stay_what_they_are():
    model = discriminator()
    weights = list(model.weights)
    prepack_weights(model)
    assert all(one is other for one, other in zip(weights, model.weights, strict=True))


@pytest.mark.filterwarnings(KERAS_ARRAYS)
def test_saving_and_copying_go_through_the_variables(tmp_path):
    model = discriminator()
    prepack_weights(model)
    expected = model(IDS).logits
    model.save_pretrained(tmp_path)
    model.save(tmp_path / "model.keras")
    again = electra_tf.TFElectraForPreTraining.from_pretrained(tmp_path)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    signature = [{"input_ids": tf.TensorSpec((None, None), "int32", name="input_ids")}]
    model.export(str(tmp_path / "saved"), input_signature=signature, verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert_close("export", expected, served(input_ids=tf.constant(IDS))["logits"], FORWARD)
    for other in (again, loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert constants(graph_of(other)) == 0
        assert_close("logits", expected, other(IDS).logits, FORWARD)
        other.electra.encoder.weights[0].assign(np.zeros((24, 24)))


def test_a_weight_added_to_a_layer_is_part_of_it():
    model = discriminator()
    prepack_weights(model)
    before = model(IDS).logits
    value = model.electra.encoder.layer[0].attention.self_attention.value
    value.enable_lora(2)
    value.lora_kernel_b.assign(np.ones((2, 24)))
    found = model(IDS).logits
    assert np.abs(before - found).max() > 1e-3
    with pytest.raises(RuntimeError, match="must not change"):
        value.lora_kernel_b.assign(np.zeros((2, 24)))
    undo_prepacking(model)
    assert_close("logits", model(IDS).logits, found, FORWARD)


def test_a_model_around_it_is_prepacked():
    inner = electra_tf.TFElectraModel(CONFIG)
    ids = keras.Input((None,), dtype="int32")
    outer = keras.Model(ids, inner(ids).last_hidden_state)
    expected = outer(IDS)
    prepack_weights(outer)
    assert constants(graph_of(inner)) == MATRICES_OF_A_LAYER
    assert_close("states", expected, outer(IDS), FORWARD)


# Refused --------------------------------------------------------------------------------------------------------------


def test_training_is_refused_until_it_is_undone():
    model = discriminator()
    model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
    prepack_weights(model)
    with pytest.raises(RuntimeError, match=r"does not train.*undo_prepacking"):
        model(IDS, training=True)
    with pytest.raises(RuntimeError, match=r"does not train.*undo_prepacking"):
        model.fit({**INPUTS, "labels": IDS % 2}, verbose=0)
    undo_prepacking(model)
    before = model(IDS).logits
    model.fit({**INPUTS, "labels": IDS % 2}, verbose=0)
    assert np.abs(before - model(IDS).logits).max() > 1e-3


@pytest.mark.parametrize("is_graph", [False, True])
def test_gradients_are_refused(is_graph):
    model = discriminator()
    prepack_weights(model)
    call = graph_of(model) if is_graph else lambda ids, mask: model(ids, mask)[0]
    with pytest.raises(LookupError, match=r"no gradients.*undo_prepacking"), tf.GradientTape() as tape:
        tape.gradient(call(IDS, MASK), model.trainable_variables)


@pytest.mark.filterwarnings(KERAS_ARRAYS)
def test_weights_that_change_are_refused_until_it_is_undone(tmp_path):
    model, other = discriminator(), discriminator()
    other.save_weights(tmp_path / "other.weights.h5")
    prepack_weights(model)
    model(IDS)
    weight = model.electra.encoder.weights[0]
    for change in (
        lambda: weight.assign(np.zeros((24, 24))),
        lambda: weight.assign_add(np.ones((24, 24))),
        lambda: model.set_weights(other.get_weights()),
    ):
        with pytest.raises(RuntimeError, match=r"must not change.*undo_prepacking"):
            change()
    with pytest.raises(ValueError, match="could not be loaded"):  # Keras reports it in its own words
        model.load_weights(tmp_path / "other.weights.h5")
    undo_prepacking(model)
    model.load_weights(tmp_path / "other.weights.h5")
    expected = other(IDS).logits
    prepack_weights(model)
    assert_close("logits", expected, model(IDS).logits, FORWARD)


def test_other_dtypes_and_other_models_are_refused():
    with pytest.raises(ValueError, match=r"expects weights in float32 on the CPU, found bfloat16 on .*CPU"):
        prepack_weights(electra_tf.TFElectraModel(CONFIG, dtype="bfloat16"))
    with pytest.raises(ValueError, match="without any of its encoders"):
        prepack_weights(keras.layers.Dense(3))
    with pytest.raises(ValueError, match="without any of its encoders"):
        prepack_weights(electra_tf.TFElectraForCausalLM(CONFIG.replace(is_decoder=True)))
    joint = electra_tf.TFElectraForJointPreTraining(CONFIG, CONFIG)
    with pytest.raises(ValueError, match="found a joint one, which is for training"):
        prepack_weights(joint)


# Where the variables are used -----------------------------------------------------------------------------------------


def test_other_ways_to_compute_use_the_variables():
    model = discriminator()
    layout = PackedLayout.from_mask(MASK)
    expected = model(IDS, layout=layout).logits
    states = model(IDS, MASK, output_hidden_states=True, output_attentions=True)
    prepack_weights(model)
    assert_close("packed", expected, model(IDS, layout=layout).logits, FORWARD)
    found = model(IDS, MASK, output_hidden_states=True, output_attentions=True)
    assert len(found.hidden_states) == 2
    assert_close("state", states.hidden_states[-1], found.hidden_states[-1], FORWARD)
    values = [weight.value + 0.1 for weight in model.trainable_variables]
    others = [weight.value for weight in model.non_trainable_variables]
    output, _ = model.stateless_call(values, others, IDS)
    assert np.abs(output.logits - model(IDS).logits).max() > 1e-3


def test_a_strategy_uses_the_variables():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = discriminator()
    expected = model(IDS).logits
    prepack_weights(model)
    assert_close("replica", expected, strategy.run(lambda: model(IDS).logits), FORWARD)


def test_mixed_precision_computes_in_its_own():
    model = electra_tf.TFElectraModel(CONFIG, dtype="mixed_bfloat16")
    expected = model(IDS, MASK)[0]
    prepack_weights(model)
    found = model(IDS, MASK)[0]
    assert found.dtype == "bfloat16"
    assert np.abs(tf.cast(expected - found, "float32")).max() < 0.1  # bfloat16 has eight bits
