"""The network that fine-tuning starts from: its config with the task's head, and whether its own head fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.embedded_model import embedded_folder
from electra_common.tasks.settings import FineTuningSettings
from electra_common.tasks.task import Task
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.weights.checkpoint import architecture_of, open_checkpoint
from electra_common.weights.components import Component
from electra_common.weights.hub import VOCABULARY_FILES
from electra_common.weights.names import ARCHITECTURE_PARTS, DISCRIMINATOR

EMBEDDED_NAME: Final = "electra-nano, the model that comes with electra-dual"


@dataclass(frozen=True)
class Start:
    """A network to start from.

    Attributes:
        source: path or name of the checkpoint.
        name: what it is called in results: as it was asked for, or the package's own.
        folder: where its other files are.
        component: the network, where the checkpoint holds two.
        config: the checkpoint's.
        architecture: the class that it was saved as, without the prefix of a framework.
        from_scratch: whether its weights are left aside, and only its sizes are taken.
    """

    source: str
    name: str
    folder: Path
    component: str
    config: ElectraConfig
    architecture: str
    from_scratch: bool = False

    def keeps_head(self, config: ElectraConfig) -> bool:
        """Whether training goes on with the checkpoint's head: of the class and the labels that a config describes."""
        if self.from_scratch or (self.architecture,) != config.architectures:
            return False
        return self.config.head == config.head and self.config.id2label == config.id2label


def plan_start(model: str | None, *, from_scratch: bool = False) -> Start:
    """Look at a checkpoint that is to be fine-tuned.

    Args:
        model: folder, file or name on the Hub, or a folder with ``discriminator`` in it, as in a run's
            export; None for the discriminator that comes with the package.
        from_scratch: take only its sizes.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    if model is None:
        source = str(embedded_folder(DISCRIMINATOR))
    else:
        inner = Path(model) / DISCRIMINATOR
        source = str(inner) if inner.is_dir() else model
    checkpoint = open_checkpoint(source)
    component = checkpoint.components.get(DISCRIMINATOR) or checkpoint.component()
    config = checkpoint.config_of(component)
    architecture = _architecture(config, component)
    name = model or EMBEDDED_NAME
    return Start(source, name, checkpoint.folder, component.name, config, architecture, from_scratch)


def task_config(start: Start, task: Task, labels: Sequence[str], settings: FineTuningSettings) -> ElectraConfig:
    """Return the config of the network with the task's head.

    Args:
        start: the network.
        task: decides the head.
        labels: names of the classes, in the order of their numbers.
        settings: head and dropout.
    """
    changes: dict[str, Any] = {
        "architectures": (task.architecture,),
        "hidden_dropout_prob": settings.dropout,
        "attention_probs_dropout_prob": settings.dropout,
        "classifier_dropout": None,
        "summary_last_dropout": settings.dropout,
        "head": settings.head,
    }
    return start.config.replace(**changes, **_label_fields(task, labels))


def _architecture(config: ElectraConfig, component: Component) -> str:
    """Return the class that the config names; where it names none, the one that the head's weights belong to."""
    named = config.architectures[0].removeprefix("TF") if config.architectures else ""
    return named if named in ARCHITECTURE_PARTS else architecture_of(component)


def _label_fields(task: Task, labels: Sequence[str]) -> Mapping[str, Any]:
    if task.kind in ("classification", "tagging"):
        problem = "single_label_classification" if task.kind == "classification" else None
        return {"id2label": dict(enumerate(labels)), "label2id": None, "num_labels": None, "problem_type": problem}
    count = {"regression": 1, "answers": 2, "choice": 2}[task.kind]
    problem = "regression" if task.kind == "regression" else None
    return {"id2label": None, "label2id": None, "num_labels": count, "problem_type": problem}


def open_tokenizer(start: Start, *, max_length: int) -> ElectraTokenizerFast:
    """Return the tokenizer beside a network, told the longest row that it is used for.

    Args:
        start: the network.
        max_length: of the run's rows.

    Raises:
        ValueError: there is none, it has more tokens than the network, or rows are longer than the network's positions.
    """
    config, folder = start.config, start.folder
    if max_length > config.max_position_embeddings:
        raise ValueError(
            f"max_length {max_length} is above the {config.max_position_embeddings} positions of {start.source}: "
            f"add --set max_length={config.max_position_embeddings}"
        )
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise ValueError(f"{folder}: holds no tokenizer; put its vocab.txt there")
    tokenizer = ElectraTokenizerFast.from_pretrained(folder)
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the network {config.vocab_size}: not the one that "
            "it was trained with"
        )
    # Positions that were never trained are trained now.
    tokenizer.model_max_length = max(max_length, min(tokenizer.model_max_length, config.max_position_embeddings))
    return tokenizer
