"""ModelOutput: attributes, keys, positions."""

import copy
import pickle

import pytest

from electra_common.outputs import EncoderOutput, HeadOutput


def full_output():
    return HeadOutput(loss=1.5, logits="logits", hidden_states=("h0", "h1", "h2"), attentions=("a0", "a1"))


def test_a_field_is_reached_as_attribute_key_and_position():
    output = full_output()
    assert output.logits == output["logits"] == output[1] == "logits"


def test_fields_stand_in_their_order_whatever_order_they_came_in():
    output = HeadOutput(attentions=("a0",), logits="logits", loss=2.5)
    assert list(output) == ["loss", "logits", "attentions"]


def test_positions_count_only_what_is_there():
    output = HeadOutput(logits="logits", attentions=("a0",))
    assert (output[0], output[1], output[-1]) == ("logits", ("a0",), ("a0",))


def test_a_field_that_was_not_computed_is_none_as_attribute_and_absent_as_key():
    output = HeadOutput(logits="logits", loss=None)
    assert output.loss is None
    assert "loss" not in output
    with pytest.raises(KeyError):
        output["loss"]


def test_a_position_behind_the_end_is_an_index_error():
    with pytest.raises(IndexError):
        HeadOutput(logits="logits")[1]


def test_slices_are_tuples():
    assert full_output()[:2] == (1.5, "logits")
    assert full_output()[::-2] == (("a0", "a1"), "logits")


def test_to_tuple_holds_every_field_that_is_there():
    assert HeadOutput(loss=1.5, hidden_states=("h0",)).to_tuple() == (1.5, ("h0",))


def test_a_value_that_is_false_is_not_taken_for_absent():
    assert HeadOutput(loss=0.0).to_tuple() == (0.0,)


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="HeadOutput has no field last_hidden_state, logit"):
        HeadOutput(logit=1, last_hidden_state=2)


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError):
        full_output().pooler_output  # noqa: B018


def test_it_is_a_dictionary():
    output = EncoderOutput({"last_hidden_state": "h2"}, attentions=("a0",))
    assert isinstance(output, dict)
    assert dict(output) == {"last_hidden_state": "h2", "attentions": ("a0",)}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda output: pickle.loads(pickle.dumps(output))])
def test_a_copy_has_the_same_class_and_fields(duplicate):
    output = duplicate(full_output())
    assert type(output) is HeadOutput
    assert output == full_output()
    assert output.hidden_states == ("h0", "h1", "h2")


def test_flat_names_every_single_tensor():
    assert full_output().flat() == {
        "loss": 1.5, "logits": "logits", "hidden_states/0": "h0", "hidden_states/1": "h1", "hidden_states/2": "h2",
        "attentions/0": "a0", "attentions/1": "a1",
    }  # fmt: skip
