"""PyTorch repeats the six training steps that Google's code recorded: losses, weights, Adam's slots."""

import pytest

from reference.google_recording import (
    NO_DROPOUT,
    STEPS,
    assert_losses,
    assert_trained,
    learning_rate,
    training_inputs,
)
from support.fixtures import GOOGLE, GOOGLE_HEADS

torch = pytest.importorskip("torch")

from electra_pt import ElectraForJointPreTraining  # noqa: E402
from electra_pt.optimizer import adam_state, clip_by_global_norm, electra_adam, named_weights  # noqa: E402


def test_six_steps_end_where_googles_did():
    model = ElectraForJointPreTraining.from_pretrained(
        GOOGLE / "init", num_attention_heads=GOOGLE_HEADS, **NO_DROPOUT
    ).train()
    optimizer = electra_adam(model)
    for number, step in enumerate(STEPS):
        output = model(**{name: torch.from_numpy(array) for name, array in training_inputs(step).items()})
        assert_losses(step, {name: value.detach() for name, value in output.items()})
        optimizer.zero_grad()
        output.loss.backward()
        clip_by_global_norm(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(number)
        optimizer.step()
    weights = {name: parameter.detach().numpy() for name, parameter in named_weights(model).items()}
    assert_trained(weights, adam_state(model, optimizer))
