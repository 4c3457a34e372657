"""Pre-training compiled by torch: part by part, for layers are alike.

What it is not: compiling a model of your own, which is ``torch.compile(model)``.
"""

from __future__ import annotations

import torch

from electra_pt.joint_pretraining import ElectraForJointPreTraining


def compile_parts(model: ElectraForJointPreTraining) -> None:
    """Let :func:`torch.compile` make programs of a model's parts, at its next call, for shapes that never change.

    Layers of one network are compiled once, where the program of a whole model has each of them.

    Args:
        model: is changed in place.
    """
    for network in model.networks().values():
        for part in (network.electra.embeddings, *network.electra.encoder.layer):
            part.compile(dynamic=False)
    model._generator_loss = torch.compile(model._generator_loss, dynamic=False)  # type: ignore[method-assign]
    model._sample = torch.compile(model._sample, dynamic=False)  # type: ignore[method-assign]
