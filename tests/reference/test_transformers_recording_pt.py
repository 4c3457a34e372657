"""PyTorch against what transformers 4.57.6 recorded: outputs, every hidden state and attention map, every gradient."""

import pytest

from support.assertions import assert_all_close
from support.fixtures import ALL_HEADS, CONFIGURATIONS, TRANSFORMERS, recorded
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

import electra_pt  # noqa: E402


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("head", ALL_HEADS)
def test_everything_is_as_recorded(configuration, head):
    folder = TRANSFORMERS / configuration / head
    expected = recorded(folder)
    model = getattr(electra_pt, f"Electra{head}").from_pretrained(folder)
    inputs = {name: torch.from_numpy(array) for name, array in expected["in"].items()}
    output = model(**inputs, output_attentions=True, output_hidden_states=True)
    found = {name: tensor.detach().numpy() for name, tensor in output.flat().items()}
    assert_all_close(expected["out"], found, FORWARD)
    if head == "Model":
        assert not expected["grad"]
        return
    output.loss.backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    assert_all_close(expected["grad"], gradients, GRADIENT)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_fast_attention_gives_the_same_logits_as_the_explicit_one(configuration):
    folder = TRANSFORMERS / configuration / "ForPreTraining"
    expected = recorded(folder)
    model = electra_pt.ElectraForPreTraining.from_pretrained(folder)
    inputs = {name: torch.from_numpy(array) for name, array in expected["in"].items()}
    with torch.no_grad():
        output = model(**inputs)
    assert_all_close(
        {name: expected["out"][name] for name in ("loss", "logits")},
        {name: tensor.numpy() for name, tensor in output.items()},
        FORWARD,
    )
