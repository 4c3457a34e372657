"""Prepacked weights: the same answers from another kernel, no training, and a way back."""

import copy
import pickle

import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import electra_pt  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_pt import FirstTokensLayout, PackedLayout, prepacking  # noqa: E402
from electra_pt.encoder import ElectraLayer  # noqa: E402
from electra_pt.prepacking import prepack_weights, undo_prepacking  # noqa: E402

# All but the joint model, which is for training.
HEADS = sorted(
    name
    for name in electra_pt.__all__
    if (name == "ElectraModel" or name.startswith("ElectraFor")) and "Joint" not in name
)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
IDS = torch.arange(1, 27).reshape(2, 13)
MASK = torch.tensor([[1] * 13, [1] * 5 + [0] * 8])
LAYERS_OF_THE_DISCRIMINATOR = 1 + 2 * 6 + 2
# Queries, keys and values in one product, and two that take in a residual sum.
PRODUCTS = {"mkldnn._linear_pointwise": 1 + 2 * 2 + 2, "mkldnn._linear_pointwise.binary": 2 * 2}

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")


class Kernels(TorchDispatchMode):
    """Counts what is computed, by the operation's name."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removesuffix(".default")
        self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def discriminator():
    return electra_pt.ElectraForPreTraining(CONFIG).eval()


@torch.no_grad()
def kernels_of(model, **inputs):
    with Kernels() as kernels:
        model(**(inputs or {"input_ids": IDS}))
    return kernels.counts


@pytest.mark.parametrize("head", HEADS)
def test_outputs_stay_the_same(head):
    model = getattr(electra_pt, head)(CONFIG.replace(is_decoder=head == "ElectraForCausalLM")).eval()
    shape = (2, 1, 13) if head == "ElectraForMultipleChoice" else (2, 13)
    inputs = {"input_ids": IDS.view(shape), "attention_mask": MASK.view(shape), "output_hidden_states": True}
    with torch.no_grad():
        expected = model(**inputs).flat()
        prepack_weights(model)
        found = model(**inputs).flat()
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert_close(name, tensor, found[name], FORWARD)


@pytest.mark.parametrize("length", [1, 2, 7, 19])
def test_rows_of_any_length_and_packed_rows(length):
    model = discriminator()
    mask = (torch.arange(length) < torch.tensor([[length], [1]])).long()
    inputs = {"input_ids": torch.arange(1, 2 * length + 1).view(2, length), "layout": PackedLayout.from_mask(mask)}
    first = {**inputs, "layout": FirstTokensLayout.from_mask(mask)}
    with torch.inference_mode():
        expected, first_expected = model(**inputs).logits, model(**first).logits
        prepack_weights(model)
        assert_close("logits", expected, model(**inputs).logits, FORWARD)
        assert_close("first tokens", first_expected, model(**first).logits, FORWARD)


@pytest.mark.parametrize("quicker", [prepacking._Products, prepacking._ProductsAsTheyLie])
def test_few_rows_are_multiplied_in_the_way_that_was_quicker(monkeypatch, quicker):
    monkeypatch.setattr(prepacking, "_seconds", lambda layers: 1.0 if type(layers[0]) is quicker else 2.0)
    model = discriminator()
    with torch.no_grad():
        expected = [model(IDS).logits, model(IDS[:1]).logits]
        prepack_weights(model)
        assert_close("26 rows", expected[0], model(IDS).logits, FORWARD)
        assert_close("13 rows", expected[1], model(IDS[:1]).logits, FORWARD)
    assert kernels_of(model)["mkldnn._linear_pointwise.binary"] == 2 * 2
    of_few = kernels_of(model, input_ids=IDS[:1]).get("mkldnn._linear_pointwise.binary", 0)
    assert of_few == (2 * 2 if quicker is prepacking._Products else 0)


def test_networks_of_different_widths_are_prepacked_together():
    narrow = CONFIG.replace(hidden_size=18, intermediate_size=26)
    pair = torch.nn.ModuleList([discriminator(), electra_pt.ElectraForMaskedLM(narrow).eval()])
    with torch.no_grad():
        expected = [model(IDS[:1]).logits for model in pair]
        prepack_weights(pair)
        for logits, model in zip(expected, pair, strict=True):
            assert_close("logits", logits, model(IDS[:1]).logits, FORWARD)


def test_both_ways_are_measured_when_a_model_is_prepacked(monkeypatch):
    seconds, measured = prepacking._seconds, []
    monkeypatch.setattr(prepacking, "_seconds", lambda layers: measured.append(type(layers[0])) or seconds(layers))
    with Kernels() as kernels:
        prepack_weights(discriminator())
    assert measured == [prepacking._Products, prepacking._ProductsAsTheyLie] * prepacking._MEASUREMENTS
    times = prepacking._MEASUREMENTS * CONFIG.num_hidden_layers
    assert kernels.counts["mkldnn._linear_pointwise"] == 2 * times
    assert kernels.counts["mkldnn._linear_pointwise.binary"] == 2 * times
    assert kernels.counts["aten.addmm"] == 4 * times


def products_of(model):
    return {name: count for name, count in kernels_of(model).items() if name.startswith("mkldnn._linear_pointwise")}


def test_every_linear_layer_runs_on_the_copy_until_it_is_undone():
    model = discriminator()
    assert kernels_of(model)["aten.addmm"] == LAYERS_OF_THE_DISCRIMINATOR
    prepack_weights(model)
    counts = kernels_of(model)
    assert products_of(model) == PRODUCTS
    assert "aten.addmm" not in counts
    assert counts["aten.gelu"] == 1  # of the head
    undo_prepacking(model)
    assert kernels_of(model)["aten.addmm"] == LAYERS_OF_THE_DISCRIMINATOR
    left = [name for module in model.modules() for name in vars(module) if name.startswith("packed")]
    assert left == []
    assert type(model.electra.encoder.layer[0].output.dense) is torch.nn.Linear
    assert type(model.electra.encoder.layer[0]) is ElectraLayer


def test_a_linear_layer_of_another_owner_stays_as_it_is():
    whole = torch.nn.Sequential(discriminator(), torch.nn.Linear(13, 5, dtype=torch.float64))
    prepack_weights(whole)
    assert type(whole[1]) is torch.nn.Linear
    assert products_of(whole[0]) == PRODUCTS


def test_torchs_default_dtype_is_of_no_matter():
    model = discriminator()
    torch.set_default_dtype(torch.float64)
    try:
        prepack_weights(model)
    finally:
        torch.set_default_dtype(torch.float32)
    assert products_of(model) == PRODUCTS


def test_parameters_stay_what_they_are():
    model = discriminator()
    names, parameters = list(model.state_dict()), dict(model.named_parameters())
    prepack_weights(model)
    assert list(model.state_dict()) == names
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())


def test_saving_and_loading_go_through_the_parameters(tmp_path):
    model = discriminator()
    prepack_weights(model)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        again = electra_pt.ElectraForPreTraining.from_pretrained(tmp_path)
        assert_close("logits", model(IDS).logits, again(IDS).logits, FORWARD)


def test_copies_of_a_model_are_prepacked_too():
    model = discriminator()
    prepack_weights(model)
    with torch.no_grad():
        expected = model(IDS).logits
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other(IDS).logits, expected)
            assert products_of(other) == PRODUCTS


PARTS = (
    "attention", "attention.self", "attention.self.query", "attention.output", "attention.output.dense",
    "attention.output.dropout", "intermediate", "intermediate.dense", "output", "output.dropout", "output.LayerNorm",
)  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_hooks_anywhere_in_a_layer_are_called_with_what_they_always_saw(name):
    model = discriminator()
    seen = []
    part = model.electra.encoder.layer[1].get_submodule(name)
    part.register_forward_hook(lambda module, inputs, output: seen.append((inputs, output)))
    kernels_of(model)
    prepack_weights(model)
    kernels_of(model)
    expected, found = seen
    for one, other in zip(leaves(expected), leaves(found), strict=True):
        assert_close(name, one, other, FORWARD)


def test_hooks_on_all_modules_see_those_inside_too():
    model = discriminator()
    prepack_weights(model)
    seen = []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        kernels_of(model)
    finally:
        handle.remove()
    assert model.electra.encoder.layer[1].attention.self.query in seen


def leaves(values):
    """Return the tensors in nested tuples."""
    if isinstance(values, tuple):
        return [tensor for value in values for tensor in leaves(value)]
    return [values] if isinstance(values, torch.Tensor) else []


class Doubled(torch.nn.Module):
    def forward(self, inputs):
        return 2 * inputs


@pytest.mark.parametrize("is_early", [False, True])
@pytest.mark.parametrize("name", ["attention.self.key", "attention.output.dense", "output.dropout", "output.LayerNorm"])
def test_a_module_put_in_another_ones_place_is_used(name, is_early):
    model = discriminator()
    if not is_early:
        prepack_weights(model)
    layer = model.electra.encoder.layer[0]
    old = layer.get_submodule(name)
    is_linear = isinstance(old, torch.nn.Linear)
    layer.set_submodule(name, torch.nn.Linear(old.in_features, old.out_features) if is_linear else Doubled())
    if is_early:
        prepack_weights(model)
    with torch.no_grad():
        found = model(IDS).logits
        undo_prepacking(model)
        assert_close("logits", model(IDS).logits, found, FORWARD)


@torch.no_grad()
def test_biases_may_change():
    model = discriminator()
    prepack_weights(model)
    for parameter in (module.bias for module in model.modules() if isinstance(module, torch.nn.Linear)):
        parameter.add_(0.25)
    found = model(IDS).logits
    undo_prepacking(model)
    assert_close("logits", model(IDS).logits, found, FORWARD)


def replace_a_scale(norm):
    norm.weight = torch.nn.Parameter(torch.full_like(norm.weight, 0.5))


def change_a_scale(norm):
    norm.weight.mul_(0.5)


def change_epsilon(norm):
    norm.eps = 0.25


@pytest.mark.parametrize("change", [replace_a_scale, change_a_scale, change_epsilon])
@torch.no_grad()
def test_a_layer_norm_may_change(change):
    model = discriminator()
    before = model(IDS).logits
    prepack_weights(model)
    change(model.electra.encoder.layer[1].attention.output.LayerNorm)
    found = model(IDS).logits
    undo_prepacking(model)
    assert_close("logits", model(IDS).logits, found, FORWARD)
    assert not torch.allclose(before, found)


@pytest.mark.parametrize("activation", ["relu", "gelu_new"])
@torch.no_grad()
def test_other_activations_are_computed_as_ever(activation):
    model = electra_pt.ElectraForPreTraining(CONFIG.replace(hidden_act=activation)).eval()
    expected = model(IDS).logits
    prepack_weights(model)
    assert_close("logits", expected, model(IDS).logits, FORWARD)


# Refused --------------------------------------------------------------------------------------------------------------


def test_gradients_are_refused_until_it_is_undone():
    model = discriminator().train()
    prepack_weights(model)
    with pytest.raises(RuntimeError, match=r"no gradients.*inference_mode.*undo_prepacking"):
        model(IDS, labels=torch.ones_like(IDS))
    undo_prepacking(model)
    model(IDS, labels=torch.ones_like(IDS)).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_gradients_of_the_inputs_are_refused_where_weights_are_frozen():
    model = discriminator().requires_grad_(False)
    prepack_weights(model)
    assert model(IDS).logits.shape == (2, 13)
    with pytest.raises(RuntimeError, match="no gradients"):
        model(inputs_embeds=torch.zeros(2, 13, 10, requires_grad=True))


def change_in_place(model):
    model.discriminator_predictions.dense.weight.add_(1)


def load_other_weights(model):
    model.load_state_dict(discriminator().state_dict())


def move_to_another_dtype(model):
    model.double()


@pytest.mark.parametrize("change", [change_in_place, load_other_weights, move_to_another_dtype])
@torch.no_grad()
def test_weights_that_changed_are_refused_until_they_are_prepacked_again(change):
    model = discriminator()
    prepack_weights(model)
    change(model)
    with pytest.raises(RuntimeError, match=r"weight changed.*undo_prepacking"):
        model(IDS)
    undo_prepacking(model)
    expected = model(IDS).logits
    model.float()
    prepack_weights(model)
    assert_close("logits", expected.float(), model(IDS).logits, FORWARD)


def test_other_dtypes_and_other_modules_are_refused():
    with pytest.raises(ValueError, match=r"expects weights in float32 on the CPU, found torch.bfloat16 on cpu"):
        prepack_weights(discriminator().bfloat16())
    with pytest.raises(ValueError, match="without any of its linear layers"):
        prepack_weights(torch.nn.Linear(3, 5))
    with pytest.raises(ValueError, match=r"float32 on the CPU, found torch.float32 on meta"):
        prepack_weights(discriminator().to("meta"))


# Where the parameters are used ----------------------------------------------------------------------------------------


def test_autocast_uses_the_parameters():
    model = discriminator()
    prepack_weights(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert "mkldnn._linear_pointwise" not in kernels_of(model)
        with torch.no_grad():
            assert model(IDS).logits.dtype == torch.bfloat16


# torch's own code, on its way to a graph.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_graphs_use_the_parameters():
    torch.compiler.reset()
    model = electra_pt.ElectraForPreTraining(CONFIG.replace(return_dict=False)).eval()
    expected = model(IDS)[0].detach()
    prepack_weights(model)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_close("compiled", expected, compiled(IDS)[0], FORWARD)
    torch.compiler.reset()
    exported = torch.export.export(model, (IDS,), strict=False).module()
    assert_close("exported", expected, exported(IDS)[0].detach(), FORWARD)
