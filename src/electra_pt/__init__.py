"""ELECTRA in PyTorch: plain ``torch.nn`` modules with the parameter names of the published checkpoints."""

from electra_common import ElectraConfig
from electra_pt.modeling import ElectraForMaskedLM, ElectraForPreTraining, ElectraModel

__all__ = [
    "ElectraConfig",
    "ElectraForMaskedLM",
    "ElectraForPreTraining",
    "ElectraModel",
]
