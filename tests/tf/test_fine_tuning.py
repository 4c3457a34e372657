"""The heads learn from real text, in Keras's `fit`, from random weights and with dropout."""

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
from support.thoroughness import mostly_thorough

keras = pytest.importorskip("keras")

import electra_tf  # noqa: E402


@pytest.mark.parametrize("task", mostly_thorough(TASKS, usual=["banking77"]))
def test_a_random_network_learns_a_sample(task):
    keras.utils.set_random_seed(1)
    arrays = arguments_of(task)
    model = getattr(electra_tf, f"TF{HEADS[task]}")(config_of(task))
    model.compile(keras.optimizers.AdamW(LEARNING_RATE), jit_compile=False)
    losses = model.fit(arrays, batch_size=BATCH_SIZE, epochs=EPOCHS[task], verbose=0).history["loss"]
    assert losses[0] < 1.2 * chance(task, arrays)
    assert losses[-1] < LAST_LOSS[task], losses
