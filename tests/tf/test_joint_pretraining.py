"""Generator and discriminator together: against our own halves as formulas, and property by property.

The halves are held against Google's and transformers' numbers elsewhere; here it is shown what is composed of them.
"""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from electra_common import CheckpointError, convert_checkpoint
from electra_common.objective import PretrainingObjective
from support.assertions import assert_close, count_calls
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.joint_training import (
    CONFIG,
    GENERATOR,
    OBJECTIVES,
    VOCABULARY,
    make_batch,
    original_ids,
    recorded_batch,
    sampled_by_numpy,
)
from support.tolerances import FORWARD, GRADIENT

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from electra_tf import (  # noqa: E402
    PackedLayout,
    TFElectraAdam,
    TFElectraForJointPreTraining,
    TFElectraForMaskedLM,
    TFElectraForPreTraining,
)
from electra_tf.joint_networks import joint_state  # noqa: E402
from electra_tf.pretrained import read_canonical  # noqa: E402
from electra_tf.programs import replica_share  # noqa: E402

KERAS_ARRAYS = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"  # Keras's own code
CASES = pytest.mark.parametrize("case", OBJECTIVES)


def build(case="shared embeddings", **changes):
    fields, generator_config = OBJECTIVES[case]
    keras.utils.set_random_seed(3)
    return TFElectraForJointPreTraining(CONFIG, generator_config, PretrainingObjective(**{**fields, **changes}))


def tensors(batch):
    return {name: tf.convert_to_tensor(array) for name, array in batch.items()}


def state_of(model):
    return {name: read_canonical(name, variable) for name, variable in joint_state(model).items()}


def losses_of_halves(halves, batch):
    """Return (generator loss, discriminator loss) of two classes of one network each, in numpy and float64."""
    body = {"attention_mask": batch["attention_mask"], "token_type_ids": batch["token_type_ids"]}
    generator_loss = discriminator_loss = 0.0
    if "generator" in halves:
        logits = np.float64(halves["generator"](batch["input_ids"], **body).logits)
        picked = np.take_along_axis(logits, batch["masked_positions"][:, :, None].astype(np.int64), axis=1)
        log_probabilities = picked - np.log(np.exp(picked).sum(-1, keepdims=True))
        nll = -np.take_along_axis(log_probabilities, batch["masked_labels"][:, :, None].astype(np.int64), -1)[:, :, 0]
        generator_loss = (nll * batch["masked_weights"]).sum() / batch["masked_weights"].sum()
    if "discriminator" in halves:
        logits = np.float64(halves["discriminator"](batch["corrupted_input_ids"], **body).logits)
        signs = np.where(batch["is_replaced"] == 1, -1, 1)
        real = batch["attention_mask"] == 1
        discriminator_loss = np.log1p(np.exp(signs * logits))[real].mean()
    return generator_loss, discriminator_loss


@CASES
def test_losses_are_those_of_the_halves_that_are_saved(case, tmp_path):
    classes = {"discriminator": TFElectraForPreTraining, "generator": TFElectraForMaskedLM}
    model, batch = build(case), recorded_batch()
    model.save_halves(tmp_path)
    halves = {path.name: classes[path.name].from_pretrained(path) for path in tmp_path.iterdir()}
    assert halves.keys() == model.networks().keys()
    expected = losses_of_halves(halves, batch)
    weights = (model.objective.generator_weight, model.objective.discriminator_weight)
    output = model(**tensors(batch))
    for name, value in zip(("generator_loss", "discriminator_loss"), expected, strict=True):
        assert_close(name, value, output.get(name, 0.0), FORWARD)
    total = sum(weight * loss for weight, loss in zip(weights, expected, strict=True))
    assert_close("loss", total, output.loss, FORWARD * max(weights))


def test_shared_variables_come_once():
    own, tied = build("shared embeddings"), build("one network")
    for model in (own, tied):
        assert len(joint_state(model)) == len(model.trainable_variables)
    assert not [name for name in joint_state(own) if name.startswith("generator.electra.embeddings.")]
    assert {name.split(".")[1] for name in joint_state(tied) if name.startswith("generator.")} == {
        "generator_predictions", "generator_lm_head",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{}, {"temperature": 2.5}, {"disallow_correct": True}, {"temperature": 0.4, "disallow_correct": True}]
)
def test_what_is_sampled_is_what_the_definition_says(changes):
    model, batch = build(**changes), make_batch()
    output = model(**tensors(batch))
    corrupted, is_replaced = sampled_by_numpy(output.generator_logits.numpy(), batch, **changes)
    assert np.array_equal(output.corrupted_input_ids, corrupted)
    assert np.array_equal(output.is_replaced, is_replaced)
    assert is_replaced.any()
    kept = is_replaced == 0
    assert np.array_equal(output.corrupted_input_ids.numpy()[kept], original_ids(batch)[kept])


def test_a_uniform_generator_draws_from_the_whole_vocabulary():
    model, batch = build("uniform"), make_batch(rows=500)
    output = model(**tensors(batch))
    assert output.generator_loss is None
    assert output.generator_logits is None
    assert_close("loss", 50 * output.discriminator_loss, output.loss, FORWARD)
    corrupted, _ = sampled_by_numpy(np.zeros((500, 3, VOCABULARY)), batch)
    assert np.array_equal(output.corrupted_input_ids, corrupted)
    assert len(set(output.corrupted_input_ids.numpy()[output.is_replaced.numpy() == 1].tolist())) == VOCABULARY


def test_without_seeds_tensorflows_own_randomness_decides():
    model, batch = build(temperature=3.0), tensors(make_batch())
    del batch["sampling_seeds"]
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(model(**batch).corrupted_input_ids.numpy())
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_slots_at_one_position_draw_one_token():
    batch = make_batch()
    for name in ("masked_positions", "masked_labels", "masked_weights"):
        batch[name][:, 1] = batch[name][:, 0]
    output = build(temperature=5.0)(**tensors(batch))
    corrupted, _ = sampled_by_numpy(output.generator_logits.numpy(), batch, temperature=5.0)
    assert np.array_equal(output.corrupted_input_ids, corrupted)


@CASES
def test_unused_slots_change_nothing_wherever_they_point(case):
    model, batch = build(case, disallow_correct=True), make_batch()
    unused = batch["masked_weights"] == 0
    assert unused.any()
    first = model(**tensors(batch))
    for position, label in ((4, 33), (-1, -100), (99, 99)):
        positions = np.where(unused, position, batch["masked_positions"]).astype(np.int32)
        labels = np.where(unused, label, batch["masked_labels"]).astype(np.int32)
        second = model(**tensors({**batch, "masked_positions": positions, "masked_labels": labels}))
        for name in first.keys() - {"generator_logits"}:
            assert np.array_equal(first[name], second[name]), name


def test_no_gradient_of_the_discriminators_loss_reaches_the_generators_weights():
    model = build("own embeddings")
    with tf.GradientTape() as tape:
        loss = model(**tensors(make_batch())).discriminator_loss
    gradients = tape.gradient(loss, joint_state(model))
    assert {name.partition(".")[0] for name, gradient in gradients.items() if gradient is not None} == {"discriminator"}
    assert not [name for name, gradient in gradients.items() if gradient is None and name.startswith("discriminator.")]


def test_one_layout_serves_both_networks():
    """The same losses and gradients without computing the padding."""
    model, batch = build(), tensors(recorded_batch())
    mask = batch.pop("attention_mask")
    losses, gradients = [], []
    for arrangement in ({"attention_mask": mask}, {"layout": PackedLayout.from_mask(mask)}):
        with tf.GradientTape() as tape:
            losses.append(model(**batch, **arrangement).loss)
        found = tape.gradient(losses[-1], joint_state(model))
        gradients.append({name: tf.convert_to_tensor(gradient) for name, gradient in found.items()})
    assert_close("loss", *losses, 50 * FORWARD)
    for name in gradients[0]:
        assert_close(name, gradients[0][name], gradients[1][name], GRADIENT)


def test_a_tuple_on_request_and_half_of_a_recording_is_refused():
    model, batch = build(), tensors(recorded_batch())
    assert len(model(**batch, return_dict=False)) == 7
    del batch["is_replaced"]
    with pytest.raises(ValueError, match="both corrupted_input_ids and is_replaced, or neither"):
        model(**batch)


@CASES
@pytest.mark.parametrize("format", ["joint", "tf1"])
def test_what_is_saved_comes_back(case, format, tmp_path):
    model = build(case)
    model.save_pretrained(tmp_path, format=format)
    again = TFElectraForJointPreTraining.from_pretrained(tmp_path, objective=model.objective)
    expected, found = state_of(model), state_of(again)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("size", [VOCABULARY - 3, VOCABULARY + 36])
def test_a_resized_vocabulary_is_what_a_uniform_generator_draws_from(size):
    model, batch = build("uniform"), make_batch(rows=500)
    model.discriminator.resize_token_embeddings(size)
    assert model.config.vocab_size == size
    batch = {**batch, **{name: batch[name] % 50 for name in ("input_ids", "masked_labels")}}
    output = model(**tensors(batch))
    drawn = set(output.corrupted_input_ids.numpy()[output.is_replaced.numpy() == 1].tolist())
    assert drawn == set(range(size))


@pytest.mark.filterwarnings(KERAS_ARRAYS)
def test_one_half_resized_alone_is_not_written_and_both_come_back(tmp_path):
    model = build_shallow()
    model.generator.resize_token_embeddings(VOCABULARY + 3)
    for save in (model.save_pretrained, model.save_halves, lambda folder: model.save(folder / "model.keras")):
        with pytest.raises(ValueError, match="vocab_size"):
            save(tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.stat().st_size]
    model.discriminator.resize_token_embeddings(VOCABULARY + 3)
    model.save_pretrained(tmp_path)
    model.save(tmp_path / "model.keras")
    for again in (
        TFElectraForJointPreTraining.from_pretrained(tmp_path),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert again.config.vocab_size == again.generator.config.vocab_size == VOCABULARY + 3


def test_what_was_traced_before_both_were_resized_is_traced_anew():
    model, batch = build_shallow(), tensors(make_batch(rows=3))
    before = model.predict(batch, batch_size=3, verbose=0)
    for network in model.networks().values():
        network.resize_token_embeddings(VOCABULARY + 3)
    again, called = model.predict(batch, batch_size=3, verbose=0), model(**batch)
    assert before["generator_logits"].shape[-1] == VOCABULARY
    assert again["generator_logits"].shape[-1] == VOCABULARY + 3
    assert_close("generator_logits", called.generator_logits.numpy(), again["generator_logits"], FORWARD)


def test_a_google_checkpoint_gives_both_networks_and_a_single_one_does_not(tmp_path):
    model = TFElectraForJointPreTraining.from_pretrained(
        GOOGLE / "trained", num_attention_heads=GOOGLE_HEADS, hidden_dropout_prob=0.25
    )
    for name, network in model.networks().items():
        assert network.config.num_attention_heads == GOOGLE_HEADS[name]
        assert network.config.hidden_dropout_prob == 0.25
    convert_checkpoint(GOOGLE / "trained", tmp_path, format="joint", num_attention_heads=GOOGLE_HEADS)
    again = TFElectraForJointPreTraining.from_pretrained(tmp_path)
    assert all(np.array_equal(array, state_of(again)[name]) for name, array in state_of(model).items())
    model.save_halves(tmp_path)
    with pytest.raises(CheckpointError, match="holds no generator, only a discriminator"):
        TFElectraForJointPreTraining.from_pretrained(tmp_path / "discriminator")


@pytest.mark.filterwarnings(KERAS_ARRAYS)
@CASES
def test_kerass_own_files_bring_it_back(case, tmp_path):
    model = build(case)
    assert json.loads(json.dumps(model.get_config())) == model.get_config()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.objective == model.objective
    expected, found = state_of(model), state_of(again)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def build_shallow():
    """Return two networks of one layer: tracing and compiling take their time for each."""
    keras.utils.set_random_seed(3)
    configs = (config.replace(num_hidden_layers=1) for config in (CONFIG, OBJECTIVES["shared embeddings"][1]))
    return TFElectraForJointPreTraining(*configs)


def test_fit_trains_both_networks(monkeypatch):
    traced = count_calls(monkeypatch, TFElectraForJointPreTraining, "train_step")
    model, batch = build_shallow(), make_batch()
    before = state_of(model)
    model.compile(optimizer=TFElectraAdam(0.01), jit_compile=False)
    losses = model.fit(batch, epochs=4, batch_size=5, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert len(traced) == 1  # the optimizer has its variables before
    still = [name for name, array in state_of(model).items() if np.array_equal(array, before[name])]
    # The keys' biases have no gradient, and 0 decays to 0.
    assert not [name for name in still if not name.endswith("key.bias")]


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (None, {"sample_weight": np.zeros(5)}, "takes no sample_weight: .* masked_weights"),
        (None, {"y": np.zeros(5), "sample_weight": np.zeros(5)}, "takes no sample_weight"),
        ("mse", {}, "computes its own loss: leave loss out of compile"),
    ],
)
def test_what_the_joint_loss_has_no_use_for_is_refused(loss, options, message):
    model = build_shallow()
    model.compile(optimizer="sgd", loss=loss, run_eagerly=True)
    quietly = (partial(call, verbose=0) for call in (model.fit, model.evaluate))
    for call in (*quietly, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=message):
            call(make_batch(), **options)


@pytest.mark.parametrize("as_dictionary", [True, False])
def test_regularizers_count_in_the_loss_that_fit_sees(as_dictionary):
    configs = (config.replace(num_hidden_layers=1, return_dict=as_dictionary) for config in (CONFIG, GENERATOR))
    model, batch = TFElectraForJointPreTraining(*configs), recorded_batch()
    model.compile(optimizer="sgd", run_eagerly=True)
    plain = model.evaluate(batch, verbose=0)
    table = model.discriminator.get_input_embeddings().embeddings
    table.regularizer = keras.regularizers.L2(3.0)
    penalty = 3.0 * np.square(table.numpy()).sum()
    assert_close("loss", plain + penalty, model.evaluate(batch, verbose=0), FORWARD * penalty)


def test_a_regularizer_counts_once_for_all_replicas_and_in_any_precision(monkeypatch):
    shares = [replica_share(tf.constant(3.0, dtype), [tf.ones((2, 5))]) for dtype in ("float32", "bfloat16")]
    assert [(float(share), share.dtype.name) for share in shares] == [(13.0, "float32"), (13.0, "bfloat16")]
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: SimpleNamespace(num_replicas_in_sync=2))
    assert float(replica_share(tf.constant(3.0), [tf.ones(4)])) == 3.5


@pytest.mark.filterwarnings(KERAS_ARRAYS)
def test_kerass_own_files_keep_the_dtype_that_was_loaded(tmp_path):
    build_shallow().save_pretrained(tmp_path)
    half = TFElectraForJointPreTraining.from_pretrained(tmp_path, dtype="bfloat16")
    half.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert half.dtype_policy.name == again.dtype_policy.name == "bfloat16"
    assert {variable.dtype for variable in again.trainable_variables} == {"bfloat16"}


def test_a_training_step_compiled_by_xla_gives_the_same_loss():
    model, batch = build_shallow(), tensors(make_batch())
    optimizer = TFElectraAdam(0.01)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def step(batch):
        with tf.GradientTape() as tape:
            output = model(**batch, training=True)
        gradients = tape.gradient(output["loss"], model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return output

    expected = model(**batch)
    found = step(batch)
    for name in expected:
        assert_close(name, expected[name], found[name], 50 * FORWARD)
    assert float(step(batch)["loss"]) < float(found["loss"])
