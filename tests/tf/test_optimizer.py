"""ELECTRA's Adam in Keras: its arithmetic, its exclusions, its state, and its place in Keras's own machinery."""

import numpy as np
import pytest

from electra_common.runs.decay import is_decayed
from electra_common.weights.names import keras_path, rows
from support.adam_formula import DECAYED, OPTIONS, SHAPES, STEPS, expected, gradients, start
from support.assertions import assert_close, count_calls
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.tolerances import BFLOAT16_LOSS, FORWARD

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from electra_tf import ElectraConfig, TFElectraAdam, TFElectraForJointPreTraining, TFElectraForPreTraining  # noqa: E402
from electra_tf.initialization import path_scope  # noqa: E402
from electra_tf.optimizer import (  # noqa: E402
    adam_state,
    clip_by_global_norm,
    electra_adam,
    load_adam_state,
    named_weights,
)

CONFIG = ElectraConfig(
    vocab_size=31, embedding_size=6, hidden_size=10, num_hidden_layers=1, num_attention_heads=2, intermediate_size=14,
    max_position_embeddings=11,
)  # fmt: skip


def variables(dtype="float32"):
    """Return variables under the paths that they have in a network."""
    result = {}
    for name, array in start().items():
        folder, _, last = f"model/{keras_path(name)}".rpartition("/")
        with path_scope(folder):
            result[name] = keras.Variable(array, name=last, dtype=dtype)
    return result


def run(optimizer, named, steps=STEPS, first=0):
    for step in range(first, first + steps):
        values = gradients(step)
        optimizer.apply([tf.constant(values[name]) for name in named], list(named.values()))


@pytest.mark.parametrize("bias_correction", [False, True])
def test_the_arithmetic_is_googles(bias_correction):
    named = variables()
    optimizer = TFElectraAdam(**OPTIONS, bias_correction=bias_correction)
    run(optimizer, named)
    values, means, squares = expected(bias_correction)
    for index, (name, variable) in enumerate(named.items()):
        assert_close(name, values[name], variable.numpy(), FORWARD)
        assert_close(name, means[name], optimizer.means[index].numpy(), FORWARD)
        assert_close(name, squares[name], optimizer.squares[index].numpy(), FORWARD)
    assert SHAPES.keys() > DECAYED


@pytest.mark.parametrize("bias_correction", [False, True])
def test_variables_in_bfloat16_move_as_those_in_float32(bias_correction):
    """Also where a beta is 1 in that precision, so that by it nothing would be left to correct."""
    named = variables("bfloat16")
    run(TFElectraAdam(**OPTIONS, bias_correction=bias_correction), named)
    values, _, _ = expected(bias_correction)
    for name, variable in named.items():
        difference = np.asarray(variable, np.float32) - values[name]
        assert np.square(difference).mean() < BFLOAT16_LOSS**2 * np.square(values[name]).mean(), name
    still = variables("bfloat16")
    run(TFElectraAdam(0.1, bias_correction=bias_correction), still, steps=1)
    # The first step: m / sqrt(v) is 1 when corrected, else 0.1 / sqrt(0.001); decay and rounding are below 0.02.
    size = 0.1 if bias_correction else 0.1 * 0.1 / np.sqrt(0.001)
    for name, variable in still.items():
        moved = np.abs(np.asarray(variable, np.float32) - start()[name])
        assert moved.mean() == pytest.approx(size, abs=0.02), name


def test_with_bias_correction_and_no_decay_it_is_kerass_adam():
    ours, theirs = variables(), variables()
    beta_1, beta_2 = OPTIONS["betas"]
    run(TFElectraAdam(**{**OPTIONS, "weight_decay": 0.0}, bias_correction=True), ours)
    # Keras adds its epsilon before the correction, so only a tiny one gives the same numbers.
    run(keras.optimizers.Adam(OPTIONS["lr"], beta_1, beta_2, 1e-10), theirs)
    tiny = variables()
    run(TFElectraAdam(**{**OPTIONS, "weight_decay": 0.0, "eps": 1e-10}, bias_correction=True), tiny)
    for name in ours:
        assert_close(name, theirs[name].numpy(), tiny[name].numpy(), FORWARD)
        assert np.abs(ours[name].numpy() - tiny[name].numpy()).max() > FORWARD


def test_every_tensor_is_decayed_as_its_canonical_name_says_and_the_models_name_decides_nothing():
    named = {}
    for row in rows():
        folder, _, last = f"my_LayerNorm_debiased/{row.keras}".rpartition("/")
        # Of those that end alike, one is enough.
        if row.keras.split("/")[-2:] not in [variable.path.split("/")[-2:] for variable in named.values()]:
            with path_scope(folder):
                named[row.canonical] = keras.Variable(0.0, name=last)
    optimizer = TFElectraAdam()
    optimizer.build(list(named.values()))
    assert dict(zip(named, map(bool, optimizer.decays), strict=True)) == {name: is_decayed(name) for name in named}


def test_variables_that_the_user_excludes_are_not_decayed():
    named = variables()
    (first, variable), (second, other), *_ = ((name, named[name]) for name in named if name in DECAYED)
    for excluded in ({"var_list": [variable]}, {"var_names": [variable.name]}):
        optimizer = TFElectraAdam(**OPTIONS)
        optimizer.exclude_from_weight_decay(**excluded)
        before = variable.numpy(), other.numpy()
        optimizer.apply([tf.zeros(item.shape) for item in (variable, other)], [variable, other])
        assert np.array_equal(before[0], variable.numpy()), first
        assert_close(second, before[1] * (1 - OPTIONS["lr"] * OPTIONS["weight_decay"]), other.numpy(), FORWARD)


def test_factors_multiply_the_rate_and_must_be_of_the_model():
    model = TFElectraForPreTraining(CONFIG)
    weights = named_weights(model)
    factors = dict(zip(weights, (0.5, 0.0), strict=False))
    optimizer = electra_adam(model, learning_rate=0.5, weight_decay=0.0, epsilon=0.0, learning_rate_factors=factors)
    before = {name: variable.numpy().copy() for name, variable in weights.items()}
    optimizer.apply([tf.ones(variable.shape) for variable in weights.values()], list(weights.values()))
    # The first step without correction: m / sqrt(v) is 0.1 / sqrt(0.001) wherever the gradient is 1.
    for name, variable in weights.items():
        moved = 0.5 * factors.get(name, 1.0) * 0.1 / np.sqrt(0.001)
        assert_close(name, before[name] - moved, variable.numpy(), FORWARD)
    with pytest.raises(ValueError, match=r"does not have: electra\.nobody"):
        electra_adam(model, learning_rate_factors={"electra.nobody": 0.5})


def test_a_schedule_works_and_the_config_makes_the_same_optimizer_again():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [OPTIONS["lr"], 0.0])
    optimizer = TFElectraAdam(**{**OPTIONS, "lr": schedule})
    config = keras.saving.serialize_keras_object(optimizer)
    for item in (optimizer, keras.saving.deserialize_keras_object(config)):
        named = variables()
        run(item, named)
        values, _, _ = expected(steps=1)
        for name, variable in named.items():
            assert_close(name, values[name], variable.numpy(), FORWARD)
    plain = TFElectraAdam(**OPTIONS, bias_correction=True, global_clipnorm=2.0)
    again = TFElectraAdam.from_config(plain.get_config())
    assert again.get_config() == plain.get_config()
    assert float(again.learning_rate) == pytest.approx(OPTIONS["lr"])


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")  # Keras's own
def test_fit_takes_it_and_a_saved_model_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """A step is traced once: the optimizer has its variables before."""
    traced = count_calls(monkeypatch, TFElectraForPreTraining, "train_step")
    ids = np.random.default_rng(0).integers(1, 31, (6, 7))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": ids % 2}
    config = CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
    model = TFElectraForPreTraining(config)
    model.compile(optimizer=TFElectraAdam(0.01), jit_compile=False)
    losses = model.fit(inputs, epochs=3, batch_size=6, shuffle=False, verbose=0).history["loss"]
    assert losses[2] < losses[0]
    assert len(traced) == 1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    following = [item.fit(inputs, batch_size=6, shuffle=False, verbose=0).history["loss"] for item in (model, again)]
    assert following[0] == following[1]
    for name, pair in adam_state(model, model.optimizer).items():
        assert all(np.array_equal(*both) for both in zip(pair, adam_state(again, again.optimizer)[name], strict=True))


def test_adams_state_by_name_comes_back_in_both_networks():
    model = TFElectraForJointPreTraining.from_pretrained(GOOGLE / "trained", num_attention_heads=GOOGLE_HEADS)
    optimizer = electra_adam(model)
    zeros = adam_state(model, optimizer)
    assert not any(array.any() for pair in zeros.values() for array in pair)
    generator = np.random.default_rng(0)
    moments = {name: tuple(generator.random(array.shape, np.float32) for array in pair) for name, pair in zeros.items()}
    load_adam_state(model, optimizer, moments, step=6)
    found = adam_state(model, optimizer)
    assert found.keys() == moments.keys() == named_weights(model).keys()
    assert all(np.array_equal(a, b) for name in moments for a, b in zip(moments[name], found[name], strict=True))
    assert int(optimizer.iterations) == 6
    (name, pair), *rest = moments.items()
    with pytest.raises(ValueError, match=f"none for {name}; electra.nobody, which the model does not have"):
        load_adam_state(model, optimizer, {**dict(rest), "electra.nobody": pair})
    with pytest.raises(ValueError, match=r"of .* expected"):
        load_adam_state(model, optimizer, {**moments, name: (pair[0][1:], pair[1])})


@pytest.mark.parametrize("largest", [0.5, 1e6])
def test_clipping_is_by_the_norm_of_all_gradients(largest):
    """Rows that were looked up twice count with their sum."""
    dense = gradients(0)
    table = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]), tf.constant([2, 2, 0]), (4, 2))
    summed = np.array([[0.5, 0.5], [0, 0], [4, 1], [0, 0]])
    norm = np.sqrt(sum(np.square(item, dtype=np.float64).sum() for item in (*dense.values(), summed)))
    clipped, found = clip_by_global_norm([*map(tf.constant, dense.values()), None, table], largest)
    assert_close("norm", norm, found, FORWARD)
    assert clipped[-2] is None
    for name, gradient, item in zip(
        [*dense, "table"], [*dense.values(), summed], [*clipped[:-2], clipped[-1]], strict=True
    ):
        assert_close(name, gradient * min(1.0, largest / norm), item, FORWARD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": -1.0}, "lr must be at least 0"),
        ({"betas": (0.9, 1.0)}, "betas must be from 0 up to but not including 1"),
        ({"eps": float("nan")}, "eps must be at least 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
    ],
)
def test_numbers_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        TFElectraAdam(**{**OPTIONS, **changes})
