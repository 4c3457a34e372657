"""TFElectraForCausalLM against transformers' numbers, recorded by tests/reference/causal_recording.py."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from electra_common import CheckpointError, ElectraConfig  # noqa: E402
from electra_tf import TFElectraForCausalLM, TFElectraForMaskedLM, TFElectraModel  # noqa: E402
from electra_tf.pretrained import canonical_state  # noqa: E402
from support.assertions import assert_all_close, assert_close  # noqa: E402
from support.fixtures import CAUSAL, CAUSAL_CASES, causal_recording  # noqa: E402
from support.keras_gradients import canonical_gradients  # noqa: E402
from support.tolerances import FORWARD, GRADIENT  # noqa: E402

# Keras 3.15 asks its variables for arrays in the way that numpy 2 announces the end of; nothing here can change that.
KERAS_ARRAYS = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
KNOWN = 8  # tokens that were in the cache of the recorded step
ENCODER = ("encoder_hidden_states", "encoder_attention_mask")


def loaded(case, **options):
    model = TFElectraForCausalLM.from_pretrained(CAUSAL / case, **options)
    return model, causal_recording(case)


def encoder_of(inputs):
    return {name: inputs[name] for name in ENCODER if name in inputs}


def step_of(model, inputs, **options):
    """Return the output of the tokens behind the first ones, which are in a cache, and that cache."""
    names = ("input_ids", "token_type_ids")
    mask = inputs["attention_mask"]
    first = {name: inputs[name][:, :KNOWN] for name in names}
    cache = model(**first, attention_mask=mask[:, :KNOWN], **encoder_of(inputs)).past_key_values
    rest = {name: inputs[name][:, KNOWN:] for name in names}
    encoder = {name: tensor for name, tensor in encoder_of(inputs).items() if "mask" in name}  # states: in the cache
    return model(**rest, attention_mask=mask, past_key_values=cache, **encoder, **options), cache


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CAUSAL_CASES)
def test_everything_that_a_call_returns_is_transformers_and_in_its_order(case):
    model, recorded = loaded(case)
    output = model(**recorded["in"], output_hidden_states=True, output_attentions=True)
    found = output.flat()
    assert list(found) == list(recorded["out"])
    assert_all_close(recorded["out"], found, FORWARD)


@pytest.mark.parametrize("case", CAUSAL_CASES)
def test_a_graph_computes_the_same_and_returns_no_cache_unasked(case):
    model, recorded = loaded(case)
    inputs = {name: array for name, array in recorded["in"].items() if name != "labels"}
    run = tf.function(lambda **inputs: model(**inputs))
    output = run(**{name: tf.constant(array) for name, array in inputs.items()})
    assert list(output) == ["logits"]
    assert_close("logits", recorded["out"]["logits"], output.logits, FORWARD)
    assert type(output) is type(model(**inputs))


@pytest.mark.parametrize(("case", "recomputes"), [("alone", False), ("with-encoder", False), ("with-encoder", True)])
def test_gradients_are_transformers(case, recomputes):
    model, recorded = loaded(case)
    if recomputes:
        model.gradient_checkpointing_enable()
    with tf.GradientTape() as tape:
        loss = model(**recorded["in"], training=recomputes).loss
    found = canonical_gradients(tape, loss, model)
    assert_all_close(recorded["grad"], found, GRADIENT)


def test_a_row_without_labels_has_a_loss_of_zero_and_a_single_token_too():
    model, recorded = loaded("alone")
    ids = recorded["in"]["input_ids"]
    assert float(model(ids, labels=np.full_like(ids, -100)).loss) == 0
    assert float(model(ids[:, :1], labels=ids[:, :1]).loss) == 0


def test_a_later_token_changes_nothing_before_it():
    model, recorded = loaded("alone")
    ids = recorded["in"]["input_ids"]
    other = ids.copy()
    other[:, 6] = (ids[:, 6] + 1) % 37
    first, second = model(ids).logits, model(other).logits
    assert np.array_equal(first[:, :6], second[:, :6])
    assert not np.array_equal(first[:, 6:], second[:, 6:])


# Cache ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CAUSAL_CASES)
def test_a_step_with_a_cache_is_transformers_and_that_of_the_whole_text(case):
    model, recorded = loaded(case)
    output, cache = step_of(model, recorded["in"], output_hidden_states=True, output_attentions=True)
    found = {name: tensor for name, tensor in output.flat().items() if not name.startswith("past")}
    assert_all_close(recorded["step"], found, FORWARD)
    whole = model(**{name: tensor for name, tensor in recorded["in"].items() if name != "labels"})
    assert_close("logits", whole.logits[:, KNOWN:], output.logits, FORWARD)
    real = recorded["in"]["attention_mask"][:, :, None, None]  # padding attends to whatever there is
    for layer, (before, after) in enumerate(zip(cache, output.past_key_values, strict=True)):
        assert len(before) == len(after) == (4 if case == "with-encoder" else 2)
        assert before[0].shape == (3, KNOWN, 3, 8)
        for name, one, other in zip("kv", after[:2], whole.past_key_values[layer][:2], strict=True):
            assert_close(f"{layer} {name}", (other * real), (one * real), FORWARD)
        for one, other in zip(after[2:], whole.past_key_values[layer][2:], strict=True):
            assert np.array_equal(one, other)


def test_a_cache_is_returned_where_it_is_asked_for():
    model, recorded = loaded("alone")
    ids = recorded["in"]["input_ids"]
    assert model(ids).past_key_values is not None
    assert model(ids, use_cache=False).past_key_values is None
    assert model(ids, labels=ids).past_key_values is None
    assert model(ids, labels=ids, use_cache=True).past_key_values is not None
    model, _ = loaded("alone", use_cache=False)
    assert model(ids).past_key_values is None


# Generation -----------------------------------------------------------------------------------------------------------


def generation_of(case):
    model, recorded = loaded(case)
    return model, recorded["generate"], encoder_of(recorded["in"])


@pytest.mark.parametrize(("case", "wanted"), [("alone", "ended"), ("with-encoder", "ended")])
def test_greedy_generation_gives_transformers_ids(case, wanted):
    """With padding on the left; in ``ended`` one row ends early and is filled up."""
    model, recorded, encoder = generation_of(case)
    end = int(recorded["end"]) if wanted == "ended" else None
    found = model.generate(
        recorded["input_ids"], recorded["attention_mask"], max_new_tokens=9, eos_token_id=end, **encoder
    )
    assert np.array_equal(recorded[wanted], found)


def test_without_a_mask_padding_is_told_by_its_id_and_the_config_says_what_the_end_is():
    _, recorded, _ = generation_of("alone")
    model, _ = loaded("alone", eos_token_id=int(recorded["end"]))
    assert np.array_equal(recorded["inferred"], model.generate(recorded["padded"], max_new_tokens=9))


def test_generation_in_a_graph_gives_the_same_ids():
    model, recorded, _ = generation_of("alone")
    run = tf.function(lambda ids, mask: model.generate(ids, mask, max_new_tokens=3))
    found = run(*(tf.constant(recorded[name]) for name in ("input_ids", "attention_mask")))
    assert np.array_equal(recorded["free"][:, :8], found)


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"max_new_tokens": 0}, "max_new_tokens must be an integer of at least 1, found 0"),
    ({"max_new_tokens": 16}, "20 tokens in a sequence, but the model has 19 positions"),
    ({"max_new_tokens": 2, "eos_token_id": 37}, "eos_token_id must be from 0 to 36"),
    ({"max_new_tokens": 2, "pad_token_id": -1}, "pad_token_id must be from 0 to 36"),
])  # fmt: skip
def test_a_generation_that_cannot_be_is_refused(arguments, message):
    model, recorded, _ = generation_of("alone")
    with pytest.raises(ValueError, match=message):
        model.generate(recorded["input_ids"], **arguments)


def test_a_call_whose_arguments_do_not_go_together_is_refused():
    model, recorded = loaded("alone")
    ids = recorded["in"]["input_ids"]
    cache = model(ids).past_key_values
    for arguments, message in (
        ({"past_key_values": cache, "attention_mask": np.ones((3, 11))}, r"\[batch, 22\]|22 tokens in a sequence"),
        ({"past_key_values": cache[:1]}, "has 1 layers, the model 2"),
        ({"attention_mask": np.ones((3, 12))}, r"attention_mask must be \[batch, 11\]"),
        ({"encoder_hidden_states": np.ones((3, 7, 24))}, "make the model with add_cross_attention"),
        ({"encoder_attention_mask": np.ones((3, 7))}, "encoder_attention_mask is of encoder_hidden_states"),
    ):
        with pytest.raises(ValueError, match=message):
            model(ids, **arguments)
    with pytest.raises(ValueError, match="give either input_ids or inputs_embeds"):
        model()


def test_a_decoder_and_an_encoder_are_not_taken_for_one_another():
    config = ElectraConfig.from_pretrained(CAUSAL / "alone")
    with pytest.raises(ValueError, match="ElectraModel reads in both directions"):
        TFElectraModel(config)
    with pytest.raises(CheckpointError, match="ElectraForMaskedLM reads in both directions"):
        TFElectraForMaskedLM.from_pretrained(CAUSAL / "alone")
    with pytest.raises(ValueError, match="pass is_decoder=True"):
        TFElectraForCausalLM(config.replace(is_decoder=False))


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["safetensors", "bin", "npz", "joint"])
def test_every_form_with_a_place_for_it_is_loaded_again(tmp_path, format):
    model, _ = loaded("with-encoder")
    model.save_pretrained(tmp_path, format=format)
    assert_same_weights(model, TFElectraForCausalLM.from_pretrained(tmp_path))


@pytest.mark.filterwarnings(KERAS_ARRAYS)
def test_kerass_own_file_gives_the_same_model_and_is_read_by_from_pretrained(tmp_path):
    model, _ = loaded("with-encoder")
    model.save(tmp_path / "model.keras")
    assert_same_weights(model, keras.saving.load_model(tmp_path / "model.keras"))
    assert_same_weights(model, TFElectraForCausalLM.from_pretrained(tmp_path))


def assert_same_weights(model, again):
    expected, found = canonical_state(model), canonical_state(again)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(variable.numpy(), found[name].numpy()) for name, variable in expected.items())


@pytest.mark.parametrize(("case", "format", "message"), [
    ("with-encoder", "tf1", "no place in its generator for electra.encoder.layer.0.crossattention.output.LayerNorm"),
    ("with-encoder", "h5", "ElectraForCausalLM is none of them"),
    ("alone", "h5", "ElectraForCausalLM is none of them"),
])  # fmt: skip
def test_a_form_without_a_place_for_it_refuses(tmp_path, case, format, message):
    model, _ = loaded(case)
    with pytest.raises(CheckpointError, match=message):
        model.save_pretrained(tmp_path, format=format)


def test_a_decoder_starts_from_a_generator_with_new_cross_attention(tmp_path):
    model, _ = loaded("alone")
    with pytest.warns(UserWarning, match=r"no weights for electra.encoder.layer.0.crossattention.*must be trained"):
        other, report = TFElectraForCausalLM.from_pretrained(
            CAUSAL / "alone", add_cross_attention=True, output_loading_info=True
        )
    assert all("crossattention" in name for name in report.new)
    assert len(report.new) == 2 * 10
    state = canonical_state(other)
    assert all(np.array_equal(weight.numpy(), state[name].numpy()) for name, weight in canonical_state(model).items())


def test_an_encoder_is_made_of_a_decoders_weights():
    model, _ = loaded("with-encoder")
    encoder = TFElectraModel.from_pretrained(CAUSAL / "with-encoder", is_decoder=False, add_cross_attention=False)
    state = canonical_state(model)
    assert all(np.array_equal(weight.numpy(), state[name].numpy()) for name, weight in canonical_state(encoder).items())
