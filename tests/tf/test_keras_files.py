"""Models through Keras's own saving: ``.keras`` files, weights alone, and clones."""

import io
import zipfile

import h5py
import numpy as np
import pytest

from support.assertions import assert_close
from support.keras_writer import weights_h5
from support.tolerances import GRADIENT

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from electra_common import ElectraConfig, open_checkpoint  # noqa: E402
from electra_common.weights.fingerprint import fingerprint  # noqa: E402
from electra_common.weights.names import find_row  # noqa: E402
from electra_tf import TFElectraForMaskedLM, TFElectraForPreTraining, TFElectraModel  # noqa: E402
from electra_tf.pretrained import TFElectraPreTrainedModel, canonical_state  # noqa: E402

# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

MODELS = (TFElectraModel, TFElectraForPreTraining, TFElectraForMaskedLM)
CONFIG = ElectraConfig(
    vocab_size=31, embedding_size=6, hidden_size=10, num_hidden_layers=2, num_attention_heads=2, intermediate_size=14,
    max_position_embeddings=9, hidden_act="gelu_new", id2label={0: "no", 1: "yes", 2: "perhaps"},
)  # fmt: skip
IDS = np.random.default_rng(5).integers(1, 31, (4, 7)).astype("int32")


def assert_same_weights(expected, found):
    expected, found = canonical_state(expected), canonical_state(found)
    assert list(expected) == list(found)
    for name, variable in expected.items():
        assert np.array_equal(np.asarray(variable.numpy()), np.asarray(found[name].numpy())), name


def only_output(model):
    return model(IDS, return_dict=False)[0]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("model_class", MODELS)
def test_a_keras_file_gives_the_model_back(tmp_path, model_class, dtype):
    model = model_class(CONFIG, name="mine", dtype=dtype)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is model_class
    assert (again.config, again.name, again.dtype_policy.name) == (CONFIG, "mine", dtype)
    assert_same_weights(model, again)
    assert np.array_equal(np.asarray(only_output(model)), np.asarray(only_output(again)))


@pytest.mark.parametrize("changes", [{}, {"embedding_size": 10, "tie_word_embeddings": False}])
@pytest.mark.parametrize("model_class", MODELS)
def test_weights_alone_go_into_another_model(tmp_path, model_class, changes):
    config = CONFIG.replace(**changes)
    model, other = model_class(config), model_class(config)
    model.save_weights(tmp_path / "it.weights.h5")
    other.load_weights(tmp_path / "it.weights.h5")
    assert_same_weights(model, other)


def test_a_compiled_model_goes_on_training_where_it_was(tmp_path):
    labels = (IDS % 2).astype("float32")
    model = TFElectraForPreTraining(
        CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    )  # without dropout, so that both go the same way
    loss = {"logits": keras.losses.BinaryCrossentropy(from_logits=True)}
    model.compile(optimizer=keras.optimizers.AdamW(1e-2), loss=loss, jit_compile=False)  # XLA compiles for seconds
    model.fit({"input_ids": IDS}, {"logits": labels}, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_weights(model, again)
    pairs = list(zip(model.optimizer.variables, again.optimizer.variables, strict=True))
    assert int(again.optimizer.iterations.numpy()) == 2
    assert all(np.array_equal(one.numpy(), other.numpy()) for one, other in pairs)
    histories = [one.fit({"input_ids": IDS}, {"logits": labels}, epochs=2, verbose=0) for one in (model, again)]
    first, second = (history.history["loss"] for history in histories)
    assert_close("losses", np.array(first), np.array(second), GRADIENT)  # threads add up in any order


@pytest.mark.parametrize("model_class", MODELS)
def test_a_clone_has_the_shapes_and_its_own_weights(model_class):
    model = model_class(CONFIG)
    clone = model_class.from_config(model.get_config())
    assert clone.config == CONFIG
    pairs = zip(canonical_state(model).values(), canonical_state(clone).values(), strict=True)
    assert all(one.shape == other.shape and one is not other for one, other in pairs)


def test_a_config_that_is_unusable_is_a_value_error():
    stored = TFElectraModel(CONFIG).get_config()
    stored["config"]["hidden_size"] = -1
    with pytest.raises(ValueError, match="hidden_size must be an integer"):
        TFElectraModel.from_config(stored)


def test_a_users_own_model_is_saved_like_ours_and_does_not_take_its_name(tmp_path):
    class TFElectraForMine(TFElectraPreTrainedModel):
        def __init__(self, config, **options):
            super().__init__(config, **options)
            with keras.name_scope(self.name):
                self.electra = TFElectraModel(config)
            self.initialize()

        def build(self, input_shape=None):
            pass

        def call(self, input_ids):
            return self.electra(input_ids).last_hidden_state[:, 0]  # [batch, hidden]

    model = TFElectraForMine(CONFIG)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(np.asarray(model(IDS)), np.asarray(again(IDS)))
    assert keras.saving.get_registered_name(TFElectraModel) == "electra_tf>TFElectraModel"
    assert not keras.saving.get_registered_name(TFElectraForMine).startswith("electra_tf>")


# Read by our own reader, without Keras -------------------------------------------------------------------------------


def assert_reads_as(model, path):
    """Assert that a file of Keras's has the fingerprint of the safetensors that the same model saves."""
    model.save_pretrained(path.parent / "saved")
    expected = fingerprint(open_checkpoint(path.parent / "saved").component().tensors)
    checkpoint = open_checkpoint(path)
    component = checkpoint.component()
    assert checkpoint.format == "keras"
    assert fingerprint(component.tensors) == expected
    assert not component.unexpected
    again = type(model).from_pretrained(path, dtype="auto", num_attention_heads=2)
    assert_same_weights(model, again)
    return component, again


@pytest.mark.parametrize(
    ("changes", "dtype"), [({}, "bfloat16"), ({"embedding_size": 10, "tie_word_embeddings": False}, "float32")]
)
@pytest.mark.parametrize("model_class", MODELS)
def test_files_of_keras_have_the_fingerprint_of_our_safetensors(tmp_path, model_class, changes, dtype):
    model = model_class(CONFIG.replace(**changes), name="mine", dtype=dtype)
    model.save_weights(tmp_path / "x.weights.h5")
    assert_reads_as(model, tmp_path / "x.weights.h5")
    model.save(tmp_path / "x.keras")
    _, again = assert_reads_as(model, tmp_path / "x.keras")
    assert again.config.replace(architectures=None, dtype=None) == model.config
    assert again.config.id2label == CONFIG.id2label


def test_a_compiled_models_file_is_read_without_its_optimizer(tmp_path):
    model = TFElectraForPreTraining(CONFIG)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-2),
        loss={"logits": keras.losses.BinaryCrossentropy(from_logits=True)},
        metrics={"logits": [keras.metrics.BinaryAccuracy()]},
        jit_compile=False,
    )
    model.fit({"input_ids": IDS}, {"logits": (IDS % 2).astype("float32")}, verbose=0)
    model.save(tmp_path / "x.keras")
    component, _ = assert_reads_as(model, tmp_path / "x.keras")
    assert set(component.leftovers.values()) == {"optimizer state"}
    assert len(component.leftovers) == len(model.optimizer.variables)


def test_a_model_within_another_is_found(tmp_path):
    body = TFElectraModel(CONFIG)
    ids = keras.Input((None,), dtype="int32")
    keras.Model(ids, body(ids).last_hidden_state).save(tmp_path / "x.keras")
    component = open_checkpoint(tmp_path / "x.keras").component()
    body.save_pretrained(tmp_path / "saved")
    assert fingerprint(component.tensors) == fingerprint(open_checkpoint(tmp_path / "saved").component().tensors)


def structure(content):
    """Return every group of layers or variables with its name, and every variable with its shape and dtype."""
    found = {}
    with h5py.File(io.BytesIO(content)) as file:

        def visit(path, item):
            if isinstance(item, h5py.Dataset):
                found[path] = (item.shape, item.dtype.str, dict(item.attrs))
            elif path.endswith("vars") and "dropout" not in path:
                found[path] = dict(item.attrs)

        file.visititems(visit)
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("model_class", MODELS)
def test_the_files_that_other_tests_write_without_keras_are_laid_out_as_its_own(tmp_path, model_class, dtype):
    model = model_class(CONFIG, name="mine", dtype=dtype)
    model.save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        written = archive.read("model.weights.h5")
    arrays = {name: np.asarray(variable.numpy()) for name, variable in canonical_state(model).items()}
    arrays = {name: array.T if find_row(name).transpose else array for name, array in arrays.items()}
    assert structure(weights_h5(arrays, model_name="mine", body=model.is_body)) == structure(written)
