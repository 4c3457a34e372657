"""What ``electra detect`` and ``electra fill-mask`` share: the model that answers, its tokenizer, the framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from electra_common.cli.frameworks import FRAMEWORKS, Job, Result, run_in_first, run_in_frameworks
from electra_common.cli.options import Heads
from electra_common.config import ElectraConfig
from electra_common.embedded_model import embedded_folder
from electra_common.weights.checkpoint import architecture_of, open_checkpoint
from electra_common.weights.errors import CheckpointError
from electra_common.weights.hub import VOCABULARY_FILES
from electra_common.weights.names import DISCRIMINATOR, GENERATOR

# The network that does each action, its class, and what its head is for.
_MODELS: Final = {
    "detect": (DISCRIMINATOR, "ElectraForPreTraining", "tells replaced tokens"),
    "fill-mask": (GENERATOR, "ElectraForMaskedLM", "fills in masked tokens"),
}


@dataclass(frozen=True)
class Model:
    """A checkpoint that can do what is asked for, and the tokenizer for it (None: the released models')."""

    path: str
    tokenizer: str | None
    overrides: Mapping[str, Any]


def find_model(action: str, name: str | None, *, tokenizer: str | None = None, heads: Heads = None) -> Model:
    """Return a model by path or name, or the embedded one without, and make sure that it has the head it needs.

    Raises:
        CheckpointError: there is no such model, or it has not the network or the head.
        ValueError: it has no tokenizer.
    """
    component, architecture, purpose = _MODELS[action]
    if name is None:
        path = str(embedded_folder(component))
    else:
        inner = Path(name) / component  # such as an exported run's
        path = str(inner) if inner.is_dir() else name
    checkpoint = open_checkpoint(path)
    network = checkpoint.component(component)
    if (found := architecture_of(network)) != architecture:
        raise CheckpointError(f"{path}: its {component} has no head that {purpose}: it is an {found}")
    config = checkpoint.config_of(network, num_attention_heads=heads)
    if tokenizer is None:
        tokenizer = find_tokenizer(checkpoint.folder, config)
    return Model(path, tokenizer, {} if heads is None else {"num_attention_heads": config.num_attention_heads})


def find_tokenizer(folder: Path, config: ElectraConfig) -> str | None:
    """Return where the tokenizer of a checkpoint's folder lies, or None for the released models'.

    Raises:
        ValueError: there is none.
    """
    for place in tokenizer_folders(folder):
        if any((place / name).is_file() for name in VOCABULARY_FILES):
            return str(place)
    if config.vocab_size == ElectraConfig().vocab_size:  # every released model's, so its size is a safe sign
        return None
    raise ValueError(f"{folder}: holds no tokenizer for its {config.vocab_size} tokens: add --tokenizer")


def tokenizer_folders(folder: Path) -> tuple[Path, ...]:
    """Return where a checkpoint's tokenizer may lie: beside it, and of a run's checkpoint in the run."""
    from electra_common.runs.folder_names import TOKENIZER_FOLDER
    from electra_common.runs.run_folder import run_of

    run = run_of(folder)
    return (folder,) if run is None else (folder, run / TOKENIZER_FOLDER)


def make_job(action: str, model: Model, texts: Sequence[str], options: Mapping[str, Any]) -> Job:
    """Return the job of answering texts."""
    component, architecture, _ = _MODELS[action]
    return Job(
        action,
        model.path,
        architecture,
        component,
        model.overrides,
        texts=tuple(texts),
        tokenizer=model.tokenizer,
        options=options,
    )


def answer_texts(job: Job, *, framework: str | None) -> tuple[str, Result]:
    """Answer texts in a framework, or in the first one that is installed, and say in which.

    Raises:
        ValueError: no such framework, or a text cannot be answered.
        FrameworkError: the framework is not installed, or its process died.
    """
    if framework is None:
        return run_in_first(job)
    if framework not in FRAMEWORKS:
        raise ValueError(f"--framework must be one of {', '.join(FRAMEWORKS)}, found {framework!r}")
    return framework, run_in_frameworks((framework,), job, {})[framework]
