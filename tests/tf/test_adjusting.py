"""Changing a Keras model after it is made: vocabulary, frozen parts, gradient checkpointing, attention."""

import numpy as np
import pytest

from support.assertions import assert_close
from support.initial_weights import assert_documented_scheme
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
from electra_tf.adjusting import encoder_of  # noqa: E402
from electra_tf.prepacking import prepack_weights, undo_prepacking  # noqa: E402
from electra_tf.pretrained import canonical_state  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
# For what is compiled: each layer that is traced takes seconds, and XLA, which Keras takes by itself, many more.
ONE_LAYER, TWO_LAYERS = (CONFIG.replace(num_hidden_layers=layers) for layers in (1, 2))
# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
KERAS_ARRAYS = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
IDS = np.arange(1, 27, dtype="int32").reshape(2, 13)
MASK = np.array([[1] * 13, [1] * 5 + [0] * 8], "int32")

# The vocabulary -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", [TFElectraModel, TFElectraForPreTraining, TFElectraForMaskedLM])
@pytest.mark.parametrize("size", [120, 30])
def test_resizing_keeps_the_rows_that_stay(model_class, size):
    model = model_class(CONFIG)
    paths = {variable.path for variable in model.weights}
    old = np.asarray(model.get_input_embeddings().embeddings)
    before = np.asarray(model(IDS)[0])
    table = model.resize_token_embeddings(size)
    assert table is model.get_input_embeddings()
    kept = min(97, size)
    assert table.embeddings.shape == (size, 10)
    assert np.array_equal(np.asarray(table.embeddings)[:kept], old[:kept])
    assert model.config.vocab_size == size == encoder_of(model).config.vocab_size
    assert {variable.path for variable in model.weights} == paths
    assert len(model.weights) == len(paths)
    after = np.asarray(model(IDS)[0])
    assert_close("outputs", before[..., :kept], after[..., :kept], FORWARD)


def test_new_rows_are_drawn_and_new_biases_are_zero():
    keras.utils.set_random_seed(0)
    model = TFElectraForMaskedLM(CONFIG.replace(tie_word_embeddings=False))
    head = model.generator_lm_head
    head.bias.assign(np.ones(97))
    model.resize_token_embeddings(3000)
    for new in (np.asarray(model.get_input_embeddings().embeddings)[97:], np.asarray(head.kernel).T[97:]):
        assert_documented_scheme({"new rows": new}, CONFIG)
    assert np.array_equal(np.asarray(head.bias), np.arange(3000) < 97)
    assert model(np.array([[2999]])).logits.shape == (1, 1, 3000)


@pytest.mark.filterwarnings(KERAS_ARRAYS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_resized_model_is_trained_and_saved(tmp_path, tied):
    model = TFElectraForMaskedLM(ONE_LAYER.replace(tie_word_embeddings=tied))
    model.resize_token_embeddings(99, pad_to_multiple_of=8)
    assert model.config.vocab_size == 104
    assert ("generator_lm_head.weight" in canonical_state(model)) == (not tied)
    with tf.GradientTape() as tape:
        loss = model(IDS, labels=IDS).loss
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(gradients) == len(canonical_state(model))
    if tied:
        position = [id(item) for item in model.trainable_variables].index(id(model.get_input_embeddings().embeddings))
        assert np.abs(tf.convert_to_tensor(gradients[position])[100]).max() > 0  # through the projection alone
    model.save_pretrained(tmp_path)
    model.save(tmp_path / "model.keras")
    for again in (TFElectraForMaskedLM.from_pretrained(tmp_path), keras.saving.load_model(tmp_path / "model.keras")):
        assert_close("logits", model(IDS).logits, again(IDS).logits, 0.0)


def test_a_compiled_model_goes_on_after_resizing():
    model = TFElectraForPreTraining(ONE_LAYER)
    labels = {"logits": np.ones((2, 13))}
    for size in (97, 120):
        model.resize_token_embeddings(size)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss={"logits": loss}, jit_compile=False)
        model.fit({"input_ids": np.full((2, 13), size - 1)}, labels, verbose=0)
        assert model.predict({"input_ids": np.full((2, 13), size - 1)}, verbose=0).logits.shape == (2, 13)


def test_no_model_goes_on_with_what_was_traced_before_a_part_of_it_changed():
    model = TFElectraForMaskedLM(ONE_LAYER.replace(tie_word_embeddings=False))
    changes = {
        "outer vocabulary": lambda: model.resize_token_embeddings(98),
        "inner vocabulary": lambda: model.electra.resize_token_embeddings(99),
        "prepacked": lambda: prepack_weights(model.electra),
        "undone": lambda: undo_prepacking(model.electra),
        "low rank": lambda: model.electra.encoder.layer[0].intermediate.dense.enable_lora(2),
        "tied": model.tie_weights,
    }
    for name, change in changes.items():
        before = made_functions(model)
        assert made_functions(model) == before
        change()
        assert not set(before) & set(made_functions(model)), name


def made_functions(model):
    """Return what `fit`, `evaluate` and `predict` call; nothing is traced before it is called."""
    for make in (model.make_train_function, model.make_test_function, model.make_predict_function):
        make()
    model.electra.make_predict_function()
    return [model.train_function, model.test_function, model.predict_function, model.electra.predict_function]


def test_resizing_keeps_policy_and_what_is_frozen():
    model = TFElectraForPreTraining(CONFIG, dtype="bfloat16")
    model.freeze()
    table = model.resize_token_embeddings(100)
    assert table.embeddings.dtype == "bfloat16"
    assert not table.trainable
    assert not [item for item in model.trainable_variables if "word_embeddings" in item.path]


def test_resizing_to_the_same_size_changes_nothing():
    model = TFElectraModel(CONFIG)
    table = model.get_input_embeddings()
    assert model.resize_token_embeddings() is table
    assert model.resize_token_embeddings(97) is table


@pytest.mark.parametrize(("arguments", "message"), [
    ((0,), "new_num_tokens must be an integer of at least 1"), ((2.5,), "new_num_tokens"),
])  # fmt: skip
def test_a_size_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TFElectraModel(CONFIG).resize_token_embeddings(*arguments)


def test_the_padding_token_cannot_be_cut_off():
    with pytest.raises(ValueError, match="pad_token_id 50 is outside the vocabulary of 40"):
        TFElectraModel(CONFIG.replace(pad_token_id=50)).resize_token_embeddings(40)


def test_the_weights_of_another_word_table_can_be_taken_over():
    model = TFElectraForMaskedLM(CONFIG)
    table = keras.layers.Embedding(97, 10)
    table.build(None)
    before = np.asarray(model(IDS).logits)
    model.set_input_embeddings(table)
    assert np.array_equal(model.get_input_embeddings().embeddings, table.embeddings)
    assert np.abs(before - model(IDS).logits).max() > 0.01
    other = keras.layers.Embedding(98, 10)
    other.build(None)
    with pytest.raises(ValueError, match=r"must be \[97, 10\], found \[98, 10\]"):
        model.set_input_embeddings(other)


def test_tying_gives_up_a_projection_of_its_own():
    model = TFElectraForMaskedLM(CONFIG.replace(tie_word_embeddings=False))
    tied = TFElectraForMaskedLM(CONFIG)
    own = canonical_state(model)
    for name, variable in canonical_state(tied).items():
        variable.assign(own[name])
    model.tie_weights()
    assert model.config.tie_word_embeddings
    assert canonical_state(model).keys() == canonical_state(tied).keys()
    assert len(model.trainable_variables) == len(tied.trainable_variables)
    assert_close("logits", tied(IDS).logits, model(IDS).logits, 0.0)
    TFElectraForPreTraining(CONFIG).tie_weights()  # nothing to tie


# Counting and freezing ------------------------------------------------------------------------------------------------


def test_parameters_are_counted():
    model = TFElectraForMaskedLM(CONFIG)
    everything = sum(int(np.prod(variable.shape)) for variable in canonical_state(model).values())
    assert model.num_parameters() == everything
    assert model.num_parameters(exclude_embeddings=True) == everything - (97 + 19 + 2) * 10
    model.freeze(layers=0)
    # Tables, LayerNorm and projection are frozen.
    frozen = (97 + 19 + 2) * 10 + 2 * 10 + (10 * 24 + 24)
    assert model.num_parameters(only_trainable=True) == everything - frozen
    assert model.num_parameters(only_trainable=True, exclude_embeddings=True) == everything - frozen


@pytest.mark.parametrize(("options", "frozen"), [
    ({}, ("embeddings", "embeddings_project", "layer.0", "layer.1", "layer.2")),
    ({"layers": 2}, ("embeddings", "embeddings_project", "layer.0", "layer.1")),
    ({"embeddings": False, "layers": 1}, ("layer.0",)),
])  # fmt: skip
def test_frozen_parts_stay_as_they_are_in_training(options, frozen):
    model = TFElectraForSequenceClassification(CONFIG)
    model.freeze(**options)
    before = {name: variable.numpy().copy() for name, variable in canonical_state(model).items()}
    with tf.GradientTape() as tape:
        loss = model(IDS, labels=np.array([0, 1]), training=True).loss
    variables = model.trainable_variables
    keras.optimizers.SGD(0.5).apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    for name, variable in canonical_state(model).items():
        is_frozen = any(f"electra.{part}." in name or f"encoder.{part}." in name for part in frozen)
        may_stay = name.endswith("key.bias")  # a softmax does not see a shift of all keys
        assert may_stay or np.array_equal(variable, before[name]) == is_frozen, name
    model.unfreeze()
    assert len(model.trainable_variables) == len(before)


def test_more_layers_than_there_are_cannot_be_frozen():
    with pytest.raises(ValueError, match="layers must be from 0 to 3, found 4"):
        TFElectraModel(CONFIG).freeze(layers=4)


# Memory and attention -------------------------------------------------------------------------------------------------


def gradients(model, jit_compile=None):
    """Return the gradients from one and the same state of the random numbers, in eager mode or from a graph."""

    def compute():
        with tf.GradientTape() as tape:
            loss = model(IDS, MASK, labels=np.ones((2, 13)), training=True).loss
        return tape.gradient(loss, list(canonical_state(model).values()))

    for variable in model.variables:
        if "seed_generator" in variable.path:
            variable.assign([7, 0])
    found = compute() if jit_compile is None else tf.function(compute, jit_compile=jit_compile)()
    return {name: tf.convert_to_tensor(item) for name, item in zip(canonical_state(model), found, strict=True)}


@pytest.mark.parametrize("jit_compile", [None, False, pytest.param(True, marks=pytest.mark.thorough)])
def test_gradient_checkpointing_gives_the_same_gradients_with_dropout(jit_compile, monkeypatch):
    model = TFElectraForPreTraining(TWO_LAYERS)
    expected = gradients(model, jit_compile)
    calls = []
    layer = model.electra.encoder.layer[1].intermediate
    call = layer.call
    monkeypatch.setattr(layer, "call", lambda *arguments: calls.append(1) or call(*arguments))
    model.gradient_checkpointing_enable()
    found = gradients(model, jit_compile)
    assert len(calls) == 2  # once forwards, once again for the gradients
    for name, gradient in expected.items():
        assert_close(name, gradient, found[name], GRADIENT)
    model.gradient_checkpointing_disable()
    gradients(model)
    assert len(calls) == 3


def test_gradient_checkpointing_leaves_attentions_alone():
    model = TFElectraModel(CONFIG)
    plain = model(IDS, MASK, output_attentions=True, output_hidden_states=True)
    model.gradient_checkpointing_enable()
    found = model(IDS, MASK, output_attentions=True, output_hidden_states=True)
    for name, tensor in plain.flat().items():
        assert_close(name, tensor, found.flat()[name], 0.0)
    trained = model(IDS, MASK, output_attentions=True, training=True)
    assert len(trained.attentions) == 3


def test_gradient_checkpointing_works_in_fit():
    model = TFElectraForPreTraining(TWO_LAYERS)
    model.gradient_checkpointing_enable()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss={"logits": loss}, jit_compile=False)
    history = model.fit({"input_ids": IDS}, {"logits": np.ones((2, 13))}, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 0.01


def test_fused_attention_is_refused():
    with pytest.raises(ValueError, match="no fused attention on TensorFlow"):
        TFElectraModel(CONFIG.replace(attn_implementation="sdpa"))
    assert TFElectraModel(CONFIG.replace(attn_implementation="eager"))(IDS).last_hidden_state.shape == (2, 13, 24)


# Inputs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "message"), [
    ({"input_ids": np.array([[97]])}, "input_ids must be from 0 to 96.*resize_token_embeddings"),
    ({"input_ids": np.array([[-1]])}, "input_ids must be from 0 to 96"),
    ({"input_ids": np.array([[1]]), "token_type_ids": np.array([[2]])}, "token_type_ids must be from 0 to 1"),
    ({"input_ids": np.array([[1]]), "position_ids": np.array([[19]])}, "position_ids must be from 0 to 18"),
    ({"inputs_embeds": np.zeros((1, 3, 24), "float32")}, r"inputs_embeds must be 10 wide.*found \[1, 3, 24\]"),
])  # fmt: skip
def test_inputs_that_the_tables_do_not_have_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        TFElectraModel(CONFIG)(**inputs)


def test_ids_of_other_kinds_of_tensors_are_looked_at_too():
    for ids in (tf.constant([[97]]), tf.constant([[97]], "int64")):
        with pytest.raises(ValueError, match="input_ids must be from 0 to 96"):
            TFElectraModel(CONFIG)(ids)
