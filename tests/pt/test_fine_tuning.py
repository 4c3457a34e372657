"""The heads learn from real text, in PyTorch, from random weights and with dropout."""

import pytest

from support.fine_tuning import (
    BATCH_SIZE,
    EPOCHS,
    HEADS,
    LAST_LOSS,
    LEARNING_RATE,
    TASKS,
    arguments_of,
    chance,
    config_of,
)

torch = pytest.importorskip("torch")

import electra_pt  # noqa: E402


@pytest.mark.parametrize("task", TASKS)
def test_a_random_network_learns_a_sample(task):
    torch.manual_seed(1)
    arrays = arguments_of(task)
    model = getattr(electra_pt, HEADS[task])(config_of(task)).train()
    data = torch.utils.data.TensorDataset(*(torch.from_numpy(array).long() for array in arrays.values()))
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(EPOCHS[task]):
        sums = []
        for batch in loader:
            optimizer.zero_grad()
            loss = model(**dict(zip(arrays, batch, strict=True))).loss
            loss.backward()
            optimizer.step()
            sums.append(loss.item())
        losses.append(sum(sums) / len(sums))
    assert losses[0] < 1.2 * chance(task, arrays)
    assert losses[-1] < LAST_LOSS[task], losses
