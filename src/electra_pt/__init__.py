"""ELECTRA in PyTorch: plain ``torch.nn`` modules with the parameter names of the published checkpoints."""

from electra_common import BatchEncoding, ElectraConfig, ElectraTokenizer, ElectraTokenizerFast
from electra_common.objective import PretrainingObjective
from electra_pt.causal_lm import ElectraForCausalLM
from electra_pt.joint_pretraining import ElectraForJointPreTraining
from electra_pt.layout import FirstTokensLayout, PackedLayout
from electra_pt.modeling import ElectraForMaskedLM, ElectraForPreTraining, ElectraModel
from electra_pt.optimizer import ElectraAdam
from electra_pt.question_answering import ElectraForQuestionAnswering
from electra_pt.task_models import (
    ElectraForMultipleChoice,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
)

__all__ = [
    "BatchEncoding",
    "ElectraAdam",
    "ElectraConfig",
    "ElectraForCausalLM",
    "ElectraForJointPreTraining",
    "ElectraForMaskedLM",
    "ElectraForMultipleChoice",
    "ElectraForPreTraining",
    "ElectraForQuestionAnswering",
    "ElectraForSequenceClassification",
    "ElectraForTokenClassification",
    "ElectraModel",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "FirstTokensLayout",
    "PackedLayout",
    "PretrainingObjective",
]
