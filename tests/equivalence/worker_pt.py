"""The PyTorch process: runs every case in a folder, leaves `pt.npz` beside each and saves the model again."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import electra_pt
from electra_pt.pretrained import canonical_state


def load(folder, checkpoint, dtype=None):
    """Load a case's model from one of its folders, in its dtype or another."""
    case = json.loads((folder / "case.json").read_text())
    return getattr(electra_pt, case["architecture"]).from_pretrained(folder / checkpoint, dtype=dtype or case["dtype"])


def run(folder, checkpoint, dtype=None):
    """Return outputs and gradients by name."""
    model = load(folder, checkpoint, dtype)
    with np.load(folder / "batch.npz") as file:
        batch = {name: torch.from_numpy(file[name]) for name in file.files}
    output = model(**batch, output_attentions=True, output_hidden_states=True)
    result = {name: tensor.detach().float().numpy() for name, tensor in output.flat().items()}
    if "loss" in output:
        output.loss.backward()
        for name, parameter in model.named_parameters():
            result[f"gradient {name}"] = parameter.grad.float().numpy()
    return result


def train(folder):
    """Return the weights after five steps of gradient descent with momentum, and each step's loss."""
    case = json.loads((folder / "case.json").read_text())
    model_class = getattr(electra_pt, case["architecture"])
    model = model_class.from_pretrained(folder / "checkpoint", **case["no_dropout"]).train()
    with np.load(folder / "batch.npz") as file:
        batch = {name: torch.from_numpy(file[name]) for name in file.files}
    optimizer = torch.optim.SGD(model.parameters(), lr=case["learning_rate"], momentum=0.9)
    losses = []
    for _ in range(case["steps"]):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {**{name: tensor.detach().numpy() for name, tensor in canonical_state(model).items()}, "losses": losses}


for case_folder in sorted(Path(sys.argv[1]).iterdir()):
    if sys.argv[2] == "first":
        np.savez(case_folder / "pt.npz", **run(case_folder, "checkpoint"))
        np.savez(case_folder / "float32.npz", **run(case_folder, "checkpoint", "float32"))
        load(case_folder, "checkpoint").save_pretrained(case_folder / "saved_by_pt")
        if json.loads((case_folder / "case.json").read_text())["is_trained"]:
            np.savez(case_folder / "pt_trained.npz", **train(case_folder))
    else:
        np.savez(case_folder / "pt_from_tf.npz", **run(case_folder, "saved_by_tf"))
