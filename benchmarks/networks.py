"""The networks that are fine-tuned and that answer: folders which both programs open, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

EMBEDDED: Final = "embedded"
TITLES: Final = {"small": "ELECTRA-Small", "base": "ELECTRA-Base", EMBEDDED: "the package's own network"}
NETWORKS: Final = tuple(TITLES)
LABELS: Final = tuple(f"label {number:02}" for number in range(77))
MAX_LENGTH: Final = 128
_WIDE: Final = 0.05  # deviation of new weights, above the usual 0.02: texts are then told apart by more than rounding
_EXAMPLES: Final = 64
_LOGITS: Final = 3.0
_BATCH: Final = {"padding": True, "truncation": True, "max_length": MAX_LENGTH, "return_tensors": "pt"}


def make_encoder(network: str, folder: Path, vocabulary: Path) -> None:
    """Write what is fine-tuned: a discriminator with new weights, or the small trained one that comes with the package.

    Args:
        network: one of ``NETWORKS``.
        folder: to write.
        vocabulary: of a network with new weights.
    """
    model, tokenizer = _encoder(network, vocabulary)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_classifier(network: str, folder: Path, vocabulary: Path, sentences: Sequence[str]) -> None:
    """Write what answers: a classifier as ``electra finetune`` leaves it, with a head that was not trained.

    The head is made such that its answers differ from text to text, or comparing them would tell nothing.

    Args:
        network: one of ``NETWORKS``.
        folder: to write.
        vocabulary: of a network with new weights.
        sentences: examples of what will be asked.
    """
    from electra_common.tasks.task import find_task
    from electra_common.tasks.task_file import TASK_FILE, TaskFile
    from electra_pt import ElectraForSequenceClassification

    body, tokenizer = _encoder(network, vocabulary, initializer_range=_WIDE)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": None, "num_labels": None}
    model = ElectraForSequenceClassification(
        body.config.replace(
            architectures=("ElectraForSequenceClassification",), problem_type="single_label_classification", **labels
        )
    )
    model.electra.load_state_dict(body.electra.state_dict())
    _spread_answers(model.eval(), dict(tokenizer(list(sentences[:_EXAMPLES]), **_BATCH)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    task_file = TaskFile(task=find_task("classification"), labels=LABELS, max_length=MAX_LENGTH)
    (folder / TASK_FILE).write_bytes(task_file.as_bytes())


def _encoder(network: str, vocabulary: Path, **changes: Any) -> tuple[Any, Any]:
    """Return a discriminator with its head, and its tokenizer."""
    import torch

    from electra_common import ElectraConfig, ElectraTokenizerFast
    from electra_common.embedded_model import embedded_folder
    from electra_pt import ElectraForPreTraining

    if network == EMBEDDED:
        source = embedded_folder("discriminator")
        model = ElectraForPreTraining.from_pretrained(source, dtype=torch.float32)
        return model, ElectraTokenizerFast.from_pretrained(source)
    torch.manual_seed(0)
    config = ElectraConfig.preset(f"{network}-discriminator").replace(**changes)
    return ElectraForPreTraining(config), ElectraTokenizerFast(str(vocabulary))


def _spread_answers(model: Any, batch: Mapping[str, Any]) -> None:
    """Give the head's first layer a mean of 0 and a deviation of 1 over some texts, and logits one of ``_LOGITS``."""
    import torch

    dense, out = model.classifier.dense, model.classifier.out_proj
    with torch.no_grad():
        first = model.electra(**batch).last_hidden_state[:, 0]  # [texts, hidden]
        dense.bias.copy_(-(dense.weight @ first.mean(0)))
        deviation = dense(first).std()
        dense.weight.div_(deviation)
        dense.bias.div_(deviation)
        out.weight.mul_(_LOGITS / model(**batch).logits.std())
