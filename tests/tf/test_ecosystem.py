"""What Keras users do with any model: fit with its own loss or Keras's, tf.data, precision, export, strategies.

XLA, which Keras takes by itself, compiles for seconds: what is not about it goes without.
"""

from pathlib import Path

import numpy as np
import pytest

from support.assertions import assert_all_close, assert_close
from support.thoroughness import mostly_thorough
from support.tolerances import FORWARD
from support.warm_processes import run_code

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import electra_tf  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_common.outputs import QuestionAnsweringOutput  # noqa: E402
from electra_common.weights.names import ARCHITECTURE_PARTS  # noqa: E402
from electra_tf import (  # noqa: E402
    TFElectraForPreTraining,
    TFElectraForQuestionAnswering,
    TFElectraForSequenceClassification,
    TFElectraForTokenClassification,
)
from electra_tf.pretrained import canonical_state  # noqa: E402

HEADS = sorted(f"TF{name}" for name in ARCHITECTURE_PARTS if name != "ElectraModel")
# A value for each token, two outputs, an axis of choices.
USUAL = ("TFElectraForPreTraining", "TFElectraForQuestionAnswering", "TFElectraForMultipleChoice")
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.1,
)  # fmt: skip
STILL = CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, summary_last_dropout=0.0)
BATCH, CHOICES, LENGTH = 6, 3, 11


def config_for(head, config):
    return config.replace(is_decoder=head == "TFElectraForCausalLM")


def batch_for(head):
    shape = (BATCH, CHOICES, LENGTH) if head == "TFElectraForMultipleChoice" else (BATCH, LENGTH)
    mask = np.ones(shape, "int32")
    mask[0, ..., 3:] = 0
    return {"input_ids": np.random.default_rng(1).integers(1, 97, shape).astype("int32"), "attention_mask": mask}


def labels_for(head):
    ones = np.ones(BATCH, "int32")
    if head == "TFElectraForQuestionAnswering":
        return {"start_positions": ones, "end_positions": ones + 1}
    wide = np.ones((BATCH, LENGTH), "int32")
    return {"labels": ones if "Sequence" in head or "Choice" in head else wide}


def output_name(name):
    return {"labels": "logits"}.get(name, name.replace("positions", "logits"))


def fit(model, *arguments, **options):
    return model.fit(*arguments, **{"batch_size": BATCH, "epochs": 5, "verbose": 0, **options}).history


# The head's own loss --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", mostly_thorough(HEADS, usual=USUAL))
def test_fit_needs_no_loss(head):
    check_fit(head, jit_compile=False)


def test_fit_is_compiled_by_xla():
    check_fit("TFElectraForSequenceClassification", jit_compile=True)


def check_fit(head, *, jit_compile):
    model = getattr(electra_tf, head)(config_for(head, STILL))
    model.compile(keras.optimizers.SGD(0.3), jit_compile=jit_compile)
    inputs = {**batch_for(head), **labels_for(head)}
    first = float(model(**inputs).loss)
    losses = fit(model, inputs)["loss"]
    assert_close("first loss", first, losses[0], FORWARD)
    assert losses[-1] < losses[0] - 0.01
    evaluated = model.evaluate(inputs, batch_size=BATCH, verbose=0)
    assert_close("evaluated", float(model(**inputs).loss), evaluated, FORWARD)
    assert model.predict(inputs, batch_size=2, verbose=0)[1].shape[0] == BATCH


@pytest.mark.parametrize("head", mostly_thorough(HEADS, usual=USUAL))
def test_labels_may_be_the_targets(head):
    """By the names of arguments, by the names of outputs, and alone: all give the loss of labels among the inputs."""
    inputs, labels = batch_for(head), labels_for(head)
    model = getattr(electra_tf, head)(config_for(head, STILL))
    model.compile(jit_compile=False)
    expected = float(model(**inputs, **labels).loss)
    targets = [labels, {output_name(name): value for name, value in labels.items()}]
    targets += [labels["labels"]] if "labels" in labels else []
    for given in targets:
        assert_close("loss", expected, model.evaluate(inputs, given, batch_size=BATCH, verbose=0), FORWARD)


def test_keras_metrics_go_with_the_own_loss():
    head = "TFElectraForTokenClassification"
    model = TFElectraForTokenClassification(STILL)
    metrics = {"logits": ["sparse_categorical_accuracy"]}
    model.compile(keras.optimizers.SGD(0.3), metrics=metrics, jit_compile=False)
    targets = {"logits": labels_for(head)["labels"]}
    history = fit(model, batch_for(head), targets)
    accuracy = next(values for name, values in history.items() if "accuracy" in name)
    predicted = np.argmax(model(**batch_for(head)).logits, -1)
    evaluated = model.evaluate(batch_for(head), targets, verbose=0, return_dict=True)
    assert_close("accuracy", (predicted == 1).mean(), evaluated[next(k for k in evaluated if "acc" in k)], FORWARD)
    assert accuracy[-1] > accuracy[0]


@pytest.mark.parametrize(("options", "message"), [
    ({"y": None}, "give compile a loss, or labels"),
    ({"y": {"labels": np.ones((BATCH, LENGTH))}, "sample_weight": np.ones(BATCH)}, "takes no sample_weight"),
    ({"y": {"targets": np.ones((BATCH, LENGTH))}}, "needs 'labels', found targets"),
])  # fmt: skip
def test_what_the_own_loss_cannot_use_is_refused(options, message):
    model = TFElectraForPreTraining(CONFIG)
    model.compile(keras.optimizers.SGD(0.3), run_eagerly=True)
    with pytest.raises(ValueError, match=message):
        fit(model, batch_for(""), **options)


# Keras's losses, metrics, callbacks and data --------------------------------------------------------------------------


def test_keras_losses_and_metrics_by_output():
    head = "TFElectraForQuestionAnswering"
    model = TFElectraForQuestionAnswering(STILL)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(0.3),
        loss={"start_logits": cross_entropy, "end_logits": cross_entropy},
        metrics={"start_logits": ["sparse_categorical_accuracy"]},
        jit_compile=False,
    )
    targets = {output_name(name): value for name, value in labels_for(head).items()}
    history = fit(model, batch_for(head), targets)
    assert history["loss"][-1] < history["loss"][0]
    own = float(model(**batch_for(head), **labels_for(head)).loss)
    evaluated = model.evaluate(batch_for(head), targets, verbose=0, return_dict=True)
    assert_close("loss", 2 * own, evaluated["loss"], FORWARD)  # Keras adds the two, the head takes their mean
    assert any("accuracy" in name for name in evaluated)


def test_callbacks_see_the_own_loss(tmp_path):
    model = TFElectraForSequenceClassification(STILL)
    model.compile(keras.optimizers.SGD(0.3), jit_compile=False)
    head = "TFElectraForSequenceClassification"
    inputs = {**batch_for(head), **labels_for(head)}
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=1e9, patience=1)
    history = fit(model, inputs, validation_data=(inputs,), callbacks=[log, stop], epochs=9)
    assert len(history["val_loss"]) == 2
    assert (tmp_path / "log.csv").read_text().startswith("epoch,loss,val_loss")


def test_tf_data_feeds_batches_of_other_sizes():
    head = "TFElectraForTokenClassification"
    model = TFElectraForTokenClassification(STILL)
    model.compile(keras.optimizers.SGD(0.3), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices({**batch_for(head), **labels_for(head)})
    losses = fit(model, data.repeat(3).batch(4), batch_size=None, shuffle=False)[
        "loss"
    ]  # the last batch of 18 has two rows
    assert losses[-1] < losses[0]
    pairs = tf.data.Dataset.from_tensor_slices((batch_for(head), labels_for(head))).batch(4)
    assert np.isfinite(model.evaluate(pairs, verbose=0))
    assert model.predict(data.batch(4), verbose=0).logits.shape == (BATCH, LENGTH, 2)


@pytest.mark.parametrize(
    ("policy", "jit_compile"),
    [
        ("mixed_float16", False),
        ("mixed_bfloat16", False),
        pytest.param("mixed_bfloat16", True, marks=pytest.mark.thorough),
    ],
)
def test_mixed_precision_trains(policy, jit_compile):
    head = "TFElectraForSequenceClassification"
    model = TFElectraForSequenceClassification(STILL, dtype=policy)
    optimizer = keras.optimizers.SGD(0.3)
    if policy == "mixed_float16":  # a policy that is set for the whole program does this by itself
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**10)
    model.compile(optimizer, jit_compile=jit_compile)
    inputs = {**batch_for(head), **labels_for(head)}
    output = model(**inputs)
    assert output.logits.dtype == policy.removeprefix("mixed_")
    assert output.loss.dtype == "float32"
    exact = TFElectraForSequenceClassification(STILL)
    for name, variable in canonical_state(exact).items():
        variable.assign(canonical_state(model)[name])
    assert abs(float(output.loss) / float(exact(**inputs).loss) - 1) < 0.02
    losses = fit(model, inputs)["loss"]
    assert losses[-1] < losses[0] - 0.01
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


def test_a_policy_for_the_whole_program_is_taken():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = TFElectraForPreTraining(STILL)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert model(**batch_for("")).logits.dtype == "float16"


# Graphs, seeds and strategies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", mostly_thorough([*HEADS, "TFElectraModel"], usual=USUAL))
def test_export_gives_a_signature_with_named_outputs(head, tmp_path):
    # Outside of graphs a decoder returns its cache too.
    model = getattr(electra_tf, head)(config_for(head, CONFIG).replace(use_cache=False))
    inputs = batch_for(head)
    shape = (None,) * inputs["input_ids"].ndim
    specification = {name: tf.TensorSpec(shape, "int32", name=name) for name in inputs}
    model.export(str(tmp_path / "saved"), input_signature=[specification], verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert set(served.structured_input_signature[1]) == set(inputs)
    expected = model(**inputs)
    found = served(**{name: tf.constant(array) for name, array in inputs.items()})
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert_close(name, tensor, found[name], FORWARD)


def test_predict_gives_the_output_of_question_answering():
    model = TFElectraForQuestionAnswering(CONFIG)
    output = model.predict(batch_for(""), batch_size=4, verbose=0)
    assert type(output) is QuestionAnsweringOutput
    assert_close("end", model(**batch_for("")).end_logits, output.end_logits, FORWARD)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_the_same_seed_gives_the_same_training(jit_compile):
    def run(seed):
        keras.utils.set_random_seed(seed)
        model = TFElectraForPreTraining(CONFIG)  # dropout is on
        model.compile(keras.optimizers.SGD(0.3), jit_compile=jit_compile)
        losses = fit(model, {**batch_for(""), **labels_for("")}, batch_size=2, epochs=2)["loss"]
        return losses, {name: variable.numpy() for name, variable in canonical_state(model).items()}

    (first, weights), (second, again), (other, _) = run(3), run(3), run(4)
    assert first == second != other
    assert_all_close(weights, again, 0.0)


def test_two_replicas_train_as_one_does(tmp_path):
    finished = run_code((Path(__file__).parent / "mirrored_worker.py").read_text(), tmp_path)
    assert finished.returncode == 0, finished.stderr
    results = []
    for replicas in (1, 2):
        with np.load(tmp_path / f"{replicas}.npz") as file:
            results.append({name: file[name] for name in file.files})
    assert results[0]["losses"][-1] < results[0]["losses"][0]
    assert_all_close(results[0], results[1], FORWARD)
