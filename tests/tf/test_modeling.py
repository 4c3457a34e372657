"""The Keras models as a Keras user meets them."""

import os
import subprocess
import sys
from types import MappingProxyType

import numpy as np
import pytest

from support.assertions import assert_close
from support.fixtures import GOOGLE, TRANSFORMERS
from support.tolerances import FORWARD

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from electra_common import CheckpointError, ElectraConfig, LoadReport  # noqa: E402
from electra_common.outputs import EncoderOutput, HeadOutput  # noqa: E402
from electra_common.weights.names import keras_path  # noqa: E402
from electra_common.weights.shapes import expected_shapes  # noqa: E402
from electra_tf import TFElectraForMaskedLM, TFElectraForPreTraining, TFElectraModel  # noqa: E402
from electra_tf.activations import ACTIVATIONS  # noqa: E402
from electra_tf.layout import PaddedLayout  # noqa: E402
from electra_tf.losses import classification_loss, replaced_token_detection_loss  # noqa: E402
from electra_tf.pretrained import canonical_state  # noqa: E402

MODELS = (TFElectraModel, TFElectraForPreTraining, TFElectraForMaskedLM)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip
BATCH, LENGTH = 5, 13


@pytest.fixture
def batch():
    mask = np.arange(LENGTH)[None] < np.array([13, 1, 7, 12, 2])[:, None]
    ids = np.random.default_rng(3).integers(1, 97, (BATCH, LENGTH))
    return {"input_ids": ids.astype("int32"), "attention_mask": mask.astype("int32")}


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("changes", [{}, {"embedding_size": 24}, {"tie_word_embeddings": False}])
def test_variable_paths_are_those_of_the_table(model_class, changes):
    config = CONFIG.replace(**changes)
    model = model_class(config)
    names = expected_shapes(config, model_class.__name__.removeprefix("TF"))
    weights = {
        variable.path.removeprefix(f"{model.name}/"): tuple(variable.shape) for variable in model.trainable_variables
    }
    prefix = "electra/" if model_class is TFElectraModel else ""
    expected = {
        keras_path(name).removeprefix(prefix): shape[::-1] if keras_path(name).endswith("kernel") else shape
        for name, shape in names.items()
    }
    assert weights == expected


def test_every_preset_has_the_canonical_names():
    """One layer of each: the other layers differ by their number only, and large models need gigabytes."""
    for size in ("small", "base", "large"):
        for kind, model_class in (("discriminator", TFElectraForPreTraining), ("generator", TFElectraForMaskedLM)):
            config = ElectraConfig.preset(f"{size}-{kind}").replace(num_hidden_layers=1, vocab_size=7)
            model = model_class(config)
            expected = expected_shapes(config, model_class.__name__.removeprefix("TF"))
            state = canonical_state(model)
            assert set(state) == set(expected)
            assert sum(int(np.prod(v.shape)) for v in state.values()) == model.count_params()


def test_outputs_are_reached_by_name_key_and_position(batch):
    output = TFElectraForPreTraining(CONFIG)(**batch, labels=np.zeros((BATCH, LENGTH)))
    assert output.logits is output["logits"] is output[1]
    assert output.loss is output[0]
    assert output.hidden_states is None
    assert "hidden_states" not in output
    assert output.logits.shape == (BATCH, LENGTH)
    assert output.loss.shape == ()


def test_return_dict_false_gives_a_tuple(batch):
    (logits,) = TFElectraForMaskedLM(CONFIG)(**batch, return_dict=False)
    assert logits.shape == (BATCH, LENGTH, 97)
    assert isinstance(TFElectraModel(CONFIG.replace(return_dict=False))(**batch), tuple)


def test_hidden_states_and_attentions_come_when_asked_for(batch):
    output = TFElectraModel(CONFIG)(**batch, output_hidden_states=True, output_attentions=True)
    assert [tuple(state.shape) for state in output.hidden_states] == [(BATCH, LENGTH, 24)] * 3
    assert [tuple(weights.shape) for weights in output.attentions] == [(BATCH, 3, LENGTH, LENGTH)] * 2
    assert_close("last", output.hidden_states[-1], output.last_hidden_state, 0.0)
    assert_close("sums", np.ones((BATCH, 3, LENGTH)), np.sum(output.attentions[0], -1), FORWARD)
    assert np.abs(output.attentions[1][1, :, :, 1:]).max() == 0  # the second row has one real token


def test_the_config_can_ask_for_hidden_states_and_attentions(batch):
    model = TFElectraModel(CONFIG.replace(output_hidden_states=True, output_attentions=True))
    assert list(model(**batch)) == ["last_hidden_state", "hidden_states", "attentions"]


def test_padding_does_not_change_real_tokens(batch):
    model = TFElectraModel(CONFIG)
    alone = model(batch["input_ids"][2:3, :7]).last_hidden_state
    assert_close("row 2", alone[0], model(**batch).last_hidden_state[2, :7], FORWARD)


def test_a_row_of_padding_alone_gives_finite_numbers(batch):
    batch["attention_mask"][3] = 0
    assert np.isfinite(TFElectraModel(CONFIG)(**batch).last_hidden_state).all()


def test_a_sequence_of_one_token_is_nothing_special(batch):
    model = TFElectraModel(CONFIG)
    one = model(batch["input_ids"][:, :1]).last_hidden_state
    padded = model(batch["input_ids"], np.arange(LENGTH)[None] < np.ones((BATCH, 1))).last_hidden_state
    assert_close("one token", padded[:, :1], one, FORWARD)


def test_a_mask_for_each_query_is_accepted(batch):
    model = TFElectraModel(CONFIG)
    square = np.broadcast_to(batch["attention_mask"][:, None, :], (BATCH, LENGTH, LENGTH))
    expected = model(**batch).last_hidden_state
    assert_close("square mask", expected, model(batch["input_ids"], square).last_hidden_state, FORWARD)


def test_inputs_embeds_take_the_place_of_ids(batch):
    model = TFElectraModel(CONFIG)
    embedded = model.embeddings.word_embeddings(batch["input_ids"])
    expected = model(**batch).last_hidden_state
    found = model(inputs_embeds=embedded, attention_mask=batch["attention_mask"]).last_hidden_state
    assert_close("embedded", expected, found, 0.0)


def test_position_ids_are_used(batch):
    model = TFElectraModel(CONFIG)
    reverse = np.arange(LENGTH - 1, -1, -1)[None]
    flipped = model(batch["input_ids"][:, ::-1], position_ids=reverse).last_hidden_state[:, ::-1]
    assert_close("reversed", model(batch["input_ids"]).last_hidden_state, flipped, FORWARD)


def test_too_long_a_sequence_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="20 tokens in a sequence, but the model has 19 positions"):
        TFElectraModel(CONFIG)(np.ones((1, 20), "int32"))


def test_exactly_one_input_is_needed():
    both = {"input_ids": np.ones((1, 2), "int32"), "inputs_embeds": np.ones((1, 2, 10), "float32")}
    for given in ({}, both):
        with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
            TFElectraModel(CONFIG)(**given)


def test_dropout_is_active_in_training_only(batch):
    model = TFElectraModel(CONFIG)
    first, second = (model(**batch, training=True).last_hidden_state for _ in range(2))
    assert np.abs(first - second).max() > 0
    first, second = (model(**batch).last_hidden_state for _ in range(2))
    assert np.abs(first - second).max() == 0


def test_rtd_loss_counts_real_tokens_only():
    logits, labels = np.array([[0.0, 5.0, -50.0]], "float32"), np.array([[1, 1, 1]])
    loss = replaced_token_detection_loss(logits, labels, np.array([[1, 1, 0]]))
    assert_close("loss", (np.log(2) + np.log1p(np.exp(-5))) / 2, loss, FORWARD)


def test_rtd_loss_refuses_a_mask_that_does_not_say_which_tokens_are_real(batch):
    square = np.ones((BATCH, LENGTH, LENGTH))
    with pytest.raises(ValueError, match=r"mask of \[batch, length\], found \[5, 13, 13\]"):
        TFElectraForPreTraining(CONFIG)(batch["input_ids"], square, labels=np.ones((BATCH, LENGTH)))


@pytest.mark.parametrize("function", [replaced_token_detection_loss, classification_loss])
def test_no_labelled_token_gives_zero_and_no_nan_gradient(function):
    shape = (2, 3, 7) if function is classification_loss else (2, 3)
    logits = tf.Variable(tf.random.normal(shape))
    with tf.GradientTape() as tape:
        if function is classification_loss:
            loss = function(logits, np.full((2, 3), -100))
        else:
            loss = function(logits, np.ones((2, 3)), np.zeros((2, 3)))
    assert float(loss) == 0
    assert np.count_nonzero(tape.gradient(loss, logits)) == 0


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("model_class", MODELS)
def test_models_work_inside_tf_function(batch, model_class, jit_compile):
    model = model_class(CONFIG)
    compiled = tf.function(lambda inputs: model(**inputs, output_hidden_states=True), jit_compile=jit_compile)
    expected, found = model(**batch, output_hidden_states=True), compiled(batch)
    assert type(found) is type(expected)
    for name, tensor in expected.flat().items():
        assert_close(name, tensor, found.flat()[name], FORWARD)


def test_a_training_step_works_inside_tf_function(batch):
    keras.utils.set_random_seed(0)
    model = TFElectraForPreTraining(CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    optimizer = keras.optimizers.SGD(0.5)
    variables = model.trainable_variables
    labels = np.ones((BATCH, LENGTH), "int32")

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model(**batch, labels=labels, training=True).loss
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = [float(step()) for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.01


def test_predict_takes_a_dictionary_and_gives_a_model_output(batch):
    model = TFElectraForPreTraining(CONFIG)
    output = model.predict(MappingProxyType(batch), batch_size=2, verbose=0)  # as what a tokenizer returns, no dict
    assert type(output) is HeadOutput
    assert_close("logits", model(**batch).logits, output.logits, FORWARD)


def test_predict_keeps_hidden_states(batch):
    model = TFElectraModel(CONFIG.replace(output_hidden_states=True))
    output = model.predict(batch, batch_size=2, verbose=0)
    assert type(output) is EncoderOutput
    assert [state.shape for state in output.hidden_states] == [(BATCH, LENGTH, 24)] * 3


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_fit_takes_losses_and_metrics_by_name(batch, jit_compile):
    model = TFElectraForPreTraining(CONFIG)
    model.compile(
        keras.optimizers.SGD(0.5),
        loss={"logits": keras.losses.BinaryCrossentropy(from_logits=True)},
        metrics={"logits": [keras.metrics.BinaryAccuracy(threshold=0.0)]},
        jit_compile=jit_compile,
    )
    history = model.fit(batch, {"logits": np.ones((BATCH, LENGTH))}, batch_size=BATCH, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 0.01
    assert any("binary_accuracy" in name for name in history)
    evaluated = model.evaluate(batch, {"logits": np.ones((BATCH, LENGTH))}, verbose=0, return_dict=True)
    logits = model(**batch).logits
    assert_close("loss", np.log1p(np.exp(-logits)).mean(), evaluated["loss"], FORWARD)


def test_export_gives_a_signature_with_named_outputs(batch, tmp_path):
    model = TFElectraForPreTraining(CONFIG)
    specification = {name: tf.TensorSpec((None, LENGTH), "int32", name=name) for name in batch}
    model.export(str(tmp_path / "saved"), input_signature=[specification], verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    output = served(**{name: tf.constant(array) for name, array in batch.items()})
    assert list(output) == ["logits"]
    assert_close("logits", model(**batch).logits, output["logits"], FORWARD)


def test_a_dictionary_may_stand_first(batch):
    model = TFElectraModel(CONFIG)
    assert_close("dict", model(**batch).last_hidden_state, model(batch).last_hidden_state, 0.0)


def test_mixed_precision_policies_compute_in_half_and_keep_float32_weights(batch):
    model = TFElectraForMaskedLM(CONFIG, dtype="mixed_bfloat16")
    output = model(**batch, labels=batch["input_ids"])
    assert output.logits.dtype == "bfloat16"
    assert output.loss.dtype == "float32"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_give_the_values_of_their_definitions(name):
    """The PyTorch twin is held against transformers; here the same formulas in numpy, which TensorFlow must match."""
    from math import erf

    x = np.linspace(-12, 12, 501)
    gelu = x * 0.5 * (1 + np.array([erf(value / 2**0.5) for value in x]))
    gelu_tanh = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    sigmoid = 1 / (1 + np.exp(-x))
    expected = {
        "gelu": gelu, "gelu_python": gelu, "gelu_10": np.clip(gelu, -10, 10),
        "gelu_new": gelu_tanh, "gelu_fast": gelu_tanh, "gelu_accurate": gelu_tanh, "gelu_python_tanh": gelu_tanh,
        "gelu_pytorch_tanh": gelu_tanh, "leaky_relu": np.where(x > 0, x, 0.01 * x), "linear": x,
        "mish": x * np.tanh(np.log1p(np.exp(x))), "quick_gelu": x / (1 + np.exp(-1.702 * x)),
        "relu": np.maximum(x, 0), "relu2": np.maximum(x, 0) ** 2, "relu6": np.clip(x, 0, 6), "sigmoid": sigmoid,
        "silu": x * sigmoid, "swish": x * sigmoid, "tanh": np.tanh(x),
    }  # fmt: skip
    scale = max(1.0, np.abs(expected[name]).max())
    assert_close(name, expected[name] / scale, ACTIVATIONS[name](x.astype("float32")) / scale, FORWARD)


def test_the_layout_without_mask_has_no_bias():
    assert PaddedLayout.from_mask(None, "float32").attention_bias is None


def test_a_keras_backend_that_is_not_installed_is_a_clear_error_at_import():
    assert "needs Keras on TensorFlow" in last_line_of_import("jax")


def last_line_of_import(backend):
    finished = subprocess.run(
        [sys.executable, "-c", "import electra_tf"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    return finished.stderr.splitlines()[-1]


# Loading and saving --------------------------------------------------------------------------------------------------


def test_loading_info_is_returned_when_asked_for():
    model, report = TFElectraForPreTraining.from_pretrained(
        TRANSFORMERS / "small-like" / "ForPreTraining", output_loading_info=True
    )
    assert isinstance(model, TFElectraForPreTraining)
    assert isinstance(report, LoadReport)
    assert set(report.loaded) == set(canonical_state(model))
    assert not report.new


def test_a_discriminator_gives_a_masked_lm_its_encoder_and_warns_of_the_new_head():
    folder = TRANSFORMERS / "small-like" / "ForPreTraining"
    with pytest.warns(UserWarning, match="initialised and must be trained"):
        model, report = TFElectraForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert "generator_predictions.dense.weight" in report.new
    state = canonical_state(model)
    for name, variable in canonical_state(TFElectraModel.from_pretrained(folder)).items():
        assert np.array_equal(variable, state[name])
    assert np.std(state["generator_predictions.dense.weight"]) > 0


def test_a_generator_gives_a_discriminator_its_encoder_and_warns_of_the_new_head():
    with pytest.warns(UserWarning, match="discriminator_predictions"):
        model = TFElectraForPreTraining.from_pretrained(
            GOOGLE / "trained", component="generator", num_attention_heads=1
        )
    assert model.config.hidden_size == 32


def test_each_class_takes_the_network_it_is_for():
    _, report = TFElectraForMaskedLM.from_pretrained(GOOGLE / "trained", output_loading_info=True)
    assert report.component == "generator"
    _, report = TFElectraForPreTraining.from_pretrained(
        GOOGLE / "trained", num_attention_heads=4, output_loading_info=True
    )
    assert report.component == "discriminator"


@pytest.mark.parametrize(
    ("dtype", "expected"), [(None, "float32"), ("auto", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")]
)
def test_dtype_is_what_was_asked_for(dtype, expected):
    model = TFElectraModel.from_pretrained(TRANSFORMERS / "small-like" / "Model", dtype=dtype)
    assert {variable.dtype for variable in model.trainable_variables} == {expected}
    assert model.config.dtype == expected


def test_bfloat16_survives_saving_and_loading(tmp_path):
    model = TFElectraModel.from_pretrained(TRANSFORMERS / "small-like" / "Model", dtype="bfloat16")
    model.save_pretrained(tmp_path)
    again = TFElectraModel.from_pretrained(tmp_path, dtype="auto")
    assert again.config.dtype == "bfloat16"
    state = canonical_state(again)
    for name, variable in canonical_state(model).items():
        assert np.array_equal(np.asarray(variable), np.asarray(state[name])), name


@pytest.mark.parametrize("format", ["safetensors", "bin", "h5", "tf1", "npz", "joint"])
@pytest.mark.parametrize("model_class", MODELS)
def test_every_form_that_is_saved_is_loaded_again(tmp_path, model_class, format):
    model = model_class(CONFIG)
    model.save_pretrained(tmp_path, format=format)
    again = canonical_state(model_class.from_pretrained(tmp_path))
    for name, variable in canonical_state(model).items():
        assert np.array_equal(variable.numpy(), again[name].numpy()), name


def test_saving_over_the_folder_a_model_was_loaded_from_is_safe(tmp_path):
    TFElectraForPreTraining(CONFIG).save_pretrained(tmp_path)
    model = TFElectraForPreTraining.from_pretrained(tmp_path)
    expected = {name: variable.numpy().copy() for name, variable in canonical_state(model).items()}
    model.save_pretrained(tmp_path)
    for name, variable in canonical_state(TFElectraForPreTraining.from_pretrained(tmp_path)).items():
        assert np.array_equal(expected[name], variable.numpy())


def test_a_model_may_have_any_name(tmp_path):
    model = TFElectraForMaskedLM(CONFIG, name="mine")
    model.save_pretrained(tmp_path)
    TFElectraModel(CONFIG, name="body").save_pretrained(tmp_path / "body")
    assert TFElectraForMaskedLM.from_pretrained(tmp_path).count_params() == model.count_params()


def test_low_rank_weights_are_saved_as_part_of_the_weights(tmp_path):
    class Mine(TFElectraForMaskedLM):
        """A user's own class is saved as the one that it is made of."""

    model = Mine(CONFIG.replace(num_hidden_layers=1), dtype="mixed_bfloat16")
    query, words = model.electra.encoder.layer[0].attention.self_attention.query, model.get_input_embeddings()
    for layer, kind in ((query, "kernel"), (words, "embeddings")):
        layer.enable_lora(2, lora_alpha=6)
        getattr(layer, f"lora_{kind}_b").assign(np.ones((2, getattr(layer, kind).shape[1])))
    model.save_pretrained(tmp_path)
    again = TFElectraForMaskedLM.from_pretrained(tmp_path)
    expected = query._kernel + 3 * np.asarray(query.lora_kernel_a.numpy()) @ np.ones((2, 24), "float32")
    assert_close("query", expected, again.electra.encoder.layer[0].attention.self_attention.query.kernel, FORWARD)
    expected = words._embeddings + 3 * np.asarray(words.lora_embeddings_a.numpy()) @ np.ones((2, 10), "float32")
    assert_close("words", expected, again.get_input_embeddings().embeddings, FORWARD)
    assert Mine.from_pretrained(tmp_path).config.architectures == ("ElectraForMaskedLM",)


# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_weights_that_no_checkpoint_has_a_place_for_are_refused(tmp_path):
    model = TFElectraModel(CONFIG.replace(num_hidden_layers=1))
    model.embeddings_project.quantize("int8")
    with pytest.raises(CheckpointError, match=r"no place for .*kernel_scale .*save it before quantize"):
        model.save_pretrained(tmp_path)
    outer = TFElectraForPreTraining(CONFIG.replace(num_hidden_layers=1))
    outer.electra.resize_token_embeddings(99)
    with pytest.raises(CheckpointError, match="1 of another shape than in the config"):
        outer.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_bad_arguments_are_value_errors(tmp_path):
    folder = TRANSFORMERS / "small-like" / "Model"
    for arguments, message in (
        ({"dtype": "int8"}, "dtype must be"),
        ({"component": "both"}, "component must be"),
        ({"hidden_sise": 3}, "no field hidden_sise"),
        ({"revision": "main"}, "local path"),
    ):
        with pytest.raises(ValueError, match=message):
            TFElectraModel.from_pretrained(folder, **arguments)
    with pytest.raises(ValueError, match="format must be"):
        TFElectraModel(CONFIG).save_pretrained(tmp_path, format="onnx")


def test_a_wrong_config_is_one_error_that_names_the_tensors():
    with pytest.raises(CheckpointError, match=r"wrong shape.*intermediate\.dense\.weight: expected \[56, 32\]"):
        TFElectraModel.from_pretrained(TRANSFORMERS / "small-like" / "Model", intermediate_size=56)
