"""The Keras models for fine-tuning, as a Keras user meets them."""

import numpy as np
import pytest

from support.assertions import assert_close
from support.fixtures import TRANSFORMERS
from support.initial_weights import assert_documented_scheme
from support.tolerances import FORWARD

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import electra_tf  # noqa: E402
from electra_common import CheckpointError, ElectraConfig  # noqa: E402
from electra_common.weights.names import ARCHITECTURE_PARTS, keras_path  # noqa: E402
from electra_common.weights.shapes import expected_shapes  # noqa: E402
from electra_tf import (  # noqa: E402
    TFElectraForMultipleChoice,
    TFElectraForPreTraining,
    TFElectraForQuestionAnswering,
    TFElectraForSequenceClassification,
    TFElectraForTokenClassification,
)
from electra_tf.losses import (  # noqa: E402
    classification_loss,
    replaced_token_detection_loss,
    sequence_classification_loss,
    span_loss,
)
from electra_tf.pretrained import canonical_state  # noqa: E402

MODELS = (
    TFElectraForTokenClassification,
    TFElectraForSequenceClassification,
    TFElectraForQuestionAnswering,
    TFElectraForMultipleChoice,
)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
KERAS_ARRAYS = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
BATCH, CHOICES, LENGTH = 5, 3, 13


def batch_for(model_class):
    random = np.random.default_rng(3)
    mask = (np.arange(LENGTH)[None] < np.array([13, 1, 7, 12, 2])[:, None]).astype("int32")
    shape = (BATCH, LENGTH)
    if model_class is TFElectraForMultipleChoice:
        shape, mask = (BATCH, CHOICES, LENGTH), np.repeat(mask[:, None], CHOICES, axis=1)
    return {
        "input_ids": random.integers(1, 97, shape).astype("int32"),
        "attention_mask": mask,
        "token_type_ids": random.integers(0, 2, shape).astype("int32"),
    }


def labels_for(model_class):
    ones = np.ones(BATCH, "int32")
    return {
        TFElectraForTokenClassification: {"labels": np.ones((BATCH, LENGTH), "int32")},
        TFElectraForSequenceClassification: {"labels": ones},
        TFElectraForQuestionAnswering: {"start_positions": ones, "end_positions": 2 * ones},
        TFElectraForMultipleChoice: {"labels": ones},
    }[model_class]


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("changes", [{}, {"embedding_size": 24}, {"summary_use_proj": False}])
def test_variable_paths_are_those_of_the_table(model_class, changes):
    config = CONFIG.replace(**changes)
    model = model_class(config)
    weights = {
        variable.path.removeprefix(f"{model.name}/"): tuple(variable.shape) for variable in model.trainable_variables
    }
    expected = {
        keras_path(name): shape[::-1] if keras_path(name).endswith("kernel") else shape
        for name, shape in expected_shapes(config, model_class.__name__.removeprefix("TF")).items()
    }
    assert weights == expected


@pytest.mark.parametrize("model_class", MODELS)
def test_outputs_have_the_fields_and_the_order_of_transformers(model_class):
    model = model_class(CONFIG)
    inputs = {**batch_for(model_class), **labels_for(model_class)}
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    logits = ["start_logits", "end_logits"] if model_class is TFElectraForQuestionAnswering else ["logits"]
    assert list(output) == ["loss", *logits, "hidden_states", "attentions"]
    assert output.loss.shape == ()
    plain = model(**inputs, output_attentions=True, return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == 2 + len(logits)
    assert_close("logits", plain[1], output[1], 0.0)


# Losses ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", MODELS)
def test_nothing_labelled_gives_zero_and_no_nan_gradient(model_class):
    value = LENGTH if model_class is TFElectraForQuestionAnswering else -100
    labels = {name: np.full_like(array, value) for name, array in labels_for(model_class).items()}
    model = model_class(CONFIG)
    with tf.GradientTape() as tape:
        loss = model(**batch_for(model_class), **labels).loss
    gradients = tape.gradient(loss, model.trainable_variables)
    assert float(loss) == 0
    assert all(np.count_nonzero(tf.convert_to_tensor(gradient)) == 0 for gradient in gradients)


def test_an_empty_batch_gives_zero():
    for problem_type in ("regression", "single_label_classification", "multi_label_classification"):
        labels = np.zeros(0, "int32") if problem_type.startswith("single") else np.zeros((0, 2), "float32")
        assert float(sequence_classification_loss(np.zeros((0, 2), "float32"), labels, problem_type)) == 0


@pytest.mark.parametrize("shape", [(5,), (1, 7), (3, 2)])
def test_class_numbers_may_have_an_axis_of_one(shape):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(*shape, 3)), random.integers(0, 3, shape)
    expected = classification_loss(logits, labels)
    assert_close("loss", expected, classification_loss(logits, labels[..., None]), 0.0)
    one_problem = sequence_classification_loss(logits, labels[..., None], "single_label_classification")
    assert_close("sequences", expected, one_problem, 0.0)


def test_class_numbers_of_another_shape_are_refused():
    for labels in (np.zeros((1, 4), int), np.zeros((4, 3), int), np.zeros(3, int)):
        with pytest.raises(ValueError, match=r"labels must be \[4\].*found"):
            classification_loss(np.zeros((4, 3)), labels)


def test_one_mask_for_all_rows_weighs_every_row():
    logits = np.random.default_rng(0).normal(size=(4, 7))
    mask = np.array([[1, 1, 1, 1, 1, 0, 0]])
    losses = [replaced_token_detection_loss(logits, logits > 1, given) for given in (mask, np.repeat(mask, 4, axis=0))]
    assert_close("loss", losses[1], losses[0], 0.0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_labels_and_ids_are_not_rounded_to_what_layers_compute_in(policy):
    config = CONFIG.replace(num_labels=1, vocab_size=2999, num_hidden_layers=1)
    model = TFElectraForSequenceClassification(config, dtype=policy)
    model.run_eagerly = True  # for one call each, tracing takes longer
    ids, labels = np.array([[1001, 2051, 3], [2, 2997, 2998]]), np.array([100001.0, 1003.0])
    output = model(ids.astype("float64"), labels=labels)
    logits = np.asarray(tf.cast(output.logits, "float32"))
    assert_close("loss", 1.0, output.loss / np.square(logits[:, 0] - labels).mean(), FORWARD)
    assert np.array_equal(logits, np.asarray(tf.cast(model(ids).logits, "float32")))


def test_the_problem_type_holds_for_one_call(tmp_path):
    model = TFElectraForSequenceClassification(CONFIG.replace(num_labels=3))
    batch = batch_for(TFElectraForSequenceClassification)
    cross_entropy = float(model(**batch, labels=np.ones(BATCH, "int32")).loss)
    binary = float(model(**batch, labels=np.zeros((BATCH, 3), "float32")).loss)
    assert float(model(**batch, labels=np.ones(BATCH, "int32")).loss) == cross_entropy != binary
    model.save_pretrained(tmp_path)
    assert model.config.problem_type is None
    assert "problem_type" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"num_labels": 3}, np.ones((BATCH, 3), "int32"), "one whole number for each class"),
        ({"num_labels": 3}, np.ones(BATCH, "float32"), r"labels must be \[5, 3\].*found \[5\]"),
        ({"num_labels": 1}, np.ones((1, BATCH), "float32"), r"labels must be \[5, 1\].*found \[1, 5\]"),
    ],
)
def test_labels_that_do_not_fit_are_refused(changes, labels, message):
    model = TFElectraForSequenceClassification(CONFIG.replace(**changes))
    with pytest.raises(ValueError, match=message):
        model(**batch_for(TFElectraForSequenceClassification), labels=labels)


def test_a_span_needs_both_ends():
    batch = batch_for(TFElectraForQuestionAnswering)
    with pytest.raises(ValueError, match="both start_positions and end_positions"):
        TFElectraForQuestionAnswering(CONFIG)(**batch, start_positions=np.ones(BATCH))


def test_positions_may_have_an_axis_of_one():
    logits = np.random.default_rng(0).normal(size=(BATCH, LENGTH)).astype("float32")
    start, end = np.arange(BATCH), np.arange(BATCH) + 2
    first, second = (span_loss(logits, logits, *pair) for pair in ((start[:, None], end[:, None]), (start, end)))
    assert float(first) == float(second)


# Configs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_class", "changes", "message"),
    [
        (TFElectraForQuestionAnswering, {"num_labels": 3}, "needs num_labels 2.*found 3"),
        (TFElectraForTokenClassification, {"num_labels": 0}, "at least one label"),
        (TFElectraForSequenceClassification, {"num_labels": 0}, "at least one label"),
        (TFElectraForMultipleChoice, {"summary_proj_to_labels": True}, "summary 2 wide.*takes hidden_size 24"),
    ],
)
def test_a_head_that_cannot_be_built_is_refused(tmp_path, model_class, changes, message):
    with pytest.raises(ValueError, match=message):
        model_class(CONFIG.replace(**changes))
    TFElectraForPreTraining(CONFIG.replace(**changes)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        model_class.from_pretrained(tmp_path)


def test_multiple_choice_needs_an_axis_of_choices():
    with pytest.raises(ValueError, match=r"\[batch, choices, length\], found \[2, 4\]"):
        TFElectraForMultipleChoice(CONFIG)(np.ones((2, 4), "int32"))
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        TFElectraForMultipleChoice(CONFIG)()


def test_multiple_choice_takes_embeddings_and_positions():
    model = TFElectraForMultipleChoice(CONFIG)
    batch = batch_for(TFElectraForMultipleChoice)
    positions = np.broadcast_to(np.arange(LENGTH), (BATCH, CHOICES, LENGTH))
    expected = model(**batch).logits
    embeds = model.electra.embeddings.word_embeddings(batch.pop("input_ids"))
    assert_close("logits", expected, model(**batch, inputs_embeds=embeds, position_ids=positions).logits, FORWARD)


def test_the_number_of_choices_may_be_open_in_a_graph():
    model = TFElectraForMultipleChoice(CONFIG)
    batch = batch_for(TFElectraForMultipleChoice)
    specification = {name: tf.TensorSpec((None, None, None), "int32", name=name) for name in batch}
    graph = tf.function(lambda inputs: model(**inputs).logits, input_signature=[specification])
    assert_close("logits", model(**batch).logits, graph(batch), FORWARD)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"summary_activation": None}, {"summary_activation": "linear"}),
     ({"summary_type": "last"}, {"summary_type": "cls_index"})],
)  # fmt: skip
def test_summaries_that_are_the_same(one, other):
    models = [TFElectraForMultipleChoice(CONFIG.replace(**changes)) for changes in (one, other)]
    models[1].set_weights(models[0].get_weights())
    batch = batch_for(TFElectraForMultipleChoice)
    assert_close("logits", models[0](**batch).logits, models[1](**batch).logits, 0.0)


# Dropout --------------------------------------------------------------------------------------------------------------

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "summary_last_dropout": 0.0}
BIAS = np.array([0.3, -0.7], "float32")


@pytest.mark.parametrize("model_class", [TFElectraForTokenClassification, TFElectraForSequenceClassification])
def test_classifier_dropout_stands_before_the_classifier(model_class):
    """Where everything is dropped, only the bias is left; without the option, hidden_dropout_prob counts."""
    for changes in ({"classifier_dropout": 1.0}, {"hidden_dropout_prob": 1.0}):
        model = model_class(CONFIG.replace(**{**NO_DROPOUT, **changes}))
        last = model.classifier if model_class is TFElectraForTokenClassification else model.classifier.out_proj
        last.bias.assign(BIAS)
        logits = model(**batch_for(model_class), training=True).logits
        assert_close("logits", np.broadcast_to(BIAS, logits.shape), logits, 0.0)
    still = model_class(CONFIG.replace(**NO_DROPOUT))
    first, second = (still(**batch_for(model_class), training=True).logits for _ in range(2))
    assert_close("logits", first, second, 0.0)


@pytest.mark.parametrize("option", ["summary_first_dropout", "summary_last_dropout"])
def test_summary_dropouts_stand_around_the_summary(option):
    model = TFElectraForMultipleChoice(CONFIG.replace(**{**NO_DROPOUT, option: 1.0}))
    bias = np.linspace(-1, 1, 24, dtype="float32")
    model.sequence_summary.summary.bias.assign(bias)
    dropped = np.zeros_like(bias) if option == "summary_last_dropout" else bias
    expected = model.classifier(keras.activations.gelu(dropped[None], approximate=False))
    logits = model(**batch_for(TFElectraForMultipleChoice), training=True).logits
    assert_close("logits", np.broadcast_to(expected, (BATCH, CHOICES)), logits, FORWARD)


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", sorted(f"TF{name}" for name in ARCHITECTURE_PARTS))
def test_initial_weights_follow_the_documented_scheme(head):
    keras.utils.set_random_seed(0)
    is_decoder = head == "TFElectraForCausalLM"
    config = ElectraConfig(vocab_size=3000, num_hidden_layers=1, is_decoder=is_decoder, add_cross_attention=is_decoder)
    state = canonical_state(getattr(electra_tf, head)(config))
    assert_documented_scheme({name: turned(name, variable) for name, variable in state.items()}, config)


def turned(name, variable):
    array = np.asarray(variable)
    return array.T if keras_path(name).endswith("kernel") else array


@pytest.mark.parametrize("model_class", MODELS)
def test_a_new_head_on_a_loaded_encoder_follows_the_scheme_too(model_class):
    keras.utils.set_random_seed(0)
    folder = TRANSFORMERS / "small-like" / "ForPreTraining"
    with pytest.warns(UserWarning, match="initialised and must be trained"):
        model, report = model_class.from_pretrained(folder, num_labels=2, output_loading_info=True)
    state = canonical_state(model)
    assert_documented_scheme({name: turned(name, state[name]) for name in report.new}, model.config)


@pytest.mark.parametrize("format", ["safetensors", "bin", "h5", "npz"])
@pytest.mark.parametrize("model_class", MODELS)
def test_every_form_that_is_saved_is_loaded_again(tmp_path, model_class, format):
    model = model_class(CONFIG.replace(id2label={0: "no", 1: "yes"}))
    model.save_pretrained(tmp_path, format=format)
    again = model_class.from_pretrained(tmp_path)
    assert again.config.id2label == {0: "no", 1: "yes"}
    state = canonical_state(again)
    for name, variable in canonical_state(model).items():
        assert np.array_equal(variable.numpy(), state[name].numpy()), name


@pytest.mark.filterwarnings(KERAS_ARRAYS)
@pytest.mark.parametrize("model_class", MODELS)
def test_kerass_own_file_gives_the_same_model_and_is_read_by_from_pretrained(tmp_path, model_class):
    model = model_class(CONFIG)
    for variable in model.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.1, seed=1))
    model.save(tmp_path / "model.keras")
    expected = model(**batch_for(model_class))
    for again in (keras.saving.load_model(tmp_path / "model.keras"), model_class.from_pretrained(tmp_path)):
        for name, tensor in again(**batch_for(model_class)).items():
            assert_close(name, expected[name], tensor, 0.0)


@pytest.mark.parametrize("model_class", MODELS)
def test_googles_form_has_no_place_for_these_heads(tmp_path, model_class):
    with pytest.raises(CheckpointError, match=r"classifier|qa_outputs"):
        model_class(CONFIG).save_pretrained(tmp_path, format="tf1")


def test_numbers_of_labels_can_be_given_when_loading():
    folder = TRANSFORMERS / "base-like" / "ForPreTraining"
    with pytest.warns(UserWarning, match="classifier"):
        model = TFElectraForTokenClassification.from_pretrained(folder, num_labels=7)
    assert model.classifier.kernel.shape == (24, 7)


# Google's head --------------------------------------------------------------------------------------------------------


def test_googles_head_is_one_linear_layer_on_the_first_token(tmp_path):
    config = CONFIG.replace(head="google", num_labels=2)
    model = TFElectraForSequenceClassification(config)
    model.classifier.bias.assign(BIAS)
    batch = batch_for(TFElectraForSequenceClassification)
    hidden = model.electra(**batch).last_hidden_state
    expected = np.asarray(hidden[:, 0]) @ np.asarray(model.classifier.kernel) + BIAS
    assert_close("logits", expected, model(**batch).logits, FORWARD)
    assert set(canonical_state(model)) == set(expected_shapes(config, "ElectraForSequenceClassification"))
    model.save_pretrained(tmp_path)
    again = TFElectraForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.head == "google"
    assert_close("logits", expected, again(**batch).logits, FORWARD)


def test_googles_head_drops_what_it_takes():
    config = CONFIG.replace(**{**NO_DROPOUT, "head": "google", "classifier_dropout": 1.0})
    model = TFElectraForSequenceClassification(config)
    model.classifier.bias.assign(BIAS)
    logits = model(**batch_for(TFElectraForSequenceClassification), training=True).logits
    assert_close("logits", np.broadcast_to(BIAS, (BATCH, 2)), logits, 0.0)


def test_where_google_has_no_such_head_it_is_refused():
    with pytest.raises(ValueError, match='has no head="google"'):
        TFElectraForMultipleChoice(CONFIG.replace(head="google"))


def test_a_new_google_head_on_a_loaded_encoder():
    folder = TRANSFORMERS / "small-like" / "ForSequenceClassification"
    with pytest.warns(UserWarning, match=r"classifier\.weight"):
        model, report = TFElectraForSequenceClassification.from_pretrained(
            folder, head="google", output_loading_info=True
        )
    assert set(report.new) == {"classifier.weight", "classifier.bias"}
    assert_documented_scheme({name: turned(name, canonical_state(model)[name]) for name in report.new}, model.config)
