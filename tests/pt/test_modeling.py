"""The PyTorch models as a PyTorch user meets them."""

import copy
import pickle
import weakref

import numpy as np
import pytest

from support.assertions import assert_close
from support.fixtures import GOOGLE, TRANSFORMERS
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from electra_common import CheckpointError, ElectraConfig, LoadReport  # noqa: E402
from electra_common.weights.names import keras_path  # noqa: E402
from electra_common.weights.shapes import expected_shapes  # noqa: E402
from electra_pt import ElectraForMaskedLM, ElectraForPreTraining, ElectraModel  # noqa: E402
from electra_pt.activations import ACTIVATIONS  # noqa: E402
from electra_pt.heads import _wider_product  # noqa: E402
from electra_pt.layout import PaddedLayout  # noqa: E402
from electra_pt.losses import classification_loss, replaced_token_detection_loss  # noqa: E402

MODELS = (ElectraModel, ElectraForPreTraining, ElectraForMaskedLM)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip
BATCH, LENGTH = 5, 13


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    mask = (torch.arange(LENGTH)[None] < torch.tensor([13, 1, 7, 12, 2])[:, None]).long()
    return {"input_ids": torch.randint(1, 97, (BATCH, LENGTH), generator=generator), "attention_mask": mask}


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("changes", [{}, {"embedding_size": 24}, {"tie_word_embeddings": False}])
def test_parameter_names_are_the_canonical_ones(model_class, changes):
    config = CONFIG.replace(**changes)
    model = model_class(config)
    prefix = "electra." if model_class is ElectraModel else ""
    found = {prefix + name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert found == expected_shapes(config, model_class.__name__)
    assert len({keras_path(name) for name in found}) == len(found)


@pytest.mark.parametrize("preset", ["small", "base", "large"])
@pytest.mark.parametrize("kind", ["discriminator", "generator"])
def test_every_preset_has_the_canonical_names(preset, kind):
    config = ElectraConfig.preset(f"{preset}-{kind}")
    model_class = ElectraForPreTraining if kind == "discriminator" else ElectraForMaskedLM
    with torch.device("meta"):
        model = model_class(config)
    found = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert found == expected_shapes(config, model_class.__name__)


def test_outputs_are_reached_by_name_key_and_position(batch):
    output = ElectraForPreTraining(CONFIG).eval()(**batch, labels=torch.zeros(BATCH, LENGTH, dtype=torch.long))
    assert output.logits is output["logits"] is output[1]
    assert output.loss is output[0]
    assert output.hidden_states is None
    assert "hidden_states" not in output
    assert output.logits.shape == (BATCH, LENGTH)
    assert output.loss.shape == ()


def test_return_dict_false_gives_a_tuple(batch):
    model = ElectraForMaskedLM(CONFIG).eval()
    (logits,) = model(**batch, return_dict=False)
    assert logits.shape == (BATCH, LENGTH, 97)
    assert isinstance(ElectraModel(CONFIG.replace(return_dict=False))(**batch), tuple)


def test_a_layers_output_is_free_as_soon_as_the_next_one_has_read_it(batch):
    model, outputs, alive = ElectraModel(CONFIG).eval(), [], []
    for layer in model.encoder.layer:
        layer.register_forward_pre_hook(lambda *_: alive.append(sum(output() is not None for output in outputs)))
        layer.register_forward_hook(lambda *arguments: outputs.append(weakref.ref(arguments[2][0])))
    with torch.inference_mode():
        result = model(**batch)
    assert alive[0] == 0
    assert [output() is not None for output in outputs] == [False] * (len(outputs) - 1) + [True]
    assert result.last_hidden_state is outputs[-1]()


def test_hidden_states_and_attentions_come_when_asked_for(batch):
    model = ElectraModel(CONFIG).eval()
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    assert [state.shape for state in output.hidden_states] == [(BATCH, LENGTH, 24)] * 3
    assert [weights.shape for weights in output.attentions] == [(BATCH, 3, LENGTH, LENGTH)] * 2
    assert output.hidden_states[-1] is output.last_hidden_state
    assert_close("sums", np.ones((BATCH, 3, LENGTH)), output.attentions[0].sum(-1).detach(), FORWARD)
    assert output.attentions[1][1, :, :, 1:].abs().max() == 0  # the second row has one real token


def test_the_config_can_ask_for_hidden_states_and_attentions(batch):
    model = ElectraModel(CONFIG.replace(output_hidden_states=True, output_attentions=True))
    assert list(model(**batch)) == ["last_hidden_state", "hidden_states", "attentions"]


def test_padding_does_not_change_real_tokens(batch):
    model = ElectraModel(CONFIG).eval()
    whole = model(**batch).last_hidden_state
    alone = model(batch["input_ids"][2:3, :7]).last_hidden_state
    assert_close("row 2", alone[0].detach(), whole[2, :7].detach(), FORWARD)


def test_a_row_of_padding_alone_gives_finite_numbers(batch):
    mask = batch["attention_mask"].clone()
    mask[3] = 0
    for attentions in (False, True):
        output = ElectraModel(CONFIG).eval()(batch["input_ids"], mask, output_attentions=attentions)
        assert torch.isfinite(output.last_hidden_state).all()


def test_a_mask_for_each_query_is_accepted(batch):
    model = ElectraModel(CONFIG).eval()
    square = batch["attention_mask"][:, None, :].expand(-1, LENGTH, -1)
    expected = model(**batch).last_hidden_state
    assert_close(
        "square mask", expected.detach(), model(batch["input_ids"], square).last_hidden_state.detach(), FORWARD
    )


def test_inputs_embeds_take_the_place_of_ids(batch):
    model = ElectraModel(CONFIG).eval()
    embedded = model.embeddings.word_embeddings(batch["input_ids"])
    expected = model(**batch).last_hidden_state
    found = model(inputs_embeds=embedded, attention_mask=batch["attention_mask"]).last_hidden_state
    assert torch.equal(expected, found)


def test_position_ids_are_used(batch):
    model = ElectraModel(CONFIG).eval()
    reverse = torch.arange(LENGTH - 1, -1, -1)[None]
    flipped = model(batch["input_ids"].flip(1), position_ids=reverse).last_hidden_state.flip(1)
    assert_close("reversed", model(batch["input_ids"]).last_hidden_state.detach(), flipped.detach(), FORWARD)


def test_too_long_a_sequence_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="20 tokens in a sequence, but the model has 19 positions"):
        ElectraModel(CONFIG)(torch.ones(1, 20, dtype=torch.long))


@pytest.mark.parametrize("given", [{}, {"input_ids": torch.ones(1, 2).long(), "inputs_embeds": torch.ones(1, 2, 10)}])
def test_exactly_one_input_is_needed(given):
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        ElectraModel(CONFIG)(**given)


def test_dropout_is_active_in_training_only(batch):
    model = ElectraModel(CONFIG).train()
    assert not torch.equal(model(**batch).last_hidden_state, model(**batch).last_hidden_state)
    model.eval()
    assert torch.equal(model(**batch).last_hidden_state, model(**batch).last_hidden_state)


@pytest.mark.parametrize("rows", [1, 3])
def test_rtd_loss_counts_real_tokens_only(rows):
    """One mask is enough for rows that are padded alike."""
    logits, labels = torch.tensor([[0.0, 5.0, -50.0]] * rows), torch.tensor([[1, 1, 1]] * rows)
    loss = replaced_token_detection_loss(logits, labels, torch.tensor([[1, 1, 0]]))
    assert_close("loss", (np.log(2) + np.log1p(np.exp(-5))) / 2, loss, FORWARD)


def test_rtd_loss_refuses_a_mask_that_does_not_say_which_tokens_are_real(batch):
    square = torch.ones(BATCH, LENGTH, LENGTH)
    with pytest.raises(ValueError, match=r"mask of \[batch, length\], found \[5, 13, 13\]"):
        ElectraForPreTraining(CONFIG)(batch["input_ids"], square, labels=torch.ones(BATCH, LENGTH))


def test_labels_of_another_shape_than_the_logits_are_refused():
    logits = torch.randn(4, 3)
    expected = classification_loss(logits, torch.tensor([2, 0, 1, 1]))
    assert classification_loss(logits, torch.tensor([[2], [0], [1], [1]])) == expected
    for shape in ((1, 4), (4, 3), (3,)):
        with pytest.raises(ValueError, match=r"labels must be \[4\].*found"):
            classification_loss(logits, torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("pieces", [11, 16])
def test_a_vocabulary_head_filled_up_for_a_gpu_computes_the_same(pieces):
    torch.manual_seed(0)
    tensors = [torch.randn(shape, requires_grad=True) for shape in ((3, 5, 7), (pieces, 7), (pieces,))]
    expected, found = (product(*tensors) for product in (torch.nn.functional.linear, _wider_product))
    assert_close("logits", expected.detach(), found.detach(), FORWARD)
    gradients = [torch.autograd.grad(logits.square().sum(), tensors) for logits in (expected, found)]
    for name, one, other in zip(("hidden states", "weight", "bias"), *gradients, strict=True):
        assert_close(name, one, other, GRADIENT)


@pytest.mark.parametrize("function", [replaced_token_detection_loss, classification_loss])
def test_no_labelled_token_gives_zero_and_no_nan_gradient(function):
    if function is classification_loss:
        logits = torch.randn(2, 3, 7, requires_grad=True)
        loss = function(logits, torch.full((2, 3), -100))
    else:
        logits = torch.randn(2, 3, requires_grad=True)
        loss = function(logits, torch.ones(2, 3), torch.zeros(2, 3))
    loss.backward()
    assert loss.item() == 0
    assert torch.count_nonzero(logits.grad) == 0


def test_a_model_pickles_copies_and_moves(batch):
    model = ElectraForMaskedLM(CONFIG).eval()
    expected = model(**batch).logits
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model.to("cpu")):
        assert torch.equal(expected, other(**batch).logits)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_those_of_transformers(name):
    reference = pytest.importorskip("transformers").activations.ACT2FN[name]
    inputs = torch.linspace(-12, 12, 501)
    assert_close(name, reference(inputs), ACTIVATIONS[name](inputs), FORWARD)


def test_the_layout_without_mask_has_no_bias():
    assert PaddedLayout.from_mask(None, torch.float32).attention_bias is None


# Loading and saving --------------------------------------------------------------------------------------------------


def test_loading_info_is_returned_when_asked_for():
    model, report = ElectraForPreTraining.from_pretrained(
        TRANSFORMERS / "small-like" / "ForPreTraining", output_loading_info=True
    )
    assert isinstance(model, ElectraForPreTraining)
    assert isinstance(report, LoadReport)
    assert set(report.loaded) == set(model.state_dict())
    assert not report.new


def test_a_discriminator_gives_a_masked_lm_its_encoder_and_warns_of_the_new_head():
    folder = TRANSFORMERS / "small-like" / "ForPreTraining"
    with pytest.warns(UserWarning, match="initialised and must be trained"):
        model, report = ElectraForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert "generator_predictions.dense.weight" in report.new
    encoder = ElectraModel.from_pretrained(folder)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[f"electra.{name}"])
    assert all(torch.isfinite(parameter).all() and not parameter.is_meta for parameter in model.parameters())
    assert model.generator_predictions.dense.weight.std() > 0


def test_a_generator_gives_a_discriminator_its_encoder_and_warns_of_the_new_head():
    with pytest.warns(UserWarning, match="discriminator_predictions"):
        model = ElectraForPreTraining.from_pretrained(GOOGLE / "trained", component="generator", num_attention_heads=1)
    assert model.config.hidden_size == 32
    assert (model.discriminator_predictions.dense.bias == 0).all()


def test_each_class_takes_the_network_it_is_for():
    _, report = ElectraForMaskedLM.from_pretrained(GOOGLE / "trained", output_loading_info=True)
    assert report.component == "generator"
    _, report = ElectraForPreTraining.from_pretrained(
        GOOGLE / "trained", num_attention_heads=4, output_loading_info=True
    )
    assert report.component == "discriminator"


def test_a_tied_model_has_one_word_table():
    model = ElectraForMaskedLM.from_pretrained(TRANSFORMERS / "base-like" / "ForMaskedLM")
    assert "generator_lm_head.weight" not in model.state_dict()
    model(torch.ones(1, 3, dtype=torch.long), labels=torch.ones(1, 3, dtype=torch.long)).loss.backward()
    assert model.electra.embeddings.word_embeddings.weight.grad[60].abs().max() > 0  # through the projection alone


@pytest.mark.parametrize(("dtype", "expected"), [(None, "float32"), ("auto", "float32"), ("bfloat16", "bfloat16"),
                                                 (torch.float16, "float16"), ("float64", "float64")])  # fmt: skip
def test_dtype_is_what_was_asked_for(dtype, expected):
    model = ElectraModel.from_pretrained(TRANSFORMERS / "small-like" / "Model", dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, expected)}
    assert model.config.dtype == expected


def test_bfloat16_survives_saving_and_loading(tmp_path):
    model = ElectraModel.from_pretrained(TRANSFORMERS / "small-like" / "Model", dtype="bfloat16")
    model.save_pretrained(tmp_path)
    again = ElectraModel.from_pretrained(tmp_path, dtype="auto")
    assert again.config.dtype == "bfloat16"
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_loaded_model_trains_without_touching_the_file(tmp_path):
    """Weights are mapped from the file; a step must change the model and never the checkpoint."""
    ElectraForPreTraining(CONFIG).save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    model = ElectraForPreTraining.from_pretrained(tmp_path)
    weight = model.discriminator_predictions.dense.weight
    old = weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(torch.ones(2, 3, dtype=torch.long), labels=torch.ones(2, 3)).loss.backward()
    optimizer.step()
    assert not torch.equal(old, weight)
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("format", ["safetensors", "bin", "h5", "tf1", "npz", "joint"])
@pytest.mark.parametrize("model_class", MODELS)
def test_every_form_that_is_saved_is_loaded_again(tmp_path, model_class, format):
    model = model_class(CONFIG)
    model.save_pretrained(tmp_path, format=format)
    again = model_class.from_pretrained(tmp_path).state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


class Mine(ElectraForPreTraining):
    """A user's own class: it is saved as the one that it is made of."""


def test_a_users_own_class_is_saved_and_loaded(tmp_path):
    Mine(CONFIG).save_pretrained(tmp_path)
    for model_class in (Mine, ElectraForPreTraining):
        model = model_class.from_pretrained(tmp_path)
        assert type(model) is model_class
        assert model.config.architectures == ("ElectraForPreTraining",)


def test_a_model_that_could_not_be_loaded_again_is_not_saved(tmp_path):
    model = ElectraForPreTraining(CONFIG)
    torch.nn.utils.parametrizations.weight_norm(model.discriminator_predictions.dense)
    with pytest.raises(CheckpointError, match=r"1 missing \(discriminator_predictions.dense.weight\); 2 unexpected"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_saving_over_the_folder_a_model_was_loaded_from_is_safe(tmp_path):
    ElectraForPreTraining(CONFIG).save_pretrained(tmp_path)
    model = ElectraForPreTraining.from_pretrained(tmp_path)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    again = ElectraForPreTraining.from_pretrained(tmp_path)
    assert all(torch.equal(expected[name], tensor) for name, tensor in again.state_dict().items())


def test_bad_arguments_are_value_errors(tmp_path):
    folder = TRANSFORMERS / "small-like" / "Model"
    for arguments, message in (
        ({"dtype": "int8"}, "dtype must be"),
        ({"component": "both"}, "component must be"),
        ({"hidden_sise": 3}, "no field hidden_sise"),
        ({"revision": "main"}, "local path"),
    ):
        with pytest.raises(ValueError, match=message):
            ElectraModel.from_pretrained(folder, **arguments)
    with pytest.raises(ValueError, match="format must be"):
        ElectraModel(CONFIG).save_pretrained(tmp_path, format="onnx")


def test_a_wrong_config_is_one_error_that_names_the_tensors():
    with pytest.raises(CheckpointError, match=r"wrong shape.*intermediate\.dense\.weight: expected \[56, 32\]"):
        ElectraModel.from_pretrained(TRANSFORMERS / "small-like" / "Model", intermediate_size=56)
