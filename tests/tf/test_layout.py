"""The seam for padding: attention asks the layout, and no layer knows how tokens are arranged."""

from dataclasses import dataclass

import numpy as np
import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD

keras = pytest.importorskip("keras")

from electra_common import ElectraConfig  # noqa: E402
from electra_tf import TFElectraModel  # noqa: E402
from electra_tf.layout import PaddedLayout  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip
LENGTHS = (13, 1, 7)


@dataclass(frozen=True)
class OneRow:
    """All real tokens in one row, [tokens, hidden]; each sequence attends to itself."""

    lengths: tuple[int, ...]

    def last_queries(self, hidden_states):
        return hidden_states

    def attend(self, query, key, value, *, dropout, return_weights, training=None):
        layout = PaddedLayout(None)
        bounds = list(np.cumsum(self.lengths)[:-1])
        parts = zip(*(keras.ops.split(tensor, bounds) for tensor in (query, key, value)), strict=True)
        gathered = [
            layout.attend(q[None], k[None], v[None], dropout=dropout, return_weights=return_weights)[0][0]
            for q, k, v in parts
        ]
        return keras.ops.concatenate(gathered), None


def test_the_same_layers_serve_a_packed_row_without_a_change():
    keras.utils.set_random_seed(0)
    encoder = TFElectraModel(CONFIG.replace(initializer_range=0.2)).encoder
    mask = np.arange(13)[None] < np.array(LENGTHS)[:, None]
    hidden_states = np.random.default_rng(0).normal(size=(3, 13, 24)).astype("float32")
    padded, *_ = encoder(hidden_states, layout=PaddedLayout.from_mask(mask, "float32"))
    packed, *_ = encoder(hidden_states[mask], layout=OneRow(LENGTHS))
    assert packed.shape == (sum(LENGTHS), 24)
    assert_close("packed", np.asarray(padded)[mask], packed, FORWARD)


@pytest.mark.parametrize("lengths", [(13, 13, 13), LENGTHS])
def test_a_mask_that_masks_nothing_costs_nothing(lengths):
    mask = np.arange(13)[None] < np.array(lengths)[:, None]
    whole = np.broadcast_to(mask[:, None, :], (3, 13, 13))
    for given in (mask, mask.astype("int32"), keras.ops.convert_to_tensor(mask), keras.ops.convert_to_tensor(whole)):
        assert (PaddedLayout.from_mask(given, "float32").attention_bias is None) == (min(lengths) == 13)


def test_what_is_recorded_with_a_full_mask_serves_padded_batches():
    tensorflow = pytest.importorskip("tensorflow")
    model = TFElectraModel(CONFIG.replace(initializer_range=0.2))
    ids = np.random.default_rng(0).integers(1, CONFIG.vocab_size, (3, 13))
    mask = (np.arange(13)[None] < np.array(LENGTHS)[:, None]).astype("int32")
    recorded = tensorflow.function(lambda ids, mask: model(ids, mask)[0])
    recorded(tensorflow.constant(ids), tensorflow.ones_like(mask))
    found = recorded(tensorflow.constant(ids), tensorflow.constant(mask))
    assert_close("padded", np.asarray(model(ids, mask)[0]), np.asarray(found), FORWARD)
