"""The PyTorch models for fine-tuning, as a PyTorch user meets them, and beside transformers 5."""

import pytest

from support.assertions import assert_close
from support.fixtures import TRANSFORMERS
from support.initial_weights import assert_documented_scheme
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

import electra_pt  # noqa: E402
from electra_common import CheckpointError, ElectraConfig  # noqa: E402
from electra_common.weights.names import ARCHITECTURE_PARTS, keras_path  # noqa: E402
from electra_common.weights.shapes import expected_shapes  # noqa: E402
from electra_pt import (  # noqa: E402
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
)
from electra_pt.losses import sequence_classification_loss, span_loss  # noqa: E402
from electra_pt.pretrained import canonical_state  # noqa: E402

MODELS = (
    ElectraForTokenClassification,
    ElectraForSequenceClassification,
    ElectraForQuestionAnswering,
    ElectraForMultipleChoice,
)
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.3,
)  # fmt: skip
BATCH, CHOICES, LENGTH = 5, 3, 13


def batch_for(model_class):
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([13, 1, 7, 12, 2])
    mask = (torch.arange(LENGTH)[None] < lengths[:, None]).long()
    shape = (BATCH, LENGTH)
    if model_class is ElectraForMultipleChoice:
        shape, mask = (BATCH, CHOICES, LENGTH), mask[:, None].repeat(1, CHOICES, 1)
    ids = torch.randint(1, 97, shape, generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.randint(0, 2, shape, generator=generator)}


def labels_for(model_class):
    ones = torch.ones(BATCH, dtype=torch.long)
    return {
        ElectraForTokenClassification: {"labels": torch.ones(BATCH, LENGTH, dtype=torch.long)},
        ElectraForSequenceClassification: {"labels": ones},
        ElectraForQuestionAnswering: {"start_positions": ones, "end_positions": 2 * ones},
        ElectraForMultipleChoice: {"labels": ones},
    }[model_class]


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("changes", [{}, {"embedding_size": 24}, {"summary_use_proj": False}])
def test_parameter_names_are_the_canonical_ones(model_class, changes):
    config = CONFIG.replace(**changes)
    found = {name: tuple(tensor.shape) for name, tensor in model_class(config).state_dict().items()}
    assert found == expected_shapes(config, model_class.__name__)
    assert len({keras_path(name) for name in found}) == len(found)


@pytest.mark.parametrize("model_class", MODELS)
def test_outputs_have_the_fields_and_the_order_of_transformers(model_class):
    model = model_class(CONFIG).eval()
    inputs = {**batch_for(model_class), **labels_for(model_class)}
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    logits = ["start_logits", "end_logits"] if model_class is ElectraForQuestionAnswering else ["logits"]
    assert list(output) == ["loss", *logits, "hidden_states", "attentions"]
    assert output.loss.shape == ()
    plain = model(**inputs, output_attentions=True, return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == 2 + len(logits)
    assert torch.equal(plain[1], output[1])


# Beside transformers 5 ------------------------------------------------------------------------------------------------


def in_both(tmp_path, model_class, config, **labels):
    """Return (ours, theirs): the outputs of one model with random weights, saved by us and opened by transformers."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    model = model_class(config).eval()
    for parameter in model.parameters():  # biases and LayerNorms too: zeros and ones would hide a forgotten one
        parameter.data += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(tmp_path)
    theirs = getattr(transformers, model_class.__name__).from_pretrained(tmp_path, attn_implementation="eager")
    inputs = {**batch_for(model_class), **labels}
    return model, theirs, model(**inputs), theirs.eval()(**inputs)


def assert_same(ours, theirs):
    for name, tensor in ours.items():
        assert_close(name, theirs[name].detach(), tensor.detach(), FORWARD)


def assert_same_gradients(model, reference):
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        assert_close(name, expected[name].grad, parameter.grad, GRADIENT)


FLOATS = torch.linspace(-1, 1, BATCH * 3).reshape(BATCH, 3)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_labels": 1}, FLOATS[:, 0]),
        ({"num_labels": 1}, FLOATS[:, :1]),
        ({"num_labels": 3, "problem_type": "regression"}, FLOATS),
        ({"num_labels": 3}, torch.tensor([0, 2, 1, 1, 0])),
        ({"num_labels": 3}, torch.tensor([0, 2, -100, 1, 0])),
        ({"num_labels": 3}, (FLOATS > 0).float()),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, (FLOATS > 0).float()),
    ],
)
def test_sequence_losses_are_those_of_transformers(tmp_path, changes, labels):
    model, reference, ours, theirs = in_both(
        tmp_path, ElectraForSequenceClassification, CONFIG.replace(**changes), labels=labels
    )
    assert_same(ours, theirs)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, reference)


@pytest.mark.parametrize(
    ("start", "end"),
    [([0, 0, 3, 11, 1], [2, 0, 6, 11, 1]), ([-1, 13, 40, 11, 1], [13, -100, 40, 11, 12])],
)
def test_span_losses_are_those_of_transformers(tmp_path, start, end):
    model, reference, ours, theirs = in_both(
        tmp_path,
        ElectraForQuestionAnswering,
        CONFIG,
        start_positions=torch.tensor(start),
        end_positions=torch.tensor(end),
    )
    assert_same(ours, theirs)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, reference)


@pytest.mark.parametrize(
    "changes",
    [
        {"summary_type": "first"},
        {"summary_type": "last"},
        {"summary_type": "mean"},
        {"summary_type": "cls_index"},
        {"summary_use_proj": False},
        {"summary_activation": "linear"},
        {"summary_activation": "tanh", "summary_first_dropout": 0.5, "summary_last_dropout": 0.0},
        {"summary_proj_to_labels": True, "num_labels": 24},
    ],
    ids=str,
)
def test_every_summary_is_that_of_transformers(tmp_path, changes):
    # transformers compares the first dropout with 0, so it takes 0 where we also take None.
    config = CONFIG.replace(**{"summary_first_dropout": 0.0, **changes})
    model, reference, ours, theirs = in_both(
        tmp_path, ElectraForMultipleChoice, config, labels=torch.tensor([0, 2, 1, -100, 0])
    )
    assert_same(ours, theirs)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, reference)


def test_no_summary_activation_is_the_linear_one():
    """transformers 5 takes no None here; 4.57 computes what "linear" gives."""
    model = ElectraForMultipleChoice(CONFIG.replace(summary_activation="linear")).eval()
    other = ElectraForMultipleChoice(CONFIG.replace(summary_activation=None)).eval()
    other.load_state_dict(model.state_dict())
    batch = batch_for(ElectraForMultipleChoice)
    assert torch.equal(model(**batch).logits, other(**batch).logits)


def test_ignored_labels_of_tokens_are_those_of_transformers(tmp_path):
    labels = torch.arange(BATCH * LENGTH).reshape(BATCH, LENGTH) % 3
    labels[:, ::4] = -100
    *_, ours, theirs = in_both(tmp_path, ElectraForTokenClassification, CONFIG.replace(num_labels=3), labels=labels)
    assert_same(ours, theirs)


# Losses ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", MODELS)
def test_nothing_labelled_gives_zero_and_no_nan_gradient(model_class):
    outside = {name: torch.full_like(tensor, LENGTH) for name, tensor in labels_for(model_class).items()}
    ignored = {name: torch.full_like(tensor, -100) for name, tensor in labels_for(model_class).items()}
    model = model_class(CONFIG)
    loss = model(**batch_for(model_class), **(outside if model_class is ElectraForQuestionAnswering else ignored)).loss
    loss.backward()
    assert loss.item() == 0
    assert all(torch.count_nonzero(parameter.grad) == 0 for parameter in model.parameters())


def test_an_empty_batch_gives_zero():
    for problem_type in ("regression", "single_label_classification", "multi_label_classification"):
        labels = torch.zeros(0, dtype=torch.long) if problem_type.startswith("single") else torch.zeros(0, 2)
        assert sequence_classification_loss(torch.zeros(0, 2), labels, problem_type) == 0


def test_the_problem_type_holds_for_one_call(tmp_path):
    model = ElectraForSequenceClassification(CONFIG.replace(num_labels=3)).eval()
    batch = batch_for(ElectraForSequenceClassification)
    cross_entropy = model(**batch, labels=torch.ones(BATCH, dtype=torch.long)).loss
    binary = model(**batch, labels=torch.zeros(BATCH, 3)).loss
    assert model(**batch, labels=torch.ones(BATCH, dtype=torch.long)).loss == cross_entropy != binary
    model.save_pretrained(tmp_path)
    assert model.config.problem_type is None
    assert "problem_type" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"num_labels": 3}, torch.ones(BATCH, 3).long(), "one whole number for each class"),
        ({"num_labels": 3}, torch.ones(BATCH), r"labels must be \[5, 3\].*found \[5\]"),
        ({"num_labels": 1}, torch.ones(1, BATCH), r"labels must be \[5, 1\].*found \[1, 5\]"),
    ],
)
def test_labels_that_do_not_fit_are_refused(changes, labels, message):
    model = ElectraForSequenceClassification(CONFIG.replace(**changes))
    with pytest.raises(ValueError, match=message):
        model(**batch_for(ElectraForSequenceClassification), labels=labels)


def test_a_span_needs_both_ends():
    batch = batch_for(ElectraForQuestionAnswering)
    with pytest.raises(ValueError, match="both start_positions and end_positions"):
        ElectraForQuestionAnswering(CONFIG)(**batch, start_positions=torch.ones(BATCH).long())


def test_positions_may_have_an_axis_of_one():
    logits = torch.randn(BATCH, LENGTH)
    start, end = torch.arange(BATCH), torch.arange(BATCH) + 2
    assert span_loss(logits, logits, start[:, None], end[:, None]) == span_loss(logits, logits, start, end)


# Configs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_class", "changes", "message"),
    [
        (ElectraForQuestionAnswering, {"num_labels": 3}, "needs num_labels 2.*found 3"),
        (ElectraForTokenClassification, {"num_labels": 0}, "at least one label"),
        (ElectraForSequenceClassification, {"num_labels": 0}, "at least one label"),
        (ElectraForMultipleChoice, {"summary_proj_to_labels": True}, "summary 2 wide.*takes hidden_size 24"),
    ],
)
def test_a_head_that_cannot_be_built_is_refused(tmp_path, model_class, changes, message):
    with pytest.raises(ValueError, match=message):
        model_class(CONFIG.replace(**changes))
    ElectraForPreTraining(CONFIG.replace(**changes)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        model_class.from_pretrained(tmp_path)


def test_multiple_choice_needs_an_axis_of_choices():
    with pytest.raises(ValueError, match=r"\[batch, choices, length\], found \[2, 4\]"):
        ElectraForMultipleChoice(CONFIG)(torch.ones(2, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        ElectraForMultipleChoice(CONFIG)()


def test_multiple_choice_takes_embeddings_and_positions():
    model = ElectraForMultipleChoice(CONFIG).eval()
    batch = batch_for(ElectraForMultipleChoice)
    positions = torch.arange(LENGTH).expand(BATCH, CHOICES, -1)
    expected = model(**batch).logits
    embeds = model.electra.embeddings.word_embeddings(batch.pop("input_ids"))
    assert torch.equal(expected, model(**batch, inputs_embeds=embeds, position_ids=positions).logits)


# Dropout --------------------------------------------------------------------------------------------------------------

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "summary_last_dropout": 0.0}


@pytest.mark.parametrize("model_class", [ElectraForTokenClassification, ElectraForSequenceClassification])
def test_classifier_dropout_stands_before_the_classifier(model_class):
    """Where everything is dropped, only the bias is left; without the option, hidden_dropout_prob counts."""
    for changes in ({"classifier_dropout": 1.0}, {"hidden_dropout_prob": 1.0}):
        model = model_class(CONFIG.replace(**{**NO_DROPOUT, **changes})).train()
        last = model.classifier if model_class is ElectraForTokenClassification else model.classifier.out_proj
        torch.nn.init.normal_(last.bias)
        logits = model(**batch_for(model_class)).logits
        assert torch.equal(logits, last.bias.expand(logits.shape))
    still = model_class(CONFIG.replace(**NO_DROPOUT)).train()
    assert torch.equal(still(**batch_for(model_class)).logits, still(**batch_for(model_class)).logits)


@pytest.mark.parametrize("option", ["summary_first_dropout", "summary_last_dropout"])
def test_summary_dropouts_stand_around_the_summary(option):
    model = ElectraForMultipleChoice(CONFIG.replace(**{**NO_DROPOUT, option: 1.0})).train()
    torch.nn.init.normal_(model.sequence_summary.summary.bias)
    dropped = torch.zeros(24) if option == "summary_last_dropout" else model.sequence_summary.summary.bias
    expected = model.classifier(torch.nn.functional.gelu(dropped))
    logits = model(**batch_for(ElectraForMultipleChoice)).logits
    assert_close("logits", expected.detach().expand(BATCH, CHOICES), logits.detach(), FORWARD)


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", sorted(ARCHITECTURE_PARTS))
def test_initial_weights_follow_the_documented_scheme(head):
    torch.manual_seed(0)
    is_decoder = head == "ElectraForCausalLM"
    config = ElectraConfig(vocab_size=3000, num_hidden_layers=1, is_decoder=is_decoder, add_cross_attention=is_decoder)
    state = canonical_state(getattr(electra_pt, head)(config))
    assert_documented_scheme({name: tensor.numpy() for name, tensor in state.items()}, config)


@pytest.mark.parametrize("model_class", MODELS)
def test_a_new_head_on_a_loaded_encoder_follows_the_scheme_too(model_class):
    torch.manual_seed(0)
    folder = TRANSFORMERS / "small-like" / "ForPreTraining"
    with pytest.warns(UserWarning, match="initialised and must be trained"):
        model, report = model_class.from_pretrained(folder, num_labels=2, output_loading_info=True)
    new = {name: model.state_dict()[name].numpy() for name in report.new}
    assert_documented_scheme(new, model.config)


@pytest.mark.parametrize("format", ["safetensors", "bin", "h5", "npz"])
@pytest.mark.parametrize("model_class", MODELS)
def test_every_form_that_is_saved_is_loaded_again(tmp_path, model_class, format):
    model = model_class(CONFIG.replace(id2label={0: "no", 1: "yes"}))
    model.save_pretrained(tmp_path, format=format)
    again = model_class.from_pretrained(tmp_path)
    assert again.config.id2label == {0: "no", 1: "yes"}
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("model_class", MODELS)
def test_googles_form_has_no_place_for_these_heads(tmp_path, model_class):
    with pytest.raises(CheckpointError, match=r"classifier|qa_outputs"):
        model_class(CONFIG).save_pretrained(tmp_path, format="tf1")


def test_numbers_of_labels_can_be_given_when_loading():
    folder = TRANSFORMERS / "base-like" / "ForPreTraining"
    with pytest.warns(UserWarning, match="classifier"):
        model = ElectraForTokenClassification.from_pretrained(folder, num_labels=7)
    assert model.classifier.weight.shape == (7, 24)
    assert torch.isfinite(model.classifier.weight).all()


# Google's head --------------------------------------------------------------------------------------------------------


def test_googles_head_is_one_linear_layer_on_the_first_token(tmp_path):
    config = CONFIG.replace(head="google", num_labels=2)
    model = ElectraForSequenceClassification(config).eval()
    torch.nn.init.normal_(model.classifier.bias)
    batch = batch_for(ElectraForSequenceClassification)
    hidden = model.electra(**batch).last_hidden_state
    expected = (hidden[:, 0] @ model.classifier.weight.T + model.classifier.bias).detach()
    assert_close("logits", expected, model(**batch).logits.detach(), FORWARD)
    assert set(canonical_state(model)) == set(expected_shapes(config, "ElectraForSequenceClassification"))
    model.save_pretrained(tmp_path)
    again = ElectraForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.head == "google"
    assert_close("logits", expected, again(**batch).logits.detach(), FORWARD)


def test_googles_head_drops_what_it_takes():
    config = CONFIG.replace(**{**NO_DROPOUT, "head": "google", "classifier_dropout": 1.0})
    model = ElectraForSequenceClassification(config).train()
    torch.nn.init.normal_(model.classifier.bias)
    logits = model(**batch_for(ElectraForSequenceClassification)).logits
    assert_close("logits", model.classifier.bias.detach().expand(BATCH, 2), logits.detach(), 0.0)


def test_where_google_has_no_such_head_it_is_refused():
    with pytest.raises(ValueError, match='has no head="google"'):
        ElectraForMultipleChoice(CONFIG.replace(head="google"))


def test_a_new_google_head_on_a_loaded_encoder():
    folder = TRANSFORMERS / "small-like" / "ForSequenceClassification"
    with pytest.warns(UserWarning, match=r"classifier\.weight"):
        model, report = ElectraForSequenceClassification.from_pretrained(
            folder, head="google", output_loading_info=True
        )
    assert set(report.new) == {"classifier.weight", "classifier.bias"}
    assert_documented_scheme({name: canonical_state(model)[name].numpy() for name in report.new}, model.config)
