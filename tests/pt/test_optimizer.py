"""ELECTRA's Adam in PyTorch: its arithmetic, its exclusions, its state, and its place in torch's own machinery."""

import copy
from itertools import chain

import numpy as np
import pytest

from support.adam_formula import DECAYED, OPTIONS, SHAPES, STEPS, expected, gradients, start
from support.assertions import assert_close
from support.fixtures import GOOGLE, GOOGLE_HEADS
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")

from electra_pt import ElectraAdam, ElectraConfig, ElectraForJointPreTraining, ElectraForPreTraining  # noqa: E402
from electra_pt.optimizer import (  # noqa: E402
    adam_state,
    clip_by_global_norm,
    electra_adam,
    load_adam_state,
    named_weights,
)

CONFIG = ElectraConfig(
    vocab_size=31, embedding_size=6, hidden_size=10, num_hidden_layers=1, num_attention_heads=2, intermediate_size=14,
    max_position_embeddings=11,
)  # fmt: skip


def parameters():
    return {name: torch.nn.Parameter(torch.from_numpy(array)) for name, array in start().items()}


def run(optimizer, named, steps=STEPS, first=0):
    for step in range(first, first + steps):
        for name, gradient in gradients(step).items():
            named[name].grad = torch.from_numpy(gradient)
        optimizer.step()


@pytest.mark.parametrize("bias_correction", [False, True])
def test_the_arithmetic_is_googles(bias_correction):
    named = parameters()
    optimizer = ElectraAdam(named.items(), **OPTIONS, bias_correction=bias_correction)
    run(optimizer, named)
    values, means, squares = expected(bias_correction)
    for name, parameter in named.items():
        assert_close(name, values[name], parameter.detach(), FORWARD)
        assert_close(name, means[name], optimizer.state[parameter]["exp_avg"], FORWARD)
        assert_close(name, squares[name], optimizer.state[parameter]["exp_avg_sq"], FORWARD)


def test_parameters_without_names_are_all_decayed_and_groups_decide_for_themselves():
    named = parameters()
    run(ElectraAdam(named.values(), **OPTIONS), named)
    values, _, _ = expected(decayed=set(SHAPES))
    for name, parameter in named.items():
        assert_close(name, values[name], parameter.detach(), FORWARD)
    named = parameters()
    names = list(named)
    groups = [
        {"params": [named[names[0]]]},
        {"params": [named[name] for name in names[1:]], "weight_decay": 0.0, "lr_factor": 0.5},
    ]
    run(ElectraAdam(groups, **OPTIONS), named)
    values, _, _ = expected(decayed={names[0]}, factors=dict.fromkeys(names[1:], 0.5))
    for name, parameter in named.items():
        assert_close(name, values[name], parameter.detach(), FORWARD)


def test_with_bias_correction_and_no_decay_it_is_torchs_adam():
    ours, theirs = parameters(), parameters()
    options = {**OPTIONS, "weight_decay": 0.0}
    run(ElectraAdam(ours.items(), **options, bias_correction=True), ours)
    run(torch.optim.Adam(theirs.values(), **options), theirs)
    for name in ours:
        assert_close(name, theirs[name].detach(), ours[name].detach(), FORWARD)


def test_the_model_decides_by_its_names_and_factors_multiply_the_rate():
    model = ElectraForPreTraining(CONFIG)
    factors = {name: 0.5 ** (1 + number) for number, name in enumerate(list(named_weights(model))[:3])}
    optimizer = electra_adam(model, learning_rate=0.5, weight_decay=0.1, learning_rate_factors=factors)
    decays = {id(item): group["weight_decay"] for group in optimizer.param_groups for item in group["params"]}
    rates = {id(item): group["lr_factor"] for group in optimizer.param_groups for item in group["params"]}
    for name, parameter in named_weights(model).items():
        is_excluded = "LayerNorm" in name or name.endswith(".bias")
        assert decays[id(parameter)] == (0.0 if is_excluded else 0.1), name
        assert rates[id(parameter)] == factors.get(name, 1.0)
    with pytest.raises(ValueError, match=r"does not have: electra\.nobody"):
        electra_adam(model, learning_rate_factors={"electra.nobody": 0.5})


def test_a_schedule_and_a_closure_work_as_with_any_optimizer():
    named = parameters()
    optimizer = ElectraAdam(named.items(), **OPTIONS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step == 0 else 0.0)
    for name, gradient in gradients(0).items():
        named[name].grad = torch.from_numpy(gradient)
    assert optimizer.step(lambda: 4.5) == 4.5
    schedule.step()
    run(optimizer, named, first=1)
    values, _, _ = expected(steps=1)
    for name, parameter in named.items():
        assert_close(name, values[name], parameter.detach(), FORWARD)


def test_state_dict_goes_on_where_it_stopped():
    whole, named = parameters(), parameters()
    run(ElectraAdam(whole.items(), **OPTIONS, bias_correction=True), whole)
    optimizer = ElectraAdam(named.items(), **OPTIONS, bias_correction=True)
    run(optimizer, named, steps=2)
    again = ElectraAdam(named.items(), lr=9.0, bias_correction=True)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(again, named, steps=STEPS - 2, first=2)
    for name in whole:
        assert torch.equal(whole[name], named[name]), name


@pytest.fixture
def kernel_calls(monkeypatch):
    """What reaches the kernel, which is not called: lists of parameters, gradients, means, squares and steps."""
    calls = []

    def note(parameters, gradients, means, squares, _, steps, **options):
        calls.append((parameters, gradients, means, squares, steps))

    monkeypatch.setattr(torch, "_fused_adamw_", note)
    return calls


def parameter_on(device, dtype=torch.float32):
    """Return a parameter with a gradient."""
    parameter = torch.nn.Parameter(torch.ones(3, device=device, dtype=dtype))
    parameter.grad = torch.ones_like(parameter)
    return parameter


@pytest.mark.parametrize("bias_correction", [False, True])
def test_a_state_read_on_another_device_goes_on_where_the_parameters_are(kernel_calls, bias_correction):
    """The kernel reads each step as a float in the parameters' memory, and checks neither."""
    saved = ElectraAdam([parameter_on("cpu")], bias_correction=bias_correction)
    saved.step()
    state = copy.deepcopy(saved.state_dict())
    state["state"][0]["step"] = state["state"][0]["step"].double()
    optimizer = ElectraAdam([parameter_on("meta")], bias_correction=bias_correction)
    optimizer.load_state_dict(state)
    optimizer.step()
    assert {(tensor.device.type, tensor.dtype) for (tensor,) in kernel_calls[1]} == {("meta", torch.float32)}


def test_the_step_is_in_float32_whatever_the_default_is(kernel_calls):
    parameter = parameter_on("cpu")
    torch.set_default_dtype(torch.float64)
    try:
        ElectraAdam([parameter], bias_correction=True).step()
    finally:
        torch.set_default_dtype(torch.float32)
    ((*_, steps),) = kernel_calls
    assert [step.dtype for step in steps] == [torch.float32]


def test_parameters_of_several_devices_and_dtypes_in_one_group_move_with_those_like_them(kernel_calls):
    kinds = [("cpu", torch.float32), ("meta", torch.float32), ("cpu", torch.bfloat16), ("cpu", torch.float32)]
    listed = [parameter_on(device, dtype) for device, dtype in kinds]
    ElectraAdam(listed).step()
    numbers = {id(parameter): number for number, parameter in enumerate(listed)}
    assert [[numbers[id(item)] for item in parameters] for parameters, *_ in kernel_calls] == [[0, 3], [1], [2]]
    for *tensors, steps in kernel_calls:
        ((device, _),) = {(tensor.device, tensor.dtype) for tensor in chain.from_iterable(tensors)}
        assert {step.device for step in steps} == {device}


def test_parameters_without_a_gradient_stay_as_they_are():
    named = parameters()
    optimizer = ElectraAdam(named.items(), **OPTIONS)
    untouched = "electra.embeddings.word_embeddings.weight"
    for name, gradient in gradients(0).items():
        named[name].grad = None if name == untouched else torch.from_numpy(gradient)
    optimizer.step()
    assert np.array_equal(named[untouched].detach(), start()[untouched])


def test_adams_state_by_name_comes_back_in_both_networks():
    model = ElectraForJointPreTraining.from_pretrained(GOOGLE / "trained", num_attention_heads=GOOGLE_HEADS)
    optimizer = electra_adam(model)
    assert not any(array.any() for pair in adam_state(model, optimizer).values() for array in pair)
    generator = np.random.default_rng(0)
    moments = {
        name: tuple(generator.random(parameter.shape, np.float32) for _ in range(2))
        for name, parameter in named_weights(model).items()
    }
    load_adam_state(model, optimizer, moments, step=6)
    found = adam_state(model, optimizer)
    assert found.keys() == moments.keys()
    assert all(np.array_equal(a, b) for name in moments for a, b in zip(moments[name], found[name], strict=True))
    assert {float(state["step"]) for state in optimizer.state.values()} == {6.0}
    (name, pair), *rest = moments.items()
    with pytest.raises(ValueError, match=f"none for {name}; electra.nobody, which the model does not have"):
        load_adam_state(model, optimizer, {**dict(rest), "electra.nobody": pair})
    with pytest.raises(ValueError, match=r"of .* expected"):
        load_adam_state(model, optimizer, {**moments, name: (pair[0][1:], pair[1])})


@pytest.mark.parametrize("largest", [0.5, 1e6])
def test_clipping_is_by_the_norm_of_all_gradients(largest):
    named = parameters()
    for name, gradient in gradients(0).items():
        named[name].grad = torch.from_numpy(gradient.copy())
    named["without"] = torch.nn.Parameter(torch.ones(3))
    norm = np.sqrt(sum(np.square(gradient, dtype=np.float64).sum() for gradient in gradients(0).values()))
    assert_close("norm", norm, clip_by_global_norm(named.values(), largest), FORWARD)
    for name, gradient in gradients(0).items():
        assert_close(name, gradient * min(1.0, largest / norm), named[name].grad, FORWARD)
    assert float(clip_by_global_norm([torch.ones(2)], 1.0)) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": -1.0}, "lr must be at least 0"),
        ({"betas": (0.9, 1.0)}, "betas must be from 0 up to but not including 1"),
        ({"eps": float("nan")}, "eps must be at least 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
    ],
)
def test_numbers_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        ElectraAdam(parameters().items(), **{**OPTIONS, **changes})


def test_what_google_excludes():
    """Against the names alone: the two sets of the formula."""
    named = parameters()
    groups = ElectraAdam(named.items()).param_groups
    decayed = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    assert {name for name, parameter in named.items() if id(parameter) in decayed} == DECAYED
