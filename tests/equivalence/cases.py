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
ROWS, LENGTH = 7, 13


@dataclass(frozen=True)
class Case:
    """One checkpoint and one batch."""

    name: str
    architecture: str
    fields: dict = field(default_factory=dict)
    padded: bool = True
    dtype: str = "float32"

    @property
    def config(self):
        """The config, architecture named."""
        return ElectraConfig(**{**SIZES, "embedding_size": 10, **self.fields, "architectures": (self.architecture,)})


RTD, MLM = "ElectraForPreTraining", "ElectraForMaskedLM"
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
    described = {"architecture": case.architecture, "dtype": case.dtype}
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
    lengths = random.integers(1, LENGTH + 1, ROWS)
    lengths[0] = LENGTH
    mask = np.arange(LENGTH)[None, :] < lengths[:, None]
    batch = {
        "input_ids": random.integers(0, SIZES["vocab_size"], (ROWS, LENGTH)),
        "token_type_ids": random.integers(0, SIZES["type_vocab_size"], (ROWS, LENGTH)),
    }
    if case.padded:
        batch["attention_mask"] = mask.astype(np.int64)
        batch["input_ids"][~mask] = 0
    if case.architecture == RTD:
        batch["labels"] = random.integers(0, 2, (ROWS, LENGTH))
    elif case.architecture == MLM:
        chosen = random.random((ROWS, LENGTH)) < 0.3
        batch["labels"] = np.where(chosen, random.integers(0, SIZES["vocab_size"], (ROWS, LENGTH)), -100)
    return batch
