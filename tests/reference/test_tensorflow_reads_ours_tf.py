"""TensorFlow opens the bundles that are written here, and the object graphs that it writes are read here."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from electra_common import ElectraConfig
from electra_common.weights.atomic import write_files
from electra_common.weights.components import google_components
from electra_common.weights.formats.bundle_paths import find_prefix
from electra_common.weights.formats.tf1_bundle import read_bundle, read_string
from electra_common.weights.formats.tf1_bundle_writer import bundle_files
from electra_common.weights.formats.tf2_object_graph import GRAPH_KEY, is_object_graph, read_object_graph
from electra_common.weights.google_names import google_tensors
from electra_common.weights.names import keras_path
from electra_common.weights.shapes import expected_shapes
from support import tiny_networks as tiny
from support.fixtures import GOOGLE

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from electra_tf import TFElectraForPreTraining  # noqa: E402 - needs TensorFlow

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32",
          "uint16", "uint8", "bool")  # fmt: skip
SMALL = ElectraConfig(
    vocab_size=13, embedding_size=6, hidden_size=10, num_hidden_layers=3, num_attention_heads=2, intermediate_size=14,
    max_position_embeddings=11,
)  # fmt: skip


def arrays_of_all_kinds():
    arrays = tiny.random_arrays({"scalar": (), "empty": (0, 3), "a/matrix": (3, 5), "a": (7,), "b/cube": (2, 3, 5)})
    for number, dtype in enumerate(DTYPES):
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        arrays[f"kinds/{dtype}"] = (np.arange(11 + number) % 2).astype(kind)
    arrays["global_step"] = np.array(766_000_000_000, np.int64)
    return arrays


def arrays_of_many_blocks():
    return {f"layer_{index:05d}/with/a/rather/long/name/kernel": np.float32(index) for index in range(7001)}


def write(folder, arrays, name="model.ckpt-7"):
    write_files(folder, bundle_files(name, tiny.stored(arrays)))
    return str(folder / name)


# TensorFlow reads ours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrays", [arrays_of_all_kinds, arrays_of_many_blocks])
def test_tensorflow_loads_what_is_written(arrays, tmp_path):
    arrays = arrays()
    write(tmp_path, arrays)
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-7")
    reader = tf.train.load_checkpoint(str(tmp_path))
    assert tf.train.list_variables(str(tmp_path)) == [(name, list(arrays[name].shape)) for name in sorted(arrays)]
    tiny.assert_same_bytes(arrays, {name: np.asarray(reader.get_tensor(name)) for name in arrays})


@pytest.mark.parametrize("arrays", [arrays_of_all_kinds, arrays_of_many_blocks])
def test_tensorflow_writes_the_same_bytes(arrays, tmp_path):
    arrays = dict(sorted(arrays().items()))  # as Savers pass them on; the bare operation takes them as they come
    ours = Path(write(tmp_path, arrays, "ours"))
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs"), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )  # fmt: skip
    for ending in (".index", ".data-00000-of-00001"):
        theirs = (tmp_path / f"theirs{ending}").read_bytes()
        assert ours.with_name(f"ours{ending}").read_bytes() == theirs, ending
    assert ours.with_name("ours.index").stat().st_size > (262144 if len(arrays) > 1000 else 0)


def test_the_restore_operation_of_tensorflow_reads_it(tmp_path):
    arrays = arrays_of_all_kinds()
    found = tf.raw_ops.RestoreV2(
        prefix=write(tmp_path, arrays), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays),
        dtypes=[array.dtype for array in arrays.values()],
    )  # fmt: skip
    tiny.assert_same_bytes(arrays, {name: value.numpy() for name, value in zip(arrays, found, strict=True)})


def test_a_saver_restores_a_graph_of_googles_variables_from_it(tmp_path):
    arrays = tiny.random_arrays(tiny.google_pretraining())
    components = {name: item.tensors for name, item in google_components(tiny.stored(arrays)).items()}
    write_files(tmp_path, bundle_files("model.ckpt-0", google_tensors(**components)))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [tf.compat.v1.get_variable(name, array.shape, use_resource=False) for name, array in arrays.items()]
        tf.compat.v1.train.Saver().restore(session, str(tmp_path / "model.ckpt-0"))
        tiny.assert_same_bytes(arrays, dict(zip(arrays, session.run(variables), strict=True)))


def test_googles_checkpoint_written_again_is_the_same_to_tensorflow(tmp_path):
    prefix = find_prefix(GOOGLE / "trained")
    write_files(tmp_path, bundle_files(prefix.name, read_bundle(prefix)[0]))
    before, after = (tf.train.load_checkpoint(str(path)) for path in (prefix, tmp_path / prefix.name))
    assert before.get_variable_to_dtype_map() == after.get_variable_to_dtype_map()
    for name in before.get_variable_to_shape_map():
        assert before.get_tensor(name).tobytes() == after.get_tensor(name).tobytes(), name


# Object graphs that TensorFlow writes -------------------------------------------------------------------------------


def read_weights(prefix):
    """Return the arrays of a checkpoint that are weights, and the reasons why the others are not."""
    assert is_object_graph(read_bundle(Path(prefix))[1])
    tensors, reasons = read_object_graph(Path(prefix))
    return tiny.read_all({name: item for name, item in tensors.items() if name not in reasons}), reasons


def arrays_of(model):
    return {variable.path: np.asarray(variable) for variable in model.weights}


class Scope(tf.Module):
    """Variables and scopes within a scope, named as in Google's code."""

    def __init__(self, arrays, path=""):
        super().__init__()
        self.variables_here = {}
        self.scopes = {}
        for name, array in arrays.items():
            first, _, rest = name.removeprefix(path).partition("/")
            if not rest:
                self.variables_here[first] = tf.Variable(array, name=name)
            elif first not in self.scopes:
                inner = f"{path}{first}/"
                of_scope = {key: value for key, value in arrays.items() if key.startswith(inner)}
                self.scopes[first] = Scope(of_scope, inner)


def test_googles_names_come_out_of_modules_of_plain_variables(tmp_path):
    arrays = tiny.random_arrays(tiny.google_pretraining())
    model = Scope(arrays)
    prefix = tf.train.Checkpoint(model=model, again=model, step=tf.Variable(7, name="step")).save(
        str(tmp_path / "ckpt")
    )
    weights, reasons = read_weights(prefix)
    tiny.assert_same_bytes(arrays, weights)
    assert reasons == {"save_counter": "save counter", "step": "number of the program's own, such as a step"}


def test_variables_without_names_of_their_own_come_out_by_their_paths(tmp_path):
    class Inner(tf.Module):
        def __init__(self, value):
            super().__init__()
            setattr(self, "with.dot", tf.Variable([value, 2.0]))

    prefix = tf.train.Checkpoint(first=Inner(1.0), second=[Inner(3.0)]).write(str(tmp_path / "ckpt"))
    weights, reasons = read_weights(prefix)
    expected = {"first/with.dot": np.array([1, 2], "f"), "second/0/with.dot": np.array([3, 2], "f")}
    tiny.assert_same_bytes(expected, weights)
    assert reasons == {}


def trained_keras_model():
    model = keras.Sequential([keras.layers.Dense(3, name="first"), keras.layers.LayerNormalization(name="norm")])
    model.compile(keras.optimizers.AdamW(use_ema=True), "mse")
    model.fit(np.ones((4, 5)), np.ones((4, 3)), verbose=0)
    return model


@pytest.mark.parametrize("roots", ["model and optimizer", "optimizer first", "model alone"])
def test_a_keras_model_is_told_from_its_optimizer(roots, tmp_path):
    model = trained_keras_model()
    checkpoint = {
        "model and optimizer": lambda: tf.train.Checkpoint(model=model, optimizer=model.optimizer),
        "optimizer first": lambda: tf.train.Checkpoint(a=model.optimizer, model=model, iter=tf.Variable(3, name="i")),
        "model alone": lambda: tf.train.Checkpoint(model),
    }[roots]()
    weights, reasons = read_weights(checkpoint.save(str(tmp_path / "ckpt")))
    tiny.assert_same_bytes(arrays_of(model), weights)
    of_optimizer = {name for name, reason in reasons.items() if reason == "optimizer state"}
    assert of_optimizer == {variable.path for variable in model.optimizer.variables}
    of_program = {"i"} if roots == "optimizer first" else set()
    assert {name for name, reason in reasons.items() if reason.startswith("number of the program's")} == of_program
    assert set(reasons) - of_optimizer - of_program == {"save_counter"}


def test_slots_of_the_older_kind_are_put_aside(tmp_path):
    """Optimizers of TensorFlow itself register slots, which Keras 3 no longer does."""

    weight = tf.Variable(np.arange(15, dtype="f").reshape(3, 5), name="dense/kernel")
    optimizer = tf.compat.v1.train.AdamOptimizer()
    optimizer.apply_gradients([(tf.ones((3, 5)), weight)])
    prefix = tf.train.Checkpoint(optimizer=optimizer, weight=weight).save(str(tmp_path / "ckpt"))
    weights, reasons = read_weights(prefix)
    tiny.assert_same_bytes({"dense/kernel": weight.numpy()}, weights)
    assert {"optimizer slot m", "optimizer slot v", "optimizer state", "save counter"} == set(reasons.values())


# Our own models -----------------------------------------------------------------------------------------------------


def built_model():
    model = TFElectraForPreTraining(SMALL)
    model(np.array([[1, 2, 3]]))
    return model


def test_all_weights_of_our_model_come_out_by_their_keras_paths(tmp_path):
    """The names are those of the table's Keras column behind the name of the model."""
    model = built_model()
    prefix = tf.train.Checkpoint(model=model, weights=list(model.weights)).save(str(tmp_path / "ckpt"))
    weights, _ = read_weights(prefix)
    tiny.assert_same_bytes(arrays_of(model), weights)
    expected = expected_shapes(SMALL, "ElectraForPreTraining")
    assert set(weights) == {f"{model.name}/{keras_path(canonical)}" for canonical in expected}


def test_our_trained_model_is_told_from_its_optimizer(tmp_path):
    model = built_model()
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    prefix = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    weights, reasons = read_weights(prefix)
    tiny.assert_same_bytes(arrays_of(model), weights)
    assert set(reasons) == {"save_counter", *(variable.path for variable in optimizer.variables)}


def test_whatever_tensorflow_saves_of_our_model_alone_has_its_keras_path(tmp_path):
    """TensorFlow follows attributes, and does not look into the lists of a Keras layer."""
    model = built_model()
    weights, _ = read_weights(tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt")))
    expected = arrays_of(model)
    assert set(weights) <= set(expected)
    tiny.assert_same_bytes({name: expected[name] for name in weights}, weights)


def test_the_graph_is_the_string_that_tensorflow_reads(tmp_path):
    prefix = tf.train.Checkpoint(model=built_model()).save(str(tmp_path / "ckpt"))
    expected = tf.train.load_checkpoint(prefix).get_tensor(GRAPH_KEY)
    assert read_string(Path(prefix), GRAPH_KEY, max_bytes=len(expected)) == expected
