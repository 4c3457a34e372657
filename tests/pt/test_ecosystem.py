"""What PyTorch users do with any module: compile, export, autocast, pickle, hooks, moving and wrapping."""

import copy
import pickle
import shutil

import pytest

from support.assertions import assert_close
from support.thoroughness import mostly_thorough
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from torch.utils._pytree import tree_leaves  # noqa: E402

import electra_pt  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_common.weights.names import ARCHITECTURE_PARTS  # noqa: E402

HEADS = sorted(ARCHITECTURE_PARTS)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
BATCH, CHOICES, LENGTH = 4, 3, 11
# Reasons for exceptions to "warnings are errors": torch's own code, on its way to a graph.
GRAPH_WARNINGS = (
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
)


def config_for(head):
    return CONFIG.replace(is_decoder=head == "ElectraForCausalLM")


def batch_for(head, length=LENGTH, batch=BATCH):
    shape = (batch, CHOICES, length) if head == "ElectraForMultipleChoice" else (batch, length)
    generator = torch.Generator().manual_seed(length)
    mask = torch.ones(shape, dtype=torch.long)
    mask[0, ..., 3:] = 0
    return {"input_ids": torch.randint(1, 97, shape, generator=generator), "attention_mask": mask}


def labels_for(head, length=LENGTH, batch=BATCH):
    ones = torch.ones(batch, dtype=torch.long)
    wide = torch.ones(batch, length, dtype=torch.long)
    if head == "ElectraForQuestionAnswering":
        return {"start_positions": ones, "end_positions": ones + 1}
    if head in ("ElectraForSequenceClassification", "ElectraForMultipleChoice"):
        return {"labels": ones}
    return {} if head == "ElectraModel" else {"labels": wide}


def assert_same(expected, found, tolerance=FORWARD):
    assert expected.keys() == found.keys()
    for name, tensor in expected.flat().items():
        assert_close(name, tensor.detach(), found.flat()[name].detach(), tolerance)


@pytest.fixture
def no_leftover_graphs():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


# A value for each token, two outputs, an axis of choices.
USUAL = mostly_thorough(
    HEADS,
    usual=("ElectraForPreTraining", "ElectraForQuestionAnswering", "ElectraForMultipleChoice"),
    marks=GRAPH_WARNINGS,
)


# Graphs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_leftover_graphs")
@pytest.mark.parametrize("head", USUAL)
def test_the_whole_model_is_one_graph(head):
    """`fullgraph` raises on anything that would leave the graph; `aot_eager` also builds the backward graph."""
    model = getattr(electra_pt, head)(config_for(head)).eval()
    inputs = {**batch_for(head), **labels_for(head)}
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, found = model(**inputs), compiled(**inputs)
    assert_same(expected, found)
    if "loss" in expected:
        expected.loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        model.zero_grad()
        found.loss.backward()
        for name, parameter in model.named_parameters():
            assert_close(name, gradients[name], parameter.grad, GRADIENT)


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch compiles with a C++ compiler")
@pytest.mark.thorough
@pytest.mark.usefixtures("no_leftover_graphs")
@pytest.mark.parametrize("implementation", [pytest.param(name, marks=GRAPH_WARNINGS) for name in ("sdpa", "eager")])
def test_compiled_to_machine_code_it_trains_as_before(implementation):
    config = CONFIG.replace(
        num_hidden_layers=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=implementation,
    )
    models = [electra_pt.ElectraForPreTraining(config).train()]
    models.append(copy.deepcopy(models[0]))
    compiled = torch.compile(models[1], fullgraph=True)
    inputs = {**batch_for("ElectraForPreTraining"), **labels_for("ElectraForPreTraining")}
    for call, model in ((models[0], models[0]), (compiled, models[1])):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            call(**inputs).loss.backward()
            optimizer.step()
    for name, parameter in models[0].named_parameters():
        assert_close(name, parameter.detach(), models[1].get_parameter(name).detach(), GRADIENT)


@pytest.mark.parametrize("head", USUAL)
def test_an_exported_program_takes_other_sizes(head):
    """It returns what the model returns, by name."""
    model = getattr(electra_pt, head)(config_for(head)).eval()
    batch, length = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("length", min=2, max=19)
    axes = {0: batch, 2: length} if head == "ElectraForMultipleChoice" else {0: batch, 1: length}
    shapes = {"input_ids": axes, "attention_mask": axes}
    program = torch.export.export(model, (), batch_for(head), dynamic_shapes=shapes, strict=False)
    for sizes in ({}, {"length": 7, "batch": 6}):
        inputs = batch_for(head, **sizes)
        expected, found = model(**inputs), program.module()(**inputs)
        assert (type(found), list(found)) == (type(expected), list(expected))
        outputs = tree_leaves(expected), tree_leaves(found)  # caches nest
        for index, (expected, found) in enumerate(zip(*outputs, strict=True)):
            assert_close(f"output {index}", expected.detach(), found.detach(), FORWARD)


@pytest.mark.parametrize("head", HEADS)
def test_layers_with_weights_are_torchs_own(head):
    """Quantization and other tools look for these very classes, and pass by what is derived from them."""
    layers = [layer for layer in getattr(electra_pt, head)(config_for(head)).modules() if hasattr(layer, "weight")]
    plain = {type(layer) for layer in layers if isinstance(layer, torch.nn.Linear | torch.nn.Embedding)}
    assert plain == {torch.nn.Linear, torch.nn.Embedding}


# Precision ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("head", HEADS)
def test_autocast_trains_in_half_precision(head, dtype):
    model = getattr(electra_pt, head)(config_for(head)).train()
    inputs = {**batch_for(head), **labels_for(head)}
    with torch.autocast("cpu", dtype):
        output = model(**inputs)
    first = output.get("logits", output.get("start_logits"))
    if head == "ElectraModel":
        assert output.last_hidden_state.dtype == dtype
        assert output.last_hidden_state.isfinite().all()
        return
    assert first.dtype == dtype
    assert output.loss.dtype == torch.float32
    output.loss.backward()
    assert all(item.grad.dtype == torch.float32 and item.grad.isfinite().all() for item in model.parameters())
    model.eval()
    exact = model(**inputs).loss.item()
    with torch.autocast("cpu", dtype):
        assert abs(model(**inputs).loss.item() / exact - 1) < 0.05


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_what_lies_between_layers_is_in_half_precision_under_autocast_and_loses_no_more_than_all_of_it_would(seed):
    torch.manual_seed(seed)
    model = electra_pt.ElectraModel(config_for("ElectraModel")).eval()
    inputs = {**batch_for("ElectraModel"), "output_hidden_states": True}
    exact = model(**inputs).hidden_states
    with torch.autocast("cpu", torch.bfloat16):
        found = model(**inputs).hidden_states
    halved = copy.deepcopy(model).to(torch.bfloat16)(**inputs).hidden_states
    for number, (expected, states, of_halved) in enumerate(zip(exact, found, halved, strict=True)):
        assert states.dtype == torch.bfloat16, f"layer {number}"
        lost, allowed = ((expected - other.float()).square().mean().sqrt() for other in (states, of_halved))
        assert lost < 1.25 * allowed, f"layer {number}"  # rounding falls out a little better or worse by chance


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("head", HEADS)
def test_models_move_to_other_dtypes(head, dtype):
    model = getattr(electra_pt, head)(config_for(head)).eval().to(dtype)
    output = model(**batch_for(head))
    assert output[0].dtype == model.dtype == dtype
    assert output[0].isfinite().all()


def test_a_model_says_where_its_weights_are_and_of_which_dtype():
    model = electra_pt.ElectraForPreTraining(CONFIG)
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    moved = model.to("meta", torch.float64)
    for part in (moved, moved.electra):
        assert (part.device.type, part.dtype) == ("meta", torch.float64)
    with pytest.raises(AttributeError):
        model.device = torch.device("cpu")


# Copies and hooks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_models_and_outputs_pickle_and_copy(head):
    model = getattr(electra_pt, head)(config_for(head)).eval()
    inputs = batch_for(head)
    expected = model(**inputs)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.config == model.config
        found = other(**inputs)
        assert_same(expected, found, 0.0)
    with torch.no_grad():
        output = model(**inputs)
    again = pickle.loads(pickle.dumps(output))
    assert type(again) is type(output)
    assert_same(output, again, 0.0)


def test_hooks_on_named_submodules_are_called():
    model = electra_pt.ElectraForTokenClassification(CONFIG).eval()
    seen = {}
    names = ("electra.embeddings", "electra.encoder.layer.1.attention.self.query", "classifier")
    for name in names:
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: tuple(output.shape)})
        )
    model(**batch_for("ElectraForTokenClassification"))
    assert seen == {names[0]: (4, 11, 10), names[1]: (4, 11, 24), names[2]: (4, 11, 2)}


def test_a_hook_can_change_what_goes_on():
    model = electra_pt.ElectraModel(CONFIG).eval()
    inputs = batch_for("ElectraModel")
    before = model(**inputs).last_hidden_state
    handle = model.encoder.layer[0].output.register_forward_hook(lambda module, inputs, output: output * 2)
    changed = model(**inputs).last_hidden_state
    handle.remove()
    assert not torch.equal(before, changed)
    assert torch.equal(before, model(**inputs).last_hidden_state)


def test_gradients_reach_embeddings_that_the_user_made():
    model = electra_pt.ElectraForSequenceClassification(CONFIG).eval()
    embeds = model.get_input_embeddings()(batch_for("")["input_ids"]).detach().requires_grad_()
    model(inputs_embeds=embeds, labels=torch.ones(BATCH, dtype=torch.long)).loss.backward()
    assert embeds.grad.shape == (BATCH, LENGTH, 10)
    assert embeds.grad.abs().sum(-1).min() > 0
