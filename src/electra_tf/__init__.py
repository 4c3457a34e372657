"""ELECTRA in TensorFlow: plain Keras 3 models, through Keras's public API on its TensorFlow backend."""

_BACKEND_ADVICE = "set KERAS_BACKEND=tensorflow before Keras is imported for the first time"

try:
    import keras
except ModuleNotFoundError as error:
    if error.name in ("keras", "tensorflow"):
        raise
    raise ImportError(
        f"electra_tf needs Keras on TensorFlow, but Keras looks for another backend ({error}): {_BACKEND_ADVICE}"
    ) from error

if keras.config.backend() != "tensorflow":
    raise ImportError(
        f"electra_tf needs Keras on TensorFlow, but Keras runs on {keras.config.backend()!r}: {_BACKEND_ADVICE}"
    )

from electra_common import (  # noqa: E402 (the backend comes first)
    BatchEncoding,
    ElectraConfig,
    ElectraTokenizer,
    ElectraTokenizerFast,
)
from electra_common.objective import PretrainingObjective  # noqa: E402
from electra_tf.causal_lm import TFElectraForCausalLM  # noqa: E402
from electra_tf.joint_pretraining import TFElectraForJointPreTraining  # noqa: E402
from electra_tf.layout import FirstTokensLayout, PackedLayout  # noqa: E402
from electra_tf.modeling import TFElectraForMaskedLM, TFElectraForPreTraining, TFElectraModel  # noqa: E402
from electra_tf.optimizer import TFElectraAdam  # noqa: E402
from electra_tf.question_answering import TFElectraForQuestionAnswering  # noqa: E402
from electra_tf.task_models import (  # noqa: E402
    TFElectraForMultipleChoice,
    TFElectraForSequenceClassification,
    TFElectraForTokenClassification,
)

__all__ = [
    "BatchEncoding",
    "ElectraConfig",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "FirstTokensLayout",
    "PackedLayout",
    "PretrainingObjective",
    "TFElectraAdam",
    "TFElectraForCausalLM",
    "TFElectraForJointPreTraining",
    "TFElectraForMaskedLM",
    "TFElectraForMultipleChoice",
    "TFElectraForPreTraining",
    "TFElectraForQuestionAnswering",
    "TFElectraForSequenceClassification",
    "TFElectraForTokenClassification",
    "TFElectraModel",
]
