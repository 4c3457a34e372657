"""Google's head for answers: what its formula gives, beams, answerability, and its refusals."""

import numpy as np
import pytest

from support import answer_formula
from support.assertions import assert_close
from support.initial_weights import assert_documented_scheme
from support.tolerances import FORWARD

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from electra_common import ElectraConfig  # noqa: E402
from electra_common.weights.shapes import expected_shapes  # noqa: E402
from electra_tf import PackedLayout, TFElectraForQuestionAnswering  # noqa: E402
from electra_tf.pretrained import canonical_state  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=29, initializer_range=0.3, head="google",
)  # fmt: skip
BATCH, LENGTH, BEAM = 4, 27, 20
STARTS, ENDS, IMPOSSIBLE = np.array([9, 0, 12, 10]), np.array([11, 0, 12, 20]), np.array([0, 1, 0, 0])


def batch():
    """Questions of 7 pieces, texts of different lengths behind them."""
    columns = np.arange(LENGTH)[None]
    mask = (columns < np.array([27, 14, 22, 25])[:, None]).astype("int64")
    types = ((columns >= 7) * mask).astype("int64")
    ids = np.random.default_rng(2).integers(1, 97, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def answer_mask(types):
    mask = types.copy()
    mask[:, 0] = 1
    return mask


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = TFElectraForQuestionAnswering(CONFIG)
    for variable in model.answer_head.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.1, seed=1))
    return model


def call(model, **arguments):
    return model(**arguments)


def numbers(tensor):
    return np.asarray(tensor)


def formula(model, **options):
    inputs = batch()
    hidden = numbers(call(model.electra, **inputs).last_hidden_state).astype("float64")
    weights = {
        name.removeprefix("answer_head."): numbers(tensor).T
        for name, tensor in canonical_state(model).items()
        if name.startswith("answer_head.")
    }
    return answer_formula.answers(hidden, answer_mask(inputs["token_type_ids"]), weights, BEAM, **options)


def test_beams_are_those_of_the_formula(model):
    output, expected = call(model, **batch()), formula(model)
    assert set(output) == set(expected)
    assert output.start_top_index.shape == (BATCH, BEAM)
    assert output.end_top_index.shape == (BATCH, BEAM, BEAM)
    for name in ("start_logits", "end_logits", "impossible_logits"):
        scale = 1 if name == "impossible_logits" else 1000  # where -1000 was added, float32 has fewer digits left
        inside = answer_mask(batch()["token_type_ids"]) == 1 if scale > 1 else slice(None)
        assert_close(name, expected[name][inside], numbers(output[name])[inside], FORWARD)
    # Beyond the few places where answers may be, the order of what is left is a matter of rounding.
    for row, allowed in enumerate(answer_mask(batch()["token_type_ids"]).sum(1)):
        kept = min(int(allowed), BEAM)
        for name in ("start_top_log_probs", "start_top_index"):
            assert_close(name, expected[name][row, :kept], numbers(output[name])[row, :kept], FORWARD)
        for name in ("end_top_log_probs", "end_top_index"):
            assert_close(name, expected[name][row, :kept, :kept], numbers(output[name])[row, :kept, :kept], FORWARD)


def test_beams_are_as_wide_as_short_texts_in_graphs_too(model):
    head = model.answer_head
    open_length = [tf.TensorSpec((None, None, 24)), tf.TensorSpec((None, None), "int32")]
    program = tf.function(lambda states, mask: head(states, mask), open_length, autograph=False)
    for length in (5, 27):
        states, mask = tf.random.normal((2, length, 24)), tf.ones((2, length), "int32")
        expected, found = head(states, mask), program(states, mask)
        assert found["end_top_index"].shape == (2, min(length, BEAM), min(length, BEAM))
        for name, tensor in expected.items():
            assert_close(name, numbers(tensor), numbers(found[name]), FORWARD)


def test_with_labels_ends_are_sought_given_the_right_start(model):
    expected = formula(model, start_positions=STARTS)
    labels = {"start_positions": STARTS, "end_positions": ENDS, "is_impossible": IMPOSSIBLE}
    output = call(model, **batch(), **labels)
    inside = answer_mask(batch()["token_type_ids"]) == 1
    assert_close("end", expected["end_logits"][inside], numbers(output.end_logits)[inside], FORWARD)
    assert_close("loss", answer_formula.loss(expected, STARTS, ENDS, IMPOSSIBLE), numbers(output.loss), FORWARD)
    assert output.start_top_index is None
    unlabelled = call(model, **batch(), start_positions=STARTS, end_positions=ENDS)
    halved = numbers(output.loss) - numbers(unlabelled.loss)
    assert 0 < halved < 2


def test_answers_may_stand_in_the_text_and_at_the_first_token_alone(model):
    output = call(model, **batch())
    allowed = answer_mask(batch()["token_type_ids"])
    for row, starts in enumerate(numbers(output.start_top_index)):
        assert allowed[row, starts[: int(allowed[row].sum())]].all()


def test_weights_are_drawn_saved_and_loaded(tmp_path):
    keras.utils.set_random_seed(0)
    fresh = TFElectraForQuestionAnswering(CONFIG.replace(hidden_size=48))
    state = {name: numbers(tensor) for name, tensor in canonical_state(fresh).items() if "answer_head" in name}
    assert_documented_scheme(state, CONFIG)
    assert set(canonical_state(fresh)) == set(expected_shapes(fresh.config, "ElectraForQuestionAnswering"))
    assert not any(name.startswith("qa_outputs") for name in canonical_state(fresh))
    fresh.save_pretrained(tmp_path)
    again = TFElectraForQuestionAnswering.from_pretrained(tmp_path)
    assert again.config.head == "google"
    for name, tensor in canonical_state(fresh).items():
        assert np.array_equal(numbers(tensor), numbers(canonical_state(again)[name])), name


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({}, {"is_impossible": IMPOSSIBLE}, "goes together with positions"),
        ({"head": "transformers"}, {"start_positions": STARTS, "end_positions": ENDS, "is_impossible": IMPOSSIBLE},
         'and head="google"'),
    ],
)  # fmt: skip
def test_labels_that_the_head_cannot_use_are_refused(changes, labels, message):
    with pytest.raises(ValueError, match=message):
        call(TFElectraForQuestionAnswering(CONFIG.replace(**changes)), **batch(), **labels)


def test_a_packed_layout_is_refused(model):
    ids, mask = (batch()[name] for name in ("input_ids", "attention_mask"))
    with pytest.raises(ValueError, match="leave layout out"):
        model(ids, layout=PackedLayout.from_mask(mask))


def test_fit_takes_its_labels_among_the_inputs():
    model = TFElectraForQuestionAnswering(CONFIG)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    labels = {"start_positions": STARTS, "end_positions": ENDS, "is_impossible": IMPOSSIBLE}
    losses = model.fit({**batch(), **labels}, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    with pytest.raises(ValueError, match="labels go among the inputs"):
        model.evaluate(batch(), labels, verbose=0)
