"""Changing a PyTorch model after it is made: vocabulary, frozen parts, gradient checkpointing, attention."""

import pytest

from support.assertions import assert_close
from support.initial_weights import assert_documented_scheme
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from electra_common import ElectraConfig  # noqa: E402
from electra_pt import (  # noqa: E402
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
    ElectraModel,
)
from electra_pt.adjusting import encoder_of  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
IDS = torch.arange(1, 27).reshape(2, 13)
MASK = torch.tensor([[1] * 13, [1] * 5 + [0] * 8])

# The vocabulary -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", [ElectraModel, ElectraForPreTraining, ElectraForMaskedLM])
@pytest.mark.parametrize("size", [120, 30])
def test_resizing_keeps_the_rows_that_stay(model_class, size):
    model = model_class(CONFIG).eval()
    old = model.get_input_embeddings().weight.detach().clone()
    before = model(IDS)[0]
    table = model.resize_token_embeddings(size)
    assert table is model.get_input_embeddings()
    kept = min(97, size)
    assert table.weight.shape == (size, 10)
    assert torch.equal(table.weight[:kept], old[:kept])
    assert model.config.vocab_size == size == encoder_of(model).config.vocab_size
    after = model(IDS)[0]
    assert_close("outputs", before[..., :kept].detach(), after[..., :kept].detach(), FORWARD)


def test_new_rows_are_drawn_and_new_biases_are_zero():
    torch.manual_seed(0)
    model = ElectraForMaskedLM(CONFIG.replace(tie_word_embeddings=False))
    torch.nn.init.ones_(model.generator_lm_head.bias)
    model.resize_token_embeddings(3000)
    config = CONFIG.replace(pad_token_id=0)
    table, own = model.get_input_embeddings().weight.detach(), model.generator_lm_head.weight.detach()
    for new in (table[97:], own[97:]):
        assert_documented_scheme({"new rows": new.numpy()}, config)
    assert torch.equal(model.generator_lm_head.bias, (torch.arange(3000) < 97).float())
    assert model(torch.tensor([[2999]])).logits.shape == (1, 1, 3000)


def test_a_resized_projection_stays_tied_and_is_saved(tmp_path):
    model = ElectraForMaskedLM(CONFIG)
    model.resize_token_embeddings(99, pad_to_multiple_of=8)
    assert model.config.vocab_size == 104
    assert "generator_lm_head.weight" not in model.state_dict()
    model(IDS, labels=IDS).loss.backward()
    assert model.get_input_embeddings().weight.grad[100].abs().max() > 0  # through the projection alone
    model.save_pretrained(tmp_path)
    again = ElectraForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(model.eval()(IDS).logits, again(IDS).logits)


def test_resizing_keeps_dtype_mode_and_what_is_frozen():
    model = ElectraForPreTraining(CONFIG).to(torch.bfloat16).eval()
    model.freeze()
    table = model.resize_token_embeddings(100)
    assert table.weight.dtype == torch.bfloat16
    assert not table.weight.requires_grad
    assert not table.training
    assert table.padding_idx == 0


def test_resizing_to_the_same_size_changes_nothing():
    model = ElectraModel(CONFIG)
    table = model.get_input_embeddings()
    assert model.resize_token_embeddings() is table
    assert model.resize_token_embeddings(97) is table


@pytest.mark.parametrize(("arguments", "message"), [
    ((0,), "new_num_tokens must be an integer of at least 1"), ((2.5,), "new_num_tokens"),
])  # fmt: skip
def test_a_size_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ElectraModel(CONFIG).resize_token_embeddings(*arguments)


def test_the_padding_token_cannot_be_cut_off():
    with pytest.raises(ValueError, match="pad_token_id 50 is outside the vocabulary of 40"):
        ElectraModel(CONFIG.replace(pad_token_id=50)).resize_token_embeddings(40)


def test_another_word_table_can_be_put_in_place():
    model = ElectraForMaskedLM(CONFIG).eval()
    table = torch.nn.Embedding(97, 10)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table
    logits = model(IDS).logits
    with torch.no_grad():
        table.weight *= 2
    assert not torch.equal(logits, model(IDS).logits)
    with pytest.raises(ValueError, match=r"must be \[97, 10\], found \[98, 10\]"):
        model.set_input_embeddings(torch.nn.Embedding(98, 10))


def test_tying_gives_up_a_projection_of_its_own():
    model = ElectraForMaskedLM(CONFIG.replace(tie_word_embeddings=False)).eval()
    tied = ElectraForMaskedLM(CONFIG).eval()
    tied.load_state_dict({name: value for name, value in model.state_dict().items() if name in tied.state_dict()})
    model.tie_weights()
    assert model.config.tie_word_embeddings
    assert model.state_dict().keys() == tied.state_dict().keys()
    assert torch.equal(model(IDS).logits, tied(IDS).logits)
    ElectraForPreTraining(CONFIG).tie_weights()  # nothing to tie


# Counting and freezing ------------------------------------------------------------------------------------------------


def test_parameters_are_counted():
    model = ElectraForMaskedLM(CONFIG)
    everything = sum(parameter.numel() for parameter in model.parameters())
    assert model.num_parameters() == everything
    assert model.num_parameters(exclude_embeddings=True) == everything - (97 + 19 + 2) * 10
    model.freeze(layers=0)
    # Tables, LayerNorm and projection are frozen.
    frozen = (97 + 19 + 2) * 10 + 2 * 10 + (10 * 24 + 24)
    assert model.num_parameters(only_trainable=True) == everything - frozen
    assert model.num_parameters(only_trainable=True, exclude_embeddings=True) == everything - frozen


@pytest.mark.parametrize(("options", "frozen"), [
    ({}, ("embeddings", "embeddings_project", "layer.0", "layer.1", "layer.2")),
    ({"layers": 2}, ("embeddings", "embeddings_project", "layer.0", "layer.1")),
    ({"embeddings": False, "layers": 1}, ("layer.0",)),
])  # fmt: skip
def test_frozen_parts_stay_as_they_are_in_training(options, frozen):
    model = ElectraForSequenceClassification(CONFIG).train()
    model.freeze(**options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([item for item in model.parameters() if item.requires_grad], lr=0.5)
    model(IDS, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    for name, tensor in model.state_dict().items():
        is_frozen = any(f"electra.{part}." in name or f"encoder.{part}." in name for part in frozen)
        may_stay = name.endswith("key.bias")  # a softmax does not see a shift of all keys
        assert may_stay or torch.equal(tensor, before[name]) == is_frozen, name
    model.unfreeze()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_more_layers_than_there_are_cannot_be_frozen():
    with pytest.raises(ValueError, match="layers must be from 0 to 3, found 4"):
        ElectraModel(CONFIG).freeze(layers=4)


# Memory and attention -------------------------------------------------------------------------------------------------


def gradients(model, seed=7):
    torch.manual_seed(seed)
    model.zero_grad()
    model(IDS, MASK, labels=torch.ones(2, 13)).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_gradient_checkpointing_gives_the_same_gradients_with_dropout():
    model = ElectraForPreTraining(CONFIG).train()
    expected = gradients(model)
    calls = []
    model.electra.encoder.layer[1].intermediate.register_forward_hook(lambda *_: calls.append(1))
    model.gradient_checkpointing_enable()
    found = gradients(model)
    assert len(calls) == 2  # once forwards, once again for the gradients
    for name, gradient in expected.items():
        assert torch.equal(gradient, found[name]), name
    model.gradient_checkpointing_disable()
    gradients(model)
    assert len(calls) == 3


def test_gradient_checkpointing_is_for_training_alone():
    model = ElectraForPreTraining(CONFIG).eval()
    model.gradient_checkpointing_enable()
    calls = []
    model.electra.encoder.layer[0].register_forward_hook(lambda *_: calls.append(1))
    model(IDS, labels=torch.ones(2, 13)).loss.backward()
    assert len(calls) == 1


def test_gradient_checkpointing_keeps_less():
    def kept(model):
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(IDS, MASK, labels=torch.ones(2, 13))
        return sum(sizes)

    model = ElectraForPreTraining(CONFIG).train()
    everything = kept(model)
    model.gradient_checkpointing_enable()
    assert kept(model) < everything / 2


def test_the_two_attentions_agree_and_are_what_they_say(monkeypatch):
    fused, calls = torch.nn.functional.scaled_dot_product_attention, []
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *arguments, **options: calls.append(1) or fused(*arguments, **options),
    )
    models = {}
    for name in (None, "sdpa", "eager"):
        models[name] = ElectraForPreTraining(CONFIG.replace(attn_implementation=name)).eval()
        models[name].load_state_dict(models[None].state_dict())
        calls.clear()
        output = models[name](IDS, MASK)
        assert output.attentions is None
        assert len(calls) == (0 if name == "eager" else 3)
    expected, found = gradients(models["sdpa"]), gradients(models["eager"])
    for name, gradient in expected.items():
        assert_close(name, gradient, found[name], GRADIENT)


def test_the_attention_is_chosen_when_loading_and_not_saved(tmp_path):
    model = ElectraModel(CONFIG.replace(attn_implementation="eager"))
    model.save_pretrained(tmp_path)
    assert "attn" not in (tmp_path / "config.json").read_text()
    assert ElectraModel.from_pretrained(tmp_path).config.attn_implementation is None
    assert ElectraModel.from_pretrained(tmp_path, attn_implementation="eager").config.attn_implementation == "eager"
    with pytest.raises(ValueError, match="None or one of sdpa, eager, found 'flash'"):
        ElectraModel.from_pretrained(tmp_path, attn_implementation="flash")


# Inputs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "message"), [
    ({"input_ids": torch.tensor([[97]])}, "input_ids must be from 0 to 96.*resize_token_embeddings"),
    ({"input_ids": torch.tensor([[-1]])}, "input_ids must be from 0 to 96"),
    ({"input_ids": torch.tensor([[1]]), "token_type_ids": torch.tensor([[2]])}, "token_type_ids must be from 0 to 1"),
    ({"input_ids": torch.tensor([[1]]), "position_ids": torch.tensor([[19]])}, "position_ids must be from 0 to 18"),
    ({"inputs_embeds": torch.zeros(1, 3, 24)}, r"inputs_embeds must be 10 wide.*found \[1, 3, 24\]"),
])  # fmt: skip
def test_inputs_that_the_tables_do_not_have_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        ElectraModel(CONFIG)(**inputs)
