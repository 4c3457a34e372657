"""Generator and discriminator together: against transformers' modules composed by hand, and property by property."""

import numpy as np
import pytest

from electra_common import CheckpointError, convert_checkpoint
from electra_common.objective import PretrainingObjective
from support.assertions import assert_close
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.joint_training import (
    CONFIG,
    GENERATOR,
    OBJECTIVES,
    VOCABULARY,
    make_batch,
    original_ids,
    recorded_batch,
    sampled_by_numpy,
)
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from electra_pt import ElectraForJointPreTraining, ElectraForMaskedLM, PackedLayout  # noqa: E402
from electra_pt.joint_networks import joint_state  # noqa: E402

CASES = pytest.mark.parametrize("case", OBJECTIVES)


def build(case="shared embeddings", **changes):
    fields, generator_config = OBJECTIVES[case]
    torch.manual_seed(3)
    return ElectraForJointPreTraining(CONFIG, generator_config, PretrainingObjective(**{**fields, **changes}))


def tensors(batch):
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def state_of(model):
    return {name: parameter.detach().numpy() for name, parameter in joint_state(model).items()}


# Against transformers -------------------------------------------------------------------------------------------------


def losses_of_transformers(networks, batch):
    """Return (generator loss, discriminator loss): full logits, cross-entropy at masked places, binary over real ones.

    Those of a network that is not there are 0. ``networks`` are transformers' classes with the same weights.
    """
    body = {"attention_mask": batch["attention_mask"], "token_type_ids": batch["token_type_ids"]}
    generator_loss = discriminator_loss = torch.zeros(())
    if "generator" in networks:
        logits = networks["generator"](batch["input_ids"], **body).logits  # [batch, length, vocabulary]
        rows = torch.arange(len(logits))[:, None]
        picked = logits[rows, batch["masked_positions"].long()].log_softmax(-1)
        nll = -picked.gather(-1, batch["masked_labels"][:, :, None].long())[:, :, 0]
        generator_loss = (nll * batch["masked_weights"]).sum() / batch["masked_weights"].sum()
    if "discriminator" in networks:
        labels = batch["is_replaced"].float()
        discriminator_loss = networks["discriminator"](batch["corrupted_input_ids"], labels=labels, **body).loss
    return generator_loss, discriminator_loss


@CASES
def test_losses_and_gradients_are_those_of_transformers_modules(case, tmp_path):
    """The halves open in transformers; a shared tensor's gradient is the sum of what it gets in both networks."""
    transformers = pytest.importorskip("transformers")
    classes = {"discriminator": transformers.ElectraForPreTraining, "generator": transformers.ElectraForMaskedLM}
    model, batch = build(case).eval(), tensors(recorded_batch())
    model.save_halves(tmp_path)
    theirs = {path.name: classes[path.name].from_pretrained(path).eval() for path in tmp_path.iterdir()}
    assert theirs.keys() == model.networks().keys()
    expected = losses_of_transformers(theirs, batch)
    weights = (model.objective.generator_weight, model.objective.discriminator_weight)
    total = sum(weight * loss for weight, loss in zip(weights, expected, strict=True))
    output = model(**batch)
    for name, value in zip(("generator_loss", "discriminator_loss"), expected, strict=True):
        assert_close(name, value.detach(), output.get(name, torch.zeros(())).detach(), FORWARD)
    assert_close("loss", total.detach(), output.loss.detach(), FORWARD * max(weights))
    total.backward()
    output.loss.backward()
    gradients = {
        f"{network}.{name}": parameter.grad
        for network, module in theirs.items()
        for name, parameter in module.named_parameters()
    }
    for name, parameter in joint_state(model).items():
        twin = name.replace("discriminator.", "generator.", 1)
        is_shared = parameter is dict(model.generator.named_parameters()).get(twin[10:]) if model.generator else False
        wanted = gradients[name] + (gradients[twin] if is_shared and twin != name else 0)
        assert_close(name, wanted, parameter.grad, GRADIENT)


def test_the_names_are_those_of_the_joint_form_and_shared_tensors_come_once():
    own, tied = build("shared embeddings"), build("one network")
    for model in (own, tied):
        assert set(joint_state(model)) == {name for name, _ in model.named_parameters()}
    assert not [name for name in joint_state(own) if name.startswith("generator.electra.embeddings.")]
    assert {name.split(".")[1] for name in joint_state(tied) if name.startswith("generator.")} == {
        "generator_predictions", "generator_lm_head",
    }  # fmt: skip


# Sampling -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"temperature": 2.5}, {"disallow_correct": True}, {"temperature": 0.4, "disallow_correct": True}]
)
def test_what_is_sampled_is_what_the_definition_says(changes):
    model, batch = build(**changes).eval(), make_batch()
    output = model(**tensors(batch))
    logits = output.generator_logits.detach().numpy()
    corrupted, is_replaced = sampled_by_numpy(logits, batch, **changes)
    assert np.array_equal(output.corrupted_input_ids, corrupted)
    assert np.array_equal(output.is_replaced, is_replaced)
    assert is_replaced.any()


def test_disallowed_tokens_are_never_sampled_and_allowed_ones_count_as_real():
    """A generator that knows every token: all is sampled right, nothing is replaced; or nothing can be right."""
    for disallow in (False, True):
        model, batch = build(disallow_correct=disallow, temperature=0.01).eval(), make_batch()
        output = model(**tensors(batch))
        best = output.generator_logits.argmax(-1)
        again = model(**tensors({**batch, "masked_labels": best.numpy().astype(np.int32)}))
        assert int(again.is_replaced.sum()) == (int(batch["masked_weights"].sum()) if disallow else 0)


def test_a_uniform_generator_draws_from_the_whole_vocabulary():
    model, batch = build("uniform").eval(), make_batch(rows=500)
    output = model(**tensors(batch))
    assert output.generator_loss is None
    assert output.generator_logits is None
    assert_close("loss", 50 * output.discriminator_loss.detach(), output.loss.detach(), FORWARD)
    corrupted, _ = sampled_by_numpy(np.zeros((500, 3, VOCABULARY)), batch)
    assert np.array_equal(output.corrupted_input_ids, corrupted)
    replaced = output.corrupted_input_ids[output.is_replaced == 1]
    assert len(set(replaced.tolist())) == VOCABULARY


def test_without_seeds_torchs_own_randomness_decides():
    model, batch = build(temperature=3.0).eval(), tensors(make_batch())
    del batch["sampling_seeds"]
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model(**batch).corrupted_input_ids)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_slots_at_one_position_draw_one_token():
    """Masking with replacement points two slots at one place; no rule is needed for which of them writes."""
    batch = make_batch()
    batch["masked_positions"][:, 1] = batch["masked_positions"][:, 0]
    batch["masked_labels"][:, 1] = batch["masked_labels"][:, 0]
    batch["masked_weights"][:, 1] = batch["masked_weights"][:, 0]
    output = build(temperature=5.0).eval()(**tensors(batch))
    corrupted, _ = sampled_by_numpy(output.generator_logits.detach().numpy(), batch, temperature=5.0)
    assert np.array_equal(output.corrupted_input_ids, corrupted)


# What changes nothing, and what does not pass -------------------------------------------------------------------------


@CASES
@pytest.mark.parametrize("disallow", [False, True])
@pytest.mark.parametrize(("position", "label"), [(4, 33), (-1, -100), (99, 99)])
def test_unused_slots_change_nothing_wherever_they_point(case, disallow, position, label):
    model, batch = build(case, disallow_correct=disallow).eval(), make_batch()
    unused = batch["masked_weights"] == 0
    assert unused.any()
    elsewhere = {**batch, "masked_positions": np.where(unused, position, batch["masked_positions"]).astype(np.int32)}
    elsewhere["masked_labels"] = np.where(unused, label, batch["masked_labels"]).astype(np.int32)
    first, second = model(**tensors(batch)), model(**tensors(elsewhere))
    for name in first.keys() - {"generator_logits"}:
        assert torch.equal(first[name], second[name]), name


def test_losses_are_float32_whatever_the_weights_of_the_slots_are():
    model, batch = build().eval(), tensors(make_batch())
    expected = model(**batch).loss
    for dtype in (torch.float64, torch.bfloat16, torch.bool):
        found = model(**{**batch, "masked_weights": batch["masked_weights"].to(dtype)}).loss
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_no_gradient_of_the_discriminators_loss_reaches_the_generators_weights():
    model = build("own embeddings")
    model(**tensors(make_batch())).discriminator_loss.backward()
    assert not [name for name, parameter in model.generator.named_parameters() if parameter.grad is not None]
    assert all(parameter.grad is not None for parameter in model.discriminator.parameters())


@pytest.mark.filterwarnings("ignore:Full backward hook")
@CASES
def test_one_layout_serves_both_networks(case):
    """The same losses and gradients without computing the padding."""
    batch = tensors(recorded_batch())
    models = [build(case).eval() for _ in range(2)]
    mask = batch.pop("attention_mask")
    outputs = [models[0](**batch, attention_mask=mask), models[1](**batch, layout=PackedLayout.from_mask(mask))]
    assert_close("loss", *(output.loss.detach() for output in outputs), 50 * FORWARD)
    for output in outputs:
        output.loss.backward()
    for (name, one), other in zip(joint_state(models[0]).items(), joint_state(models[1]).values(), strict=True):
        assert_close(name, one.grad, other.grad, GRADIENT)


def test_a_tuple_on_request_and_half_of_a_recording_is_refused():
    model, batch = build().eval(), tensors(recorded_batch())
    assert len(model(**batch, return_dict=False)) == 7
    del batch["is_replaced"]
    with pytest.raises(ValueError, match="both corrupted_input_ids and is_replaced, or neither"):
        model(**batch)


def test_originals_are_put_back():
    model, batch = build().eval(), make_batch()
    output = model(**tensors(batch))
    kept = output.is_replaced.numpy() == 0
    assert np.array_equal(output.corrupted_input_ids.numpy()[kept], original_ids(batch)[kept])


# Checkpoints ----------------------------------------------------------------------------------------------------------


@CASES
@pytest.mark.parametrize("format", ["joint", "tf1"])
def test_what_is_saved_comes_back(case, format, tmp_path):
    model = build(case)
    model.save_pretrained(tmp_path, format=format)
    again = ElectraForJointPreTraining.from_pretrained(tmp_path, objective=model.objective)
    assert not again.training
    expected, found = state_of(model), state_of(again)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    for name, network in again.networks().items():
        assert network.config.hidden_size == model.networks()[name].config.hidden_size


def test_a_pair_of_folders_and_its_errors(tmp_path):
    model = build()
    model.save_halves(tmp_path)
    pair = (tmp_path / "discriminator", tmp_path / "generator")
    again = ElectraForJointPreTraining.from_pretrained(pair[0], generator=pair[1])
    assert all(np.array_equal(array, state_of(again)[name]) for name, array in state_of(model).items())
    with pytest.raises(CheckpointError, match="holds no generator, only a discriminator"):
        ElectraForJointPreTraining.from_pretrained(pair[0])
    with pytest.raises(ValueError, match="uniform generator has no weights"):
        ElectraForJointPreTraining.from_pretrained(
            pair[0], generator=pair[1], objective=PretrainingObjective(generator="uniform")
        )
    model.generator.electra.embeddings = ElectraForMaskedLM(GENERATOR).electra.embeddings
    model.save_halves(tmp_path)
    with pytest.raises(CheckpointError, match=r"share 5 tensors, but 3 differ, such as .*ties_embeddings=False"):
        ElectraForJointPreTraining.from_pretrained(pair[0], generator=pair[1])
    own_embeddings = PretrainingObjective(ties_embeddings=False)
    apart = ElectraForJointPreTraining.from_pretrained(pair[0], generator=pair[1], objective=own_embeddings)
    assert "generator.electra.embeddings.word_embeddings.weight" in joint_state(apart)
    apart.generator.resize_token_embeddings(VOCABULARY + 3)
    apart.generator.save_pretrained(tmp_path / "resized")
    with pytest.raises(CheckpointError, match="both networks read the same ids"):
        ElectraForJointPreTraining.from_pretrained(pair[0], generator=tmp_path / "resized", objective=own_embeddings)
    with pytest.raises(CheckpointError, match=r"shared embeddings need the same layer_norm_eps 1e-12 and 1e-05"):
        ElectraForJointPreTraining.from_pretrained(pair[0], generator=pair[1], layer_norm_eps={"generator": 1e-5})
    other = build("one network")
    torch.nn.init.zeros_(other.generator.generator_lm_head.bias)
    other.save_halves(tmp_path)
    one_network = PretrainingObjective(generator="tied")
    ElectraForJointPreTraining.from_pretrained(pair[0], generator=pair[1], objective=one_network)
    torch.nn.init.ones_(other.discriminator.electra.encoder.layer[1].output.dense.bias)
    other.discriminator.save_pretrained(pair[0])
    with pytest.raises(
        CheckpointError, match=r"1 differ, such as electra\.encoder\.layer\.1\.output\.dense\.bias; generator='own'"
    ):
        ElectraForJointPreTraining.from_pretrained(pair[0], generator=pair[1], objective=one_network)


@pytest.mark.parametrize("size", [VOCABULARY - 3, VOCABULARY + 36])
def test_a_resized_vocabulary_is_what_a_uniform_generator_draws_from(size):
    model, batch = build("uniform").eval(), make_batch(rows=500)
    model.discriminator.resize_token_embeddings(size)
    assert model.config.vocab_size == size
    batch = {**batch, **{name: batch[name] % 50 for name in ("input_ids", "masked_labels")}}
    output = model(**tensors(batch))
    drawn = set(output.corrupted_input_ids[output.is_replaced == 1].tolist())
    assert drawn == set(range(size))


@pytest.mark.parametrize("case", ["shared embeddings", "own embeddings", "one network"])
def test_one_half_resized_alone_is_not_written_and_both_come_back(case, tmp_path):
    model = build(case)
    model.generator.resize_token_embeddings(VOCABULARY + 3)
    for save in (model.save_pretrained, model.save_halves):
        with pytest.raises(ValueError, match="vocab_size"):
            save(tmp_path)
    assert not list(tmp_path.iterdir())
    model.discriminator.resize_token_embeddings(VOCABULARY + 3)
    model.save_pretrained(tmp_path)
    again = ElectraForJointPreTraining.from_pretrained(tmp_path, objective=model.objective)
    assert again.config.vocab_size == VOCABULARY + 3


def test_a_google_checkpoint_gives_both_networks_and_overrides_are_by_network(tmp_path):
    model = ElectraForJointPreTraining.from_pretrained(
        GOOGLE / "trained", num_attention_heads=GOOGLE_HEADS, hidden_dropout_prob=0.25
    )
    for name, network in model.networks().items():
        assert network.config.num_attention_heads == GOOGLE_HEADS[name]
        assert network.config.hidden_dropout_prob == 0.25
    convert_checkpoint(GOOGLE / "trained", tmp_path, format="joint", num_attention_heads=GOOGLE_HEADS)
    again = ElectraForJointPreTraining.from_pretrained(tmp_path)
    assert all(np.array_equal(array, state_of(again)[name]) for name, array in state_of(model).items())


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)  # torch's own code
def test_the_whole_step_is_one_graph():
    torch.compiler.reset()
    model, batch = build().eval(), tensors(make_batch())
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    expected, found = model(**batch), compiled(**batch)
    for name in expected:
        assert_close(name, expected[name].detach(), found[name].detach(), 50 * FORWARD)
    found.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    torch.compiler.reset()
