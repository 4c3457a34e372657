"""The same weights for both frameworks: random checkpoints of odd sizes, made with numpy alone."""

import json
from dataclasses import dataclass, field

import numpy as np

from electra_common import ElectraConfig
from electra_common.weights.saving import save_folder
from electra_common.weights.shapes import expected_shapes
from electra_common.weights.tensors import StoredTensor

# All sizes differ, so that swapped axes cannot pass by luck.
SIZES = {
    "vocab_size": 97,
    "hidden_size": 24,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 19,
    "type_vocab_size": 5,
}
ROWS, NUM_CHOICES, LENGTH = 7, 4, 13


# Plain gradient descent with momentum: Adam divides noise by noise where a gradient is zero but for rounding, as those
# of the keys' biases are, and would show that instead of a difference between the frameworks.
TRAINING = {
    "steps": 5,
    "learning_rate": 0.05,
    "no_dropout": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "summary_last_dropout": 0.0},
}


@dataclass(frozen=True)
class Case:
    """One checkpoint and one batch."""

    name: str
    architecture: str
    fields: dict = field(default_factory=dict)
    padded: bool = True
    dtype: str = "float32"
    without_gradient: tuple = ()  # weights that shift all inputs of the loss's softmax alike

    @property
    def is_trained(self):
        """Whether five steps of training are run in both frameworks."""
        return self.dtype == "float32" and self.architecture != "ElectraModel"

    @property
    def config(self):
        """The config, architecture named."""
        return ElectraConfig(**{**SIZES, "embedding_size": 10, **self.fields, "architectures": (self.architecture,)})


RTD, MLM = "ElectraForPreTraining", "ElectraForMaskedLM"
TOKENS, SEQUENCES = "ElectraForTokenClassification", "ElectraForSequenceClassification"
ANSWERS, CHOICES = "ElectraForQuestionAnswering", "ElectraForMultipleChoice"
CASES = [
    Case("rtd, 1 layer, projected", RTD, {"num_hidden_layers": 1}),
    Case("rtd, 2 layers, unpadded", RTD, {"num_hidden_layers": 2}, padded=False),
    Case("rtd, 3 layers, widths equal", RTD, {"num_hidden_layers": 3, "embedding_size": 24}),
    Case("rtd, 4 layers, widths equal, unpadded", RTD, {"num_hidden_layers": 4, "embedding_size": 24}, padded=False),
    Case("rtd, other activation", RTD, {"num_hidden_layers": 2, "hidden_act": "gelu_new", "layer_norm_eps": 1e-6}),
    Case("rtd, no padding token", RTD, {"num_hidden_layers": 2, "pad_token_id": None}),
    Case("mlm, 1 layer, widths equal", MLM, {"num_hidden_layers": 1, "embedding_size": 24}),
    Case("mlm, 2 layers, projected, unpadded", MLM, {"num_hidden_layers": 2}, padded=False),
    Case("mlm, 3 layers, projected", MLM, {"num_hidden_layers": 3}),
    Case("mlm, 4 layers, projected", MLM, {"num_hidden_layers": 4}),
    Case("mlm, untied", MLM, {"num_hidden_layers": 2, "tie_word_embeddings": False}),
    Case("mlm, Google's generator head", MLM, {"num_hidden_layers": 1, "hidden_act": "relu",
                                               "generator_hidden_act": "relu"}),
    Case("token classes", TOKENS, {"num_hidden_layers": 2, "num_labels": 6}),
    Case("sequence classes", SEQUENCES, {"num_hidden_layers": 2, "num_labels": 6, "embedding_size": 24}),
    Case("several classes a sequence", SEQUENCES, {"num_hidden_layers": 1, "num_labels": 6,
                                                   "problem_type": "multi_label_classification"}),
    Case("regression", SEQUENCES, {"num_hidden_layers": 1, "num_labels": 1}),
    Case("regression to several numbers", SEQUENCES, {"num_hidden_layers": 1, "num_labels": 6,
                                                      "problem_type": "regression"}, padded=False),
    Case("answers", ANSWERS, {"num_hidden_layers": 2},
         without_gradient=("qa_outputs.bias", "layer.1.output.LayerNorm.bias")),
    Case("sequence classes, Google's head", SEQUENCES, {"num_hidden_layers": 1, "num_labels": 6, "head": "google"}),
    Case("answers, Google's head", ANSWERS, {"num_hidden_layers": 2, "head": "google"}, padded=False,
         without_gradient=("start_classifier.bias", "end_classifier.bias")),
    Case("choices", CHOICES, {"num_hidden_layers": 2, "num_labels": 6}, without_gradient=("classifier.bias",)),
    Case("choices, mean", CHOICES, {"num_hidden_layers": 1, "summary_type": "mean", "summary_activation": "tanh"},
         without_gradient=("classifier.bias",)),
    Case("choices, last, no projection", CHOICES, {"num_hidden_layers": 1, "summary_type": "last",
                                                   "summary_use_proj": False, "summary_activation": None},
         without_gradient=("classifier.bias", "layer.0.output.LayerNorm.bias")),
    Case("encoder alone", "ElectraModel", {"num_hidden_layers": 2}),
    Case("rtd, bfloat16", RTD, {"num_hidden_layers": 2}, dtype="bfloat16"),
    Case("rtd, bfloat16, widths equal", RTD, {"num_hidden_layers": 4, "embedding_size": 24}, dtype="bfloat16"),
    Case("mlm, bfloat16", MLM, {"num_hidden_layers": 3}, dtype="bfloat16"),
]  # fmt: skip


def write_case(folder, case, seed):
    """Write `checkpoint/`, `batch.npz` and `case.json` into a folder."""
    random = np.random.Generator(np.random.Philox(seed))
    save_folder(folder / "checkpoint", case.config, _weights(case, random))
    np.savez(folder / "batch.npz", **_batch(case, random))
    described = {"architecture": case.architecture, "dtype": case.dtype, "is_trained": case.is_trained, **TRAINING}
    (folder / "case.json").write_text(json.dumps(described))


def _weights(case, random):
    """Draw every weight, LayerNorm and biases too: ones and zeros would hide a transposed or forgotten one."""
    tensors = {}
    for name, shape in expected_shapes(case.config, case.architecture).items():
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        array = random.normal(centre, 0.2, shape).astype(np.float32)
        tensors[name] = StoredTensor(name, shape, "float32", lambda array=array: array)
    return tensors


def _batch(case, random):
    """Draw ids over the whole vocabulary, the padding id among the real tokens too."""
    shape = (ROWS, NUM_CHOICES, LENGTH) if case.architecture == CHOICES else (ROWS, LENGTH)
    lengths = random.integers(1, LENGTH + 1, shape[:-1])
    lengths[0] = LENGTH
    mask = np.arange(LENGTH) < lengths[..., None]
    batch = {
        "input_ids": random.integers(0, SIZES["vocab_size"], shape),
        "token_type_ids": random.integers(0, SIZES["type_vocab_size"], shape),
    }
    if case.config.head == "google":
        batch["token_type_ids"][:] = 1  # answers may be anywhere: -1000 in a loss would leave float32 few digits
    if case.padded:
        batch["attention_mask"] = mask.astype(np.int64)
        batch["input_ids"][~mask] = 0
    return {**batch, **_labels(case, random)}


def _labels(case, random):
    """Draw labels, some of them to be ignored."""
    if case.architecture == RTD:
        return {"labels": random.integers(0, 2, (ROWS, LENGTH))}
    if case.architecture == MLM:
        return {"labels": _some(random, random.integers(0, SIZES["vocab_size"], (ROWS, LENGTH)))}
    if case.architecture == TOKENS:
        return {"labels": _some(random, random.integers(0, 6, (ROWS, LENGTH)))}
    if case.architecture == ANSWERS:  # also below 0 and beyond the end
        labels = {f"{end}_positions": random.integers(-2, LENGTH + 3, ROWS) for end in ("start", "end")}
        return {**labels, **({"is_impossible": random.integers(0, 2, ROWS)} if case.config.head == "google" else {})}
    if case.architecture == CHOICES:
        return {"labels": random.integers(0, NUM_CHOICES, ROWS)}
    if case.architecture == SEQUENCES:
        return {"labels": _sequence_labels(case.config, random)}
    return {}


def _some(random, labels):
    return np.where(random.random(labels.shape) < 0.3, labels, -100)


def _sequence_labels(config, random):
    if config.problem_type == "multi_label_classification":
        return random.integers(0, 2, (ROWS, config.num_labels)).astype(np.float32)
    if config.problem_type == "regression" or config.num_labels == 1:
        return random.normal(size=(ROWS, config.num_labels)).astype(np.float32)
    return random.integers(0, config.num_labels, ROWS)
