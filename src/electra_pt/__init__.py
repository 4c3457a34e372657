"""ELECTRA in PyTorch: plain ``torch.nn`` modules with the parameter names of the published checkpoints."""

from electra_common import BatchEncoding, ElectraConfig, ElectraTokenizer, ElectraTokenizerFast
from electra_pt.modeling import ElectraForMaskedLM, ElectraForPreTraining, ElectraModel

__all__ = [
    "BatchEncoding",
    "ElectraConfig",
    "ElectraForMaskedLM",
    "ElectraForPreTraining",
    "ElectraModel",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
]
