"""The networks that are fine-tuned and that answer: folders which both programs open, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

EMBEDDED: Final = "embedded"
NETWORKS: Final = ("small", "base", EMBEDDED)
LABELS: Final = tuple(f"label {number:02}" for number in range(77))
MAX_LENGTH: Final = 128
_HEAD_SCALE: Final = 50.0


def make_encoder(network: str, folder: Path, vocabulary: Path) -> None:
    """Write what is fine-tuned: a discriminator with new weights, or the small trained one that comes with the package.

    Args:
        network: one of ``NETWORKS``.
        folder: to write.
        vocabulary: of a network with new weights.
    """
    import torch

    from electra_common import ElectraTokenizerFast
    from electra_common.embedded_model import embedded_folder
    from electra_pt import ElectraForPreTraining

    torch.manual_seed(0)
    if network == EMBEDDED:
        source = embedded_folder("discriminator")
        model = ElectraForPreTraining.from_pretrained(source, dtype=torch.float32)
        tokenizer = ElectraTokenizerFast.from_pretrained(source)
    else:
        model = ElectraForPreTraining(_config(network))
        tokenizer = ElectraTokenizerFast(str(vocabulary))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_classifier(network: str, folder: Path, vocabulary: Path) -> None:
    """Write what answers: a classifier as ``electra finetune`` leaves it, with a head that was not trained.

    The head's weights are large, so that its answers differ from text to text and can be compared.
    """
    import torch

    from electra_common.tasks.task import find_task
    from electra_common.tasks.task_file import TASK_FILE, TaskFile
    from electra_pt import ElectraForSequenceClassification, ElectraModel

    encoder = folder.with_name(f"{folder.name}-encoder")
    make_encoder(network, encoder, vocabulary)
    body = ElectraModel.from_pretrained(encoder)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": None, "num_labels": None}
    model = ElectraForSequenceClassification(
        body.config.replace(
            architectures=("ElectraForSequenceClassification",), problem_type="single_label_classification", **labels
        )
    )
    model.electra.load_state_dict(body.state_dict())
    head: Any = model.classifier
    with torch.no_grad():
        head.out_proj.weight.mul_(_HEAD_SCALE)
    model.save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_bytes((encoder / name).read_bytes())
    task_file = TaskFile(task=find_task("classification"), labels=LABELS, max_length=MAX_LENGTH)
    (folder / TASK_FILE).write_bytes(task_file.as_bytes())


def _config(network: str) -> Any:
    from electra_pt import ElectraConfig

    return ElectraConfig.preset(f"{network}-discriminator")
