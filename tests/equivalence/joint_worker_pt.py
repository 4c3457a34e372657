"""The PyTorch process: twenty steps of pre-training, with recorded samples and with its own."""

import sys
from pathlib import Path

import numpy as np
import torch

from electra_pt import ElectraForJointPreTraining
from electra_pt.optimizer import adam_state, clip_by_global_norm, electra_adam, named_weights
from electra_pt.pretrained import read_canonical
from equivalence.joint_training import CLIP, STEPS, WEIGHT_DECAY, batch_of, learning_rate


def train(folder, recorded):
    """Return weights, Adam's state, losses and what the discriminator saw, by name."""
    model = ElectraForJointPreTraining.from_pretrained(folder).train()
    optimizer = electra_adam(model, weight_decay=WEIGHT_DECAY)
    losses, corrupted = [], []
    for step in range(STEPS):
        output = model(**{name: torch.from_numpy(array) for name, array in batch_of(step, recorded=recorded).items()})
        optimizer.zero_grad()
        output.loss.backward()
        clip_by_global_norm(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        losses.append(output.loss.item())
        corrupted.append(output.corrupted_input_ids.numpy())
    moments = adam_state(model, optimizer)
    result = {f"weight/{name}": read_canonical(name, weight) for name, weight in named_weights(model).items()}
    result |= {
        f"{kind}/{name}": array for name, pair in moments.items() for kind, array in zip("mv", pair, strict=True)
    }
    return {**result, "losses": np.array(losses), "corrupted": np.stack(corrupted)}


root = Path(sys.argv[1])
for kind in ("recorded", "sampled"):
    np.savez(root / f"pt_{kind}.npz", **train(root / "start", kind == "recorded"))
