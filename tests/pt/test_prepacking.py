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
from electra_pt import PackedLayout  # noqa: E402
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
    with torch.inference_mode():
        expected = model(**inputs).logits
        prepack_weights(model)
        assert_close("logits", expected, model(**inputs).logits, FORWARD)


def test_every_linear_layer_runs_on_the_copy_until_it_is_undone():
    model = discriminator()
    assert kernels_of(model)["aten.addmm"] == LAYERS_OF_THE_DISCRIMINATOR
    prepack_weights(model)
    counts = kernels_of(model)
    assert counts["mkldnn._linear_pointwise"] == LAYERS_OF_THE_DISCRIMINATOR
    assert "aten.addmm" not in counts
    undo_prepacking(model)
    assert kernels_of(model)["aten.addmm"] == LAYERS_OF_THE_DISCRIMINATOR
    assert "packed" not in vars(model.electra.embeddings_project)


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
            assert kernels_of(other)["mkldnn._linear_pointwise"] == LAYERS_OF_THE_DISCRIMINATOR


def test_hooks_on_linear_layers_are_called():
    model = discriminator()
    seen = []
    model.electra.encoder.layer[1].attention.self.query.register_forward_hook(lambda *_: seen.append("query"))
    prepack_weights(model)
    kernels_of(model)
    assert seen == ["query"]


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
