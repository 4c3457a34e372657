"""TensorFlow 2's object-graph checkpoints, of our own models and of variables with Google's names."""

import numpy as np
import pytest

from electra_common import CheckpointError, ElectraConfig, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.tf1_bundle import read_bundle
from support.fixtures import GOOGLE, GOOGLE_HEADS

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from electra_tf import TFElectraForMaskedLM, TFElectraForPreTraining, TFElectraModel  # noqa: E402
from electra_tf.pretrained import canonical_state  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip


@pytest.mark.parametrize("model_class", [TFElectraModel, TFElectraForPreTraining, TFElectraForMaskedLM])
@pytest.mark.parametrize("name", [None, "mine"])
def test_a_checkpoint_of_our_model_and_its_optimizer_loads(tmp_path, model_class, name):
    model = model_class(CONFIG, **({"name": name} if name else {}))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    again, report = model_class.from_pretrained(tmp_path, num_attention_heads=3, output_loading_info=True)
    assert report.format == "tf2"
    assert report.leftovers
    found = canonical_state(again)
    for key, variable in canonical_state(model).items():
        assert np.array_equal(variable.numpy(), found[key].numpy()), key


def test_a_checkpoint_of_our_model_alone_holds_every_layer(tmp_path):
    model = TFElectraForPreTraining(CONFIG)
    tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    again = canonical_state(TFElectraForPreTraining.from_pretrained(tmp_path, num_attention_heads=3))
    for key, variable in canonical_state(model).items():
        assert np.array_equal(variable.numpy(), again[key].numpy()), key


def test_variables_with_googles_names_give_both_networks(tmp_path):
    tensors, _ = read_bundle(GOOGLE / "trained" / "model.ckpt-6")
    variables = [tf.Variable(tensor.read(), name=name) for name, tensor in tensors.items() if "adam" not in name]
    tf.train.Checkpoint(variables=variables).save(str(tmp_path / "ckpt"))
    for component in GOOGLE_HEADS:
        expected, found = (
            fingerprint(open_checkpoint(path).component(component).tensors) for path in (GOOGLE / "trained", tmp_path)
        )
        assert expected == found


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    tf.train.Checkpoint(step=tf.Variable(3)).save(str(tmp_path / "ckpt"))
    with pytest.raises(CheckpointError, match="has a name of ELECTRA's"):
        open_checkpoint(tmp_path)
